"""The command line itself: which commands there are, how they end, and the small ones."""

from __future__ import annotations

import argparse
import io
import json
import os
import runpy
import socket
import stat
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware

from example_apps.local import ROOT
from obo_middleware import ConfigurationError, OnBehalfOf, Settings, asgi, wsgi
from obo_middleware.command import _main, main
from obo_middleware.command._app import settings_of
from obo_middleware.command._local_entra import write_env_file
from obo_middleware.command._terminal import CommandError, console
from obo_middleware.flask import OnBehalfOf as FlaskOnBehalfOf
from obo_middleware.redis import SecretKey
from tests.command.kit import Run, Terminal
from tests.testing.kit import EndingOutput

# How commands are found, and how they end


def test_the_version_and_the_commands_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for word, said in (("--version", "obo-middleware 0."), ("--help", "local-entra")):
        with pytest.raises(SystemExit) as ended:
            main([word])
        assert (ended.value.code, said in capsys.readouterr().out) == (0, True)


@pytest.mark.parametrize("words", [[], ["nonsense"], ["doctor", "--nonsense"]])
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert (ended.value.code, "usage: obo-middleware" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("command", list(_main.COMMANDS))
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert (ended.value.code, f"obo-middleware {command}" in capsys.readouterr().out) == (0, True)


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("obo_middleware.command._new_key.run", interrupted)
    assert main(["new-key"]) == 130


def test_the_words_are_those_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["obo-middleware", "new-key", "--count", "2"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("obo_middleware", run_name="__main__")
    assert (ended.value.code, len(capsys.readouterr().out.split())) == (0, 2)


def test_without_rich_a_command_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    said = run("doctor")
    assert said == (2, "", "obo-middleware: this needs the package rich: pip install 'obo-middleware[cli]'\n")


def test_colours_are_for_terminals() -> None:
    assert (console(Terminal()).is_terminal, console(io.StringIO()).is_terminal) == (True, False)


# new-key


def test_a_new_key_is_one_of_the_shared_cache(run: Run) -> None:
    first, second = run("new-key", "--count", "2").out.split()
    assert first != second
    assert len(SecretKey(first).secret) == 32


@pytest.mark.parametrize("count", ["0", "101"])
def test_a_count_of_keys_has_bounds(run: Run, count: str) -> None:
    said = run("new-key", "--count", count)
    assert said == (2, "", f"obo-middleware: --count is {count}: give a number from 1 to 100\n")


def test_a_person_is_told_what_a_key_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    from obo_middleware.command import _new_key

    out = Terminal()
    assert _new_key.run(argparse.Namespace(count=1), out) == 0
    assert len(SecretKey(out.getvalue()).secret) == 32
    assert "OBO_CACHE_KEYS" in capsys.readouterr().err


# local-entra


PORTS = ("--port", "0", "--graph-port", "0")


@pytest.mark.usefixtures("signals")
def test_local_entra_says_what_the_app_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output, path = EndingOutput(), tmp_path / "local.env"
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["local-entra", *PORTS, "--users", "1", "--env-file", str(path)]) == 0
    assert "Users: alice, bob, user-0" in output.text
    assert f"set -a; . {path}; set +a" in output.text
    assert "/_local/token/alice)" in output.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("\n") == 7


@pytest.mark.usefixtures("signals")
def test_the_file_of_variables_is_named_as_shells_want_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = EndingOutput()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.chdir(tmp_path)
    assert main(["local-entra", *PORTS, "--env-file", "local.env"]) == 0
    assert "set -a; . ./local.env; set +a" in output.text


@pytest.mark.usefixtures("signals")
def test_local_entra_shows_the_variables_where_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    output = EndingOutput()
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["local-entra", *PORTS, "--tls"]) == 0
    for line in ("export AZURE_AUTHORITY_HOST=https://127.0.0.1:", "export SSL_CERT_FILE=/", "--cacert /"):
        assert line in output.text


def test_local_entra_serves_programs_until_it_is_told_to_end() -> None:
    line = [sys.executable, "-m", "obo_middleware", "local-entra", *PORTS, "--json"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        document = json.loads(process.stdout.readline())
        with httpx.Client(base_url=document["authority"], trust_env=False) as http:
            token = http.get("/_local/token/alice").text
            assert (token.count("."), http.get("/_local/token/nobody").status_code) == (2, 404)
            me = http.get(f"{document['graph_base_url']}/me", headers={"Authorization": f"Bearer {token}"})
            assert me.status_code == 401  # a token for the API is none for Graph
        process.terminate()
    assert process.returncode == 0
    assert document["environment"]["GRAPH_BASE_URL"] == document["graph_base_url"]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("option", ["--port", "--graph-port"])
def test_a_port_that_is_taken_is_named(run: Run, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--graph-port" if option == "--port" else "--port"
        said = run("local-entra", option, port, other, "0")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"obo-middleware: {option} {port} cannot be used (Address already in use)")


@pytest.mark.usefixtures("signals")
def test_a_number_that_is_no_port_is_named(run: Run) -> None:
    said = run("local-entra", "--port", "99999")
    assert said.err == "obo-middleware: --port 99999 cannot be used (it is no port): give another, or 0 for any\n"


@pytest.mark.usefixtures("signals")
def test_without_its_packages_local_entra_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obo_middleware.testing", None)
    said = run("local-entra")
    assert said.err == "obo-middleware: local-entra needs more packages: pip install 'obo-middleware[testing]'\n"


def test_a_file_of_variables_is_written_anew_and_no_other_file_is(tmp_path: Path) -> None:
    path = tmp_path / "local.env"
    for value in ("1", "2"):
        write_env_file(path, {"NAME": value})
    assert path.read_text().endswith("NAME=2\n")
    other = tmp_path / "other"
    for content in (b"SECRET=mine\n", b"\xff\xfe"):
        other.write_bytes(content)
        with pytest.raises(CommandError, match="name another file"):
            write_env_file(other, {"NAME": "1"})
        assert other.read_bytes() == content
    with pytest.raises(CommandError, match=r"cannot be written \(No such file or directory\)"):
        write_env_file(tmp_path / "missing" / "local.env", {})


# Whose settings


def places(settings: Settings) -> dict[str, Any]:
    starlette = Starlette(middleware=[Middleware(asgi.OnBehalfOfMiddleware, settings=settings)])
    with_obo = Starlette()
    with_obo.add_middleware(asgi.OnBehalfOfMiddleware, obo=OnBehalfOf(settings))
    flask = Flask("app")
    FlaskOnBehalfOf().init_app(flask, settings)
    return {
        "settings": settings,
        "obo": OnBehalfOf(settings),
        "starlette": starlette,
        "with_obo": with_obo,
        "flask": flask,
        "asgi": asgi.OnBehalfOfMiddleware(Starlette(), settings),
        "wsgi": wsgi.OnBehalfOfMiddleware(flask, settings),
        "wrapped": types.SimpleNamespace(app=asgi.OnBehalfOfMiddleware(Starlette(), settings)),
        "deep": types.SimpleNamespace(inner=settings),
    }


@pytest.fixture
def module(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    found = types.ModuleType("somebodys_app")
    vars(found).update(places(Settings.from_env()), nothing=Starlette())
    monkeypatch.setitem(sys.modules, "somebodys_app", found)
    return found


@pytest.mark.parametrize(
    "name", ["settings", "obo", "starlette", "with_obo", "flask", "asgi", "wsgi", "wrapped", "deep.inner"]
)
def test_settings_are_found_in_whatever_an_app_is(module: types.ModuleType, name: str) -> None:
    assert settings_of(f"somebodys_app:{name}") == module.settings


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("app", "'app' names no app: write it as servers want it, module:name, such as app:app"),
        (":app", "':app' names no app"),
        ("somebodys_app:missing", "the module 'somebodys_app' has no 'missing': correct the name"),
        ("somebodys_app:nothing", "somebodys_app:nothing is a Starlette without obo-middleware"),
        ("not_there:app", "the module 'not_there' cannot be imported: ModuleNotFoundError"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_is_no_app_is_said(run: Run, place: str, problem: str) -> None:
    said = run("doctor", place)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"obo-middleware: {problem}")


def test_an_app_is_imported_from_the_working_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_app_of_a_user.py").write_text("from obo_middleware import Settings\nSettings.from_env()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    said = run("inspect", "x.y.z", "--app", "own_app_of_a_user:app")
    assert (said.code, said.err.startswith("obo-middleware: tenant_id is missing")) == (2, True)
    with pytest.raises(ConfigurationError):
        settings_of("own_app_of_a_user:app")
    os.chdir(ROOT)
