"""The house rules that no linter knows: the size of functions and files, and what stands in no file."""

from __future__ import annotations

import ast
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.gates.project import PACKAGES, ROOT, parsed, python_files, shown, text_files

CODE = (*PACKAGES, "example_apps", "tests", ".ci")
LONGEST_FUNCTION = 60
LONGEST_FILE = 300

# Written so that this file does not contain what it looks for.
FORBIDDEN = {
    "the address of a package registry": r"py{1}pi\.org|python{1}hosted\.org|--(extra-)?index-{1}url",
    "an absolute path of somebody's machine": r"/(home|Users)/[a-z]|/ro{2}t/",
    "a line left out of coverage": r"pragma: no{1} (cover|branch)",
}
UNEXPLAINED = re.compile(r"#\s*(ty{1}pe:\s*ignore|no{1}qa)[^#]*$")


@cache
def lines_of_code(path: Path) -> set[int]:
    """Return the numbers of the lines that hold code: not blank, not comments, not docstrings."""
    tree, lines = parsed(path), path.read_text(encoding="utf-8").splitlines()
    code = {number for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")}
    texts = [node for node in ast.walk(tree) if is_text(node) or isinstance(node, ast.JoinedStr)]
    return code.union(*map(span, texts)) - docstring_lines(tree)


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines of strings that are statements."""
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and is_text(node.value)]
    return {line for node in strings for line in span(node)}


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def span(node: Any) -> range:
    """Return the numbers of the lines of a node that has a place."""
    return range(node.lineno, node.end_lineno + 1)


def function_lengths(*folders: str) -> dict[str, int]:
    """Return how many lines of code each function has, its ``def`` included."""
    lengths: dict[str, int] = {}
    for path in python_files(*folders):
        code = lines_of_code(path)
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths[f"{shown(path)}:{node.lineno} {node.name}"] = len(code.intersection(span(node)))
    return lengths


@pytest.mark.parametrize("package", PACKAGES)
def test_half_of_the_functions_have_fewer_than_ten_lines(package: str) -> None:
    assert statistics.median(function_lengths(package).values()) < 10


@pytest.mark.parametrize("package", PACKAGES)
def test_nearly_all_functions_have_at_most_thirty_lines(package: str) -> None:
    lengths = function_lengths(package)
    long = [f"{name}: {length}" for name, length in lengths.items() if length > 30]
    assert len(long) <= len(lengths) * 0.02, long


def test_no_function_is_long() -> None:
    lengths = function_lengths(*CODE)
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_no_file_is_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*CODE)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN)
def test_no_file_holds(pattern: str) -> None:
    holders = [shown(path) for path in text_files() if re.search(pattern, path.read_text(errors="replace"))]
    assert holders == []


def test_every_silenced_check_gives_its_reason() -> None:
    unexplained = [
        f"{shown(path)}:{number}"
        for path in python_files(*CODE)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNEXPLAINED.search(line)
    ]
    assert unexplained == []


def test_the_changelog_has_a_section_for_what_is_not_yet_released() -> None:
    headings = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "## [Unreleased]"


def test_every_pin_is_exact() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []


def test_lines_of_code_leave_out_docstrings_comments_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text('def f():\n    """Say\n    more."""\n\n    # why\n    x = """a\n    b"""\n    return x\n')
    assert lines_of_code(path) == {1, 6, 7, 8}
