"""Every known defect of azure-identity has a test that it would fail: the marker `peer_defect` says which."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.gates.project import ROOT, parsed, python_files, shown

DOCUMENT = (ROOT / "docs" / "azure-identity.md").read_text(encoding="utf-8")
ROWS = [int(number) for number in re.findall(r"^\| (\d+) \|", DOCUMENT, flags=re.MULTILINE)]
"""The numbers of azure-identity's defects in the document."""


def test_the_document_numbers_the_defects() -> None:
    assert list(range(1, 27)) == ROWS


def marked(tree: ast.Module) -> Iterator[tuple[str, object]]:
    """Yield the name of each marked test and the row that its mark names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.peer_defect":
                    yield node.name, ast.literal_eval(decorator.args[0])


@cache
def all_marked() -> list[tuple[str, object]]:
    return [
        (f"{shown(path)}::{name}", row)
        for path in python_files("tests")
        if path.name.startswith("test_")
        for name, row in marked(parsed(path))
    ]


@pytest.mark.parametrize("row", ROWS)
def test_each_defect_has_a_test(row: int) -> None:
    assert [name for name, marked_row in all_marked() if marked_row == row]


def test_no_mark_names_a_row_that_there_is_not() -> None:
    assert [(name, row) for name, row in all_marked() if row not in ROWS] == []


def test_only_tests_are_marked() -> None:
    assert [name for name, _ in all_marked() if not name.partition("::")[2].startswith("test_")] == []


def test_the_marks_are_found() -> None:
    code = (
        "@pytest.mark.peer_defect(3)\n@pytest.mark.parametrize('a', [1])\n@pytest.mark.peer_defect(5)\n"
        "def test_a(a): ...\n@pytest.mark.wheel\n@fixture\nasync def test_b(): ...\n"
        "class Group:\n    @pytest.mark.peer_defect(7)\n    async def test_c(self): ..."
    )
    assert sorted(marked(ast.parse(code))) == [("test_a", 3), ("test_a", 5), ("test_c", 7)]
