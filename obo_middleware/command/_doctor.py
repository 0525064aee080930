"""``obo-middleware doctor``: what is wrong with an app's settings, and what to change."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any, TextIO

from credentials.kernel import scrub
from obo_middleware._runtime import Runtime
from obo_middleware._settings import Settings
from obo_middleware.errors import ConfigurationError

from ._app import settings_of
from ._checks import Check, offline_checks
from ._reach import PATIENCE, online_checks
from ._terminal import console, styled

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "skipped": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = f"Each answer is waited for {PATIENCE:.0f} seconds at most. Exit code: 0, or 1 if a check failed."
    parser.add_argument(
        "app", nargs="?", metavar="MODULE:NAME", help="the app, or its Settings; without it, those of the environment"
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody")
    parser.add_argument("--json", action="store_true", help="print JSON for a program")


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Make every check, and return 1 if one failed."""
    screen = None if options.json else console(out)
    found = []
    with _quiet():
        for check in _checks(options, screen):
            found.append(check)
            if screen is not None:
                _show(screen, check)
    failed = any(check.status == "failure" for check in found)
    if screen is None:
        document = {"ok": not failed, "checks": [check.document() for check in found]}
        out.write(json.dumps(document, indent=2) + "\n")
    return int(failed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log off the screen where nobody has set one up: the checks say what is in it."""
    handler = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in ("obo_middleware", "credentials")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _checks(options: argparse.Namespace, screen: Any) -> Iterator[Check]:
    try:
        settings = settings_of(options.app) if options.app else Settings.from_env()
        runtime = Runtime(settings)
    except ConfigurationError as error:
        problem, _, fix = scrub(str(error)).partition(": ")
        yield Check(name="settings", status="failure", message=problem, fix=fix.removesuffix("."))
        return
    yield from offline_checks(settings)
    if options.offline:
        return
    try:
        for saying, judge in online_checks(runtime):
            with contextlib.nullcontext() if screen is None else screen.status(styled(f"{saying} ...")):
                check = judge()
            yield check
    finally:
        runtime.close()


def _show(screen: Any, check: Check) -> None:
    screen.print(styled(f"{check.status:8}", _STYLES[check.status]), styled(check.name, "bold"), styled(check.message))
    if check.fix:
        screen.print(styled(f"{'':8} -> {check.fix}"))
