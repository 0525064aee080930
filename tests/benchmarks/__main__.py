"""Run the benchmarks and print their table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tests.benchmarks import BENCHMARKS, run
from tests.benchmarks.stage import DOWNSTREAM, INBOUND
from tests.benchmarks.table import Row, table, versions

# They would lead the peers astray: to another authority, or through a proxy to this very machine.
_MISLEADING = {"AZURE_AUTHORITY_HOST", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is asked for, everything by default, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS, help="measure these only")
    options = parser.parse_args(argv)
    for name in [name for name in os.environ if name.upper() in _MISLEADING]:
        del os.environ[name]
    rows: list[Row] = []
    for name in options.only:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += run(name, quick=options.quick)
    print(versions())
    print(f"inbound tokens of {INBOUND:,} characters, downstream tokens of {DOWNSTREAM:,}; {os.cpu_count()} processors")
    print("HTTP client: httpx, where the line does not name another; loop: asyncio's own\n")
    print(table(rows))


if __name__ == "__main__":
    main()
