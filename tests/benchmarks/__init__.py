"""The benchmarks: every budget of the design, measured beside its floor and its peers in one run.

Each module measures one budget and returns its rows; ``python -m tests.benchmarks`` prints them in one table.
Nothing here is a test with a time limit: a slow machine fails no build.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.benchmarks.table import Row

BENCHMARKS = (
    "warm_request",
    "cached_read",
    "downstream_call",
    "frameworks",
    "single_flight",
    "new_user",
    "validation",
    "floods",
    "shared_cache",
    "cold_exchange",
    "memory",
    "credential_object",
    "imports",
)
"""The modules that measure, in the order of the design's table; each has ``run(*, quick: bool) -> list[Row]``."""


def run(name: str, *, quick: bool) -> list[Row]:
    """Measure one of them and return its rows; ``quick`` shows that it runs, its numbers mean nothing."""
    rows: list[Row] = import_module(f"{__name__}.{name}").run(quick=quick)
    return rows
