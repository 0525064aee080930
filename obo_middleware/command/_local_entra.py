"""``obo-middleware local-entra``: LocalEntra and LocalGraph for an app that runs beside them.

Rule of this file: addresses and ids are the same at every start, so that what was copied once goes on working.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ._terminal import CommandError, console, styled

if TYPE_CHECKING:
    from obo_middleware.testing import LocalEntra, LocalGraph

_MARK = "# Written by obo-middleware local-entra; for development only.\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", type=int, default=8400, help="port of LocalEntra (default: 8400; 0: any free one)")
    parser.add_argument("--graph-port", type=int, default=8401, help="port of LocalGraph (default: 8401)")
    parser.add_argument(
        "--tls", action="store_true", help="serve https, with a certificate authority made for this run"
    )
    parser.add_argument("--users", type=int, default=0, metavar="N", help="add user-0 to user-(N-1) to alice and bob")
    parser.add_argument("--token-lifetime", type=int, default=3900, metavar="SECONDS", help="how long a token lives")
    parser.add_argument("--env-file", type=Path, metavar="PATH", help="write the variables for the app to this file")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for a program")


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    screen = None if options.json else console(out)
    ending = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ending.set())
    with _serving(options) as (entra, graph):
        found = graph.environment
        if options.env_file is not None:
            write_env_file(options.env_file, found)
        if screen is None:
            from obo_middleware.testing.__main__ import describe

            out.write(json.dumps(describe(entra, graph) | {"environment": found}) + "\n")
        else:
            _show(screen, entra, found, options.env_file)
        out.flush()
        ending.wait()
    return 0


@contextlib.contextmanager
def _serving(options: argparse.Namespace) -> Iterator[tuple[LocalEntra, LocalGraph]]:
    try:
        from obo_middleware.testing import LocalEntra, LocalGraph
    except ImportError as error:
        raise CommandError("local-entra needs more packages: pip install 'obo-middleware[testing]'") from error
    entra = LocalEntra(port=options.port, tls=options.tls, token_lifetime=options.token_lifetime)
    for number in range(options.users):
        entra.add_user(f"user-{number}")
    graph = LocalGraph(entra, port=options.graph_port)
    with contextlib.ExitStack() as stack:
        for server, port, option in ((entra, options.port, "--port"), (graph, options.graph_port, "--graph-port")):
            try:
                stack.enter_context(server)
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or "it is no port"
                raise CommandError(f"{option} {port} cannot be used ({reason}): give another, or 0 for any") from error
        yield entra, graph


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Write the variables, for the owner only; raises :class:`CommandError` rather than overwrite somebody's file."""
    text = _MARK + "".join(f"{name}={value}\n" for name, value in values.items())
    try:
        with contextlib.suppress(FileNotFoundError):
            if not path.read_text(encoding="utf-8").startswith(_MARK):
                raise CommandError(f"--env-file {path} has something else in it: name another file, or remove it")
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CommandError(f"--env-file {path} cannot be written ({reason}): name another file") from error


def _show(screen: Any, entra: LocalEntra, found: Mapping[str, str], env_file: Path | None) -> None:
    def say(text: str = "", style: str = "") -> None:
        screen.print(styled(text, style))

    say("LocalEntra and LocalGraph are running, for development only.", "bold green")
    say(f"Users: {', '.join(entra.users)}")
    say()
    say("Your app, in another terminal:", "bold")
    if env_file is None:
        for name, value in found.items():
            say(f"export {name}={value}")
    else:
        # With its folder: a shell looks a bare name up among programs.
        say(f"set -a; . {env_file if env_file.is_absolute() else f'./{env_file}'}; set +a")
    say("uvicorn app:app")
    say()
    say("Call it as alice, in a third:", "bold")
    trust = f" --cacert {entra.ca_pem_path}" if entra.tls else ""
    say(f"TOKEN=$(curl -s{trust} {entra.authority}/_local/token/alice)")
    say('curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/me')
    say()
    say("Ctrl-C ends it.", "dim")
