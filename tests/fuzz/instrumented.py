"""One target under atheris: `python -m tests.fuzz.instrumented TARGET [CORPUS | INPUT] [-OPTION=...]` of libFuzzer."""

from __future__ import annotations

import sys

import atheris

# Only what is imported within is watched: the product, and what it hands untrusted bytes to.
with atheris.instrument_imports(include=["credentials", "obo_middleware", "jwt"]):
    from tests.fuzz.targets import CASES
    from tests.fuzz.world import world


def main() -> None:
    run = CASES[sys.argv.pop(1)].run
    world().log.begin()
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
