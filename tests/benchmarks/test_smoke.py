"""Each benchmark runs and yields its rows; what they say is for people to read, and fails nothing here."""

from __future__ import annotations

import pytest

from tests.benchmarks import BENCHMARKS, run
from tests.benchmarks.__main__ import main
from tests.benchmarks.table import Row, table

ROWS = {
    "cached_read": 4,
    "frameworks": 2,
    "single_flight": 2,
    "validation": 2,
    "shared_cache": 3,
    "cold_exchange": 2,
    "memory": 2,
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_runs_and_yields_its_rows(name: str) -> None:
    rows = run(name, quick=True)
    assert len(rows) == ROWS.get(name, 1)
    assert all(row.what and row.ours and row.budget for row in rows)


def test_a_new_user_costs_one_request_and_no_connection() -> None:
    (row,) = run("new_user", quick=True)
    assert row.ours == "1 request(s), 0 new connection(s), 0 of discovery"
    assert row.within


def test_the_command_prints_versions_and_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--only", "credential_object"])
    printed = capsys.readouterr().out
    for said in ("PyJWT", "httpx", "starlette", "1,700", "2,048", "verdict", "context.credential"):
        assert said in printed


def test_a_row_over_its_budget_says_so_beside_its_wrapped_cells() -> None:
    row = Row(what="a " * 40, ours="9 us", budget="<= 5 us", within=False)
    lines = table([row]).splitlines()
    assert lines[2].endswith("| OVER")
    assert lines[3].startswith("a a")
