"""The code in the documents runs, and their tables say what the code does."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import credentials
from example_apps.local import ROOT, serving
from obo_middleware import DownstreamApi, OboError, ProtectedResource, Settings, TrustedIssuer, errors
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.examples.blocks import Block, blocks

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVERS = {
    "from fastapi": ("uvicorn", "app:app", "--port", "0", "--app-dir"),
    "from flask": ("gunicorn", "app:app", "--bind", "127.0.0.1:0", "--threads", "2", "--chdir"),
}


# These need more of a world around them: other tests here, and in tests/frameworks, run their blocks;
# test_blocks.py has a list of all.
ELSEWHERE = ("credentials", "scaling", "clients", "chains", "guide-", "tutorial-")
BLOCKS = list(blocks(path for path in DOCUMENTS if not path.stem.startswith(ELSEWHERE)))
WEB_APPS = [block for block in BLOCKS if '@app.get("/me"' in block.code and "def test_" not in block.code]
TESTS = [block for block in BLOCKS if "def test_" in block.code]
SCRIPTS = [block for block in BLOCKS if "get_token" in block.code]
SETTINGS = [
    block for block in BLOCKS if block.code.startswith("from obo_middleware import") and "def " not in block.code
]
STEP_UPS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("POST", "/payments"): ("insufficient_user_authentication", {"acr": "phr"}),
    ("DELETE", "/payroll"): ("insufficient_claims", {"acrs": ["c1"], "scp": "payroll.write"}),
}
"""The guarded routes in docs/protecting.md: what a weak sign-in is told, and the claims of one that is enough."""


def filled_in(code: str, entra: LocalEntra, graph: LocalGraph) -> str:
    """Return code with its placeholders replaced by what the local provider knows."""
    values = {
        'tenant_id="..."': f'tenant_id="{entra.tenant_id}"',
        'client_id="..."': f'client_id="{entra.api.client_id}"',
        'client_credential="..."': f'client_credential="{entra.api.secret}", allow_local_issuer=True',
        'client_secret="..."': f'client_secret="{entra.api.secret}", allow_local_authority=True',
        'user_assertion="..."': f'user_assertion="{entra.sign_in("alice")}"',
        '"https://graph.microsoft.com/v1.0"': f'"{graph.base_url}"',
    }
    for placeholder, value in values.items():
        code = code.replace(placeholder, value)
    assert '"..."' not in code
    return code


def run_python(*arguments: str, variables: dict[str, str]) -> str:
    """Run Python with the project on its path; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_of_code_is_run_below() -> None:
    found = [*WEB_APPS, *TESTS, *SCRIPTS, *SETTINGS]
    assert sorted(map(str, found)) == sorted(map(str, BLOCKS))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_of_code_compiles(block: Block) -> None:
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", WEB_APPS, ids=str)
def test_a_web_app_in_the_readme_serves_its_users(
    block: Block, tmp_path: Path, entra: LocalEntra, graph: LocalGraph
) -> None:
    (tmp_path / "app.py").write_text(filled_in(block.code, entra, graph), encoding="utf-8")
    command = next(command for start, command in SERVERS.items() if start in block.code)
    with (
        serving((*command, str(tmp_path)), graph.environment) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client,
    ):
        for user in (entra.alice, entra.bob):
            token = entra.sign_in(user)
            profile = client.get("/me", headers={"Authorization": f"Bearer {token}"}).json()
            assert profile["id"] == user.object_id
        assert client.get("/me").status_code == 401
        for (method, path), (error, claims) in STEP_UPS.items() if '"/payments"' in block.code else ():
            weak = client.request(method, path, headers=bearer(entra, xms_cc=["cp1"]))
            assert (weak.status_code, weak.json()["error"]) == (401, error)
            strong = client.request(method, path, headers=bearer(entra, auth_time=int(entra.clock()), **claims))
            assert list(strong.json().values()) == [entra.alice.object_id]


def bearer(entra: LocalEntra, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {entra.sign_in('alice', **claims)}"}


@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_settings_in_a_document_can_be_made(block: Block, entra: LocalEntra, graph: LocalGraph) -> None:
    names: dict[str, Any] = {}
    exec(filled_in(block.code, entra, graph), names)  # noqa: S102  # our own documents
    assert isinstance(names["settings"], Settings)


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_the_tests_in_a_document_pass(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "test_document.py"
    path.write_text(block.code, encoding="utf-8")
    # Starlette's lowest version, whose test client this is, uses names that anyio has since renamed.
    options = ("-p", "no:cacheprovider", "-q", "-c", "pyproject.toml", "-W", "ignore::DeprecationWarning")
    said = run_python("-m", "pytest", *options, str(path), variables={})
    assert f"{block.code.count('def test_')} passed" in said


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_a_script_in_the_readme_gets_its_token(block: Block, entra: LocalEntra, graph: LocalGraph) -> None:
    code = filled_in(block.code, entra, graph) + "\nprint(token)\n"
    said = run_python("-c", code, variables=graph.environment)
    assert said.startswith("AccessToken(token=<hidden>, expires_on=")


def test_the_context_has_what_its_document_names(entra: LocalEntra, graph: LocalGraph) -> None:
    from obo_middleware._context import AsyncContext, BlockingContext

    first = [cells[0] for cells in rows("docs/context.md", "# The context")]
    named = {re.findall(r"\w+", cell)[0] for cell in first}
    assert len(named) == 12
    assert named <= {*dir(AsyncContext), "user"}
    assert named - {"blocking_client"} <= {*dir(BlockingContext), "user"}


def rows(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    text = "\n" + (ROOT / document).read_text(encoding="utf-8")
    below = text[text.index(f"\n{heading}\n") :]
    match = re.search(r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)+)", below, flags=re.MULTILINE)
    assert match is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in match[1].splitlines()]


def names_in(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("kind", [Settings, DownstreamApi, TrustedIssuer, ProtectedResource])
def test_the_settings_document_has_every_field_with_its_default(kind: type) -> None:
    told = {
        name.strip("`"): default.strip("`") for name, default, _ in rows("docs/settings.md", f"## `{kind.__name__}`")
    }
    assert told == {field.name: default_of(field) for field in dataclasses.fields(kind)}


def default_of(field: dataclasses.Field[object]) -> str:
    """Return a field's default as a reader would write it."""
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    if field.default is dataclasses.MISSING:
        return ""
    known = {"http": "httpx", "clock": "time.time", "cache_size": "100_000"}
    return known.get(field.name, repr(field.default).replace("'", '"'))


def test_the_errors_document_has_every_error_with_its_status() -> None:
    told = {(row[0].strip("`"), int(row[1])) for row in rows("docs/errors.md", "## What the client gets")}
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "answer_for"]
    assert told == {(kind.__name__, kind.status) for kind in kinds} | {("ClaimsChallengeError", 403)}


def test_the_errors_document_says_what_to_do_about_every_error() -> None:
    told = names_in([row[0] for row in rows("docs/errors.md", "## What to do")])
    assert sorted([*told, "OboError", "answer_for"]) == sorted(errors.__all__)


def test_the_errors_document_has_every_credential_error_with_its_answer() -> None:
    told = {
        row[0].strip("`"): row[2].strip("`") for row in rows("docs/errors.md", "## Errors of the credential classes")
    }
    kinds = {name: getattr(credentials, name) for name in credentials.__all__ if name.endswith("Error")}
    made = {
        name: kind(["a"]) if name == "AuthenticationRequiredError" else kind("text") for name, kind in kinds.items()
    }
    answers: dict[str, OboError] = {name: errors.answer_for(error) for name, error in made.items()}
    assert told == {name: type(answer).__name__ for name, answer in answers.items()}


def folder_of(package: str) -> Path:
    """Return where a package really is: the tests also run against an installed wheel, without the checkout."""
    return Path(str(importlib.import_module(package).__file__)).parent


@pytest.mark.parametrize("package", ["credentials", "obo_middleware"])
def test_the_architecture_document_has_every_module(package: str) -> None:
    told = names_in([row[0] for row in rows("docs/architecture.md", f"### `{package}`, from the lowest floor up")])
    files = {path.stem for path in folder_of(package).glob("*.py")}
    folders = {path.parent.name for path in folder_of(package).glob("*/__init__.py")}
    assert sorted(told) == sorted(files | folders)


def test_the_twins_that_the_architecture_document_names_exist() -> None:
    for where, twins in rows("docs/architecture.md", "## The twin budget"):
        modules = [name.partition(".") for name in re.findall(r"`([\w.]+)`", where)]
        files = [folder_of(package) / f"{module}.py" for package, _, module in modules]
        text = "".join(path.read_text(encoding="utf-8") for path in files)
        assert [name for name in re.findall(r"`(\w+)`", twins) if not re.search(rf"(def|class) {name}\b", text)] == []
