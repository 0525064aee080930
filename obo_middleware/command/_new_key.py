"""``obo-middleware new-key``: a key for the shared cache."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from obo_middleware._sealing import SecretKey

from ._terminal import CommandError

_MOST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--count", type=int, default=1, metavar="N", help="print N keys, a line each (default: 1)")


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Print keys and nothing else, so that they can go into a file; what to do with them is said to a person only."""
    if not 1 <= options.count <= _MOST:
        raise CommandError(f"--count is {options.count}: give a number from 1 to {_MOST}")
    out.writelines(f"{SecretKey.generate().text}\n" for _ in range(options.count))
    if out.isatty():
        sys.stderr.write(
            "Keep it where your other secrets are, as OBO_CACHE_KEYS. To replace a key, put the new one before it,\n"
            "and take the old one out when the entries of its time are over: OBO_CACHE_KEYS=new,old\n"
        )
    return 0
