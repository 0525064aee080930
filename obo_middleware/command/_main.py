"""The command line: which commands there are, and how they end.

Exit codes: 0 for success, 1 for a finding (a failed check, a token that is not accepted), 2 for a command that could
not be carried out (wrong usage, an app that cannot be loaded, a port that is taken).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from credentials import __version__
from obo_middleware.errors import ConfigurationError

from ._terminal import CommandError

COMMANDS = {
    "doctor": "check the settings of an app, and everything that they name",
    "inspect": "explain an access token, and say whether an app would accept it",
    "local-entra": "run an identity provider and a Graph on this machine, for development",
    "new-key": "print a new key for the shared cache",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code; ``argv`` are the words behind the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser(arguments).parse_args(arguments)
    try:
        return int(_module(options.command).run(options, sys.stdout))
    except (CommandError, ConfigurationError) as error:
        sys.stderr.write(f"obo-middleware: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="obo-middleware", description="Tools for apps that use obo-middleware.")
    parser.add_argument("--version", action="version", version=f"obo-middleware {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        own = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if name in arguments:  # modules of other commands are not needed, nor what they import
            _module(name).add_arguments(own)
    return parser


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"._{command.replace('-', '_')}", __package__)
