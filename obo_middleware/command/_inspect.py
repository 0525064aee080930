"""``obo-middleware inspect``: what a token says, and whether an app would accept it.

Rule of this file: neither the token nor its signature is shown; who sees the screen must not be able to use it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from credentials.kernel import BlockingDriver, ConnectionPool
from obo_middleware._settings import Settings
from obo_middleware._token import ParsedToken, parse_token
from obo_middleware._validation import TokenValidator
from obo_middleware.errors import OboError

from ._app import settings_of
from ._explained import explained, kind_of
from ._terminal import CommandError, console, harmless, styled

_LONGEST = 65_536
"""Characters that are read of a token."""
_BEFORE = re.compile(r"""^["']?(?:authorization:\s*)?(?:bearer(?:\s+|$))?""", re.IGNORECASE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "Give the token on standard input: as an argument it stays in the history of the shell, and others on this "
        "machine see it in the list of processes."
    )
    parser.add_argument(
        "token", nargs="?", default="-", metavar="TOKEN", help="the token; - or nothing: standard input"
    )
    parser.add_argument(
        "--app", metavar="MODULE:NAME", help="the app, or its Settings; else the environment, if it has any"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for a program")


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Explain a token; the exit code is 1 if it cannot be read, or would not be accepted."""
    token = _token(options.token)
    settings = _settings(options.app)
    screen = None if options.json else console(out)
    try:
        parsed = _parsed(token)
    except OboError as error:
        raise CommandError(f"this is no access token that can be read: {error}") from error
    now = time.time() if settings is None else settings.clock()
    verdict = _verdict(token, settings)
    if screen is None:
        out.write(json.dumps(_document(parsed, verdict, now), indent=2, default=str) + "\n")
    else:
        _show(screen, parsed, verdict, now)
    return 1 if verdict["accepted"] is False else 0


def _token(given: str) -> str:
    if given == "-":
        if sys.stdin.isatty():
            sys.stderr.write("Paste the token, then Enter and Ctrl-D:\n")
        given = sys.stdin.read(_LONGEST + 1)
    token = _BEFORE.sub("", given.strip()).strip().strip("\"'")
    if not token:
        raise CommandError("there is no token: pipe one in, as in `pbpaste | obo-middleware inspect`")
    if len(token) > _LONGEST:
        raise CommandError(f"the token is longer than {_LONGEST} characters: is it a token?")
    return token


def _settings(app: str | None) -> Settings | None:
    if app is not None:
        return settings_of(app)
    return Settings.from_env() if os.environ.get("AZURE_CLIENT_ID") else None


def _parsed(token: str) -> ParsedToken:
    if token.count(".") == 4:
        raise CommandError("the token is encrypted: only the API that it is for can read it")
    return parse_token(token)


def _verdict(token: str, settings: Settings | None) -> dict[str, Any]:
    """Return whether an app would accept the token, None if that cannot be told, and why."""
    if settings is None:
        return {
            "accepted": None,
            "reason": "not judged: name the app with --app, or set AZURE_CLIENT_ID and the others",
        }
    pool = ConnectionPool(library=settings.http, ssl_context=settings.ssl_context)
    validator = TokenValidator(settings)
    try:
        validator.check(BlockingDriver(pool).run(validator.validate_flow(token)))
    except OboError as error:
        # Of the provider that is not there nothing follows for the token.
        return {"accepted": None if error.status >= 500 else False, "reason": str(error) or error.title}
    finally:
        pool.close()
    return {"accepted": True, "reason": "the signature and every claim are as the app wants them"}


def _members(parsed: ParsedToken) -> list[tuple[str, str, Any]]:
    parts: tuple[tuple[str, Mapping[str, Any]], ...] = (("header", parsed.header), ("claim", parsed.claims))
    return [(part, name, value) for part, members in parts for name, value in members.items()]


def _document(parsed: ParsedToken, verdict: Mapping[str, Any], now: float) -> dict[str, Any]:
    meanings = {name: explained(name, value, now) for _, name, value in _members(parsed)}
    return {
        "header": dict(parsed.header),
        "claims": dict(parsed.claims),
        "meanings": {name: meaning for name, meaning in meanings.items() if meaning},
        "warning": kind_of(parsed.header, parsed.claims) or None,
        "verdict": dict(verdict),
    }


def _show(screen: Any, parsed: ParsedToken, verdict: Mapping[str, Any], now: float) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("part", "name", "value", "meaning"):
        table.add_column(heading, overflow="fold")  # whole, for ids are compared
    for part, name, value in _members(parsed):
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        table.add_row(part, styled(name, "cyan"), styled(text), styled(explained(name, value, now)), style=None)
    screen.print(table, soft_wrap=False)
    screen.print()
    warning = kind_of(parsed.header, parsed.claims)
    if warning:
        screen.print(styled(warning, "yellow"))
    colour, word = {True: ("green", "accepted"), False: ("red", "not accepted"), None: ("yellow", "")}[
        verdict["accepted"]
    ]
    said = f"{word}: {harmless(verdict['reason'])}" if word else harmless(verdict["reason"])
    screen.print(styled(said, f"bold {colour}"))
    screen.print(styled("Nothing of this is verified unless it says accepted; the signature is not shown.", "dim"))
