"""No signature is compared by our own code: that is done in constant time, by the libraries made for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.gates.project import PACKAGES, parsed, python_files, shown

SECRET_BYTES = re.compile(r"signature|hmac|digest|(^|_)mac(_|$)")
METRICS = ("opentelemetry", "prometheus_client", "statsd", "datadog")
Loop = ast.For | ast.AsyncFor | ast.comprehension


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the names that stand for a value itself, not for what a function makes of it, such as its length."""
    if isinstance(node, ast.Call):
        return
    if isinstance(node, ast.Name):
        yield node.id
    if isinstance(node, ast.Attribute):
        yield node.attr
    else:
        for child in ast.iter_child_nodes(node):
            yield from names_in(child)


def compared_by_hand(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare a signature with an operator, or go through its bytes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            looked_at: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, Loop):
            called = node.iter if isinstance(node.iter, ast.Call) else None
            looked_at = [node.iter, *(called.args if called else ())]
        else:
            continue
        if any(SECRET_BYTES.search(name.lower()) for part in looked_at for name in names_in(part)):
            yield looked_at[0].lineno


@pytest.mark.attack(59)
def test_no_signature_is_compared_byte_by_byte() -> None:
    found = [f"{shown(path)}:{line}" for path in python_files(*PACKAGES) for line in compared_by_hand(parsed(path))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "signature == expected",
        "expected != parsed.signature",
        "hmac.new(k, m).digest() == token.mac",
        "a.signature[1] == b[1]",
        "found in (digest, other)",
        "for a, b in zip(signature, expected): pass",
        "all(a == b for a, b in zip(x.signature, y))",
        "[byte for byte in digest]",
    ],
)
def test_a_comparison_by_hand_is_found(code: str) -> None:
    assert list(compared_by_hand(ast.parse(code))) == [1]


@pytest.mark.parametrize(
    "code",
    [
        "hmac.compare_digest(a, b)",
        "not hmac.compare_digest(found, signature)",
        "len(signature) == 64",
        "key.verify(signature, text)",
        "for byte in machine: pass",
    ],
)
def test_other_uses_are_not(code: str) -> None:
    assert list(compared_by_hand(ast.parse(code))) == []


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.attack(186)
def test_one_module_measures_which_is_told_no_user_and_no_key() -> None:
    found = [
        f"{shown(path)}: {name}"
        for path in python_files(*PACKAGES)
        for name in imported(parsed(path))
        if name.partition(".")[0] in METRICS
    ]
    # What it is told are words of closed sets; tests/core/test_telemetry_of_nobody.py reads all that it tells.
    assert found == ["obo_middleware/telemetry.py: opentelemetry"]
