"""Marks of the list of attacks on the parameters of tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def showing(cases: int | Iterable[int], *values: Any) -> list[Any]:
    """Return values as parameters that show these cases; a tuple is the row of a test of several parameters."""
    mark = pytest.mark.attack(*([cases] if isinstance(cases, int) else cases))
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=mark) for value in values]


def by_name(table: Mapping[str, Any], cases: Mapping[str, Iterable[int]]) -> list[Any]:
    """Return a table's rows as parameters, with the cases that are given for some of their names."""
    rows = [(name, row if isinstance(row, tuple) else (row,)) for name, row in table.items()]
    return [pytest.param(*row, id=name, marks=_marks(cases.get(name, ()))) for name, row in rows]


def _marks(cases: Iterable[int]) -> list[pytest.MarkDecorator]:
    numbers = tuple(cases)
    return [pytest.mark.attack(*numbers)] if numbers else []
