"""Every log record has the name of its event, and the document lists these names; every refusal has its reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.gates.project import PACKAGES, ROOT, parsed, python_files, shown

LEVELS = frozenset({"critical", "debug", "error", "exception", "info", "log", "warning"})
MAKERS = frozenset({"event", "request_event"})
NAME = re.compile(r"obo(\.[a-z]+(_[a-z]+)*){1,2}")
REASONED = ("_bearer", "_claims", "_token", "_user", "_validation")


def is_log_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    whose = node.func.value
    return isinstance(whose, ast.Name) and whose.id in ("_logger", "logger", "logging") and node.func.attr in LEVELS


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of events that are made in a tree; one that is no literal is an empty name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            name = node.args[0] if node.args else None
            yield name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""


def nameless(tree: ast.Module) -> list[int]:
    """Return the lines of log calls whose ``extra`` is no event: made in place, or just before under that name."""
    lines = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made = {line for line, name in assigned(function) if name}
        for node in ast.walk(function):
            if not is_log_call(node):
                continue
            assert isinstance(node, ast.Call)
            extra = next((keyword.value for keyword in node.keywords if keyword.arg == "extra"), None)
            near = isinstance(extra, ast.Name) and any(0 < node.lineno - line <= 2 for line in made)
            if not near and not (extra is not None and all(names_in(extra)) and list(names_in(extra))):
                lines.append(node.lineno)
    return lines


def assigned(function: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the lines on which the name ``extra`` gets an event, with the event's name."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and "extra" in {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
            yield from ((node.lineno, name) for name in names_in(node.value))


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("def f():\n _logger.info('x')", [2]),
        ("def f():\n _logger.info('x', extra={'event': 'obo.x'})", [2]),
        ("def f():\n _logger.log(1, 'x', extra=event(name))", [2]),
        ("def f():\n _logger.info('x', extra=event('obo.x'))", []),
        ("def f():\n extra = event('obo.x')\n _logger.info('x', extra=extra)", []),
        ("def f():\n a, extra = 1, event('obo.x', error)\n _logger.info('x', extra=extra)", []),
        ("def f():\n extra = 1\n _logger.info('x', extra=extra)", [3]),
        ("def f():\n log(event())", []),
    ],
)
def test_the_checker_finds_log_calls_without_an_event(code: str, lines: list[int]) -> None:
    assert nameless(ast.parse(code)) == lines


def test_every_log_call_names_its_event() -> None:
    problems = [f"{shown(path)}:{line}" for path in python_files(*PACKAGES) for line in nameless(parsed(path))]
    assert problems == []


def test_the_document_lists_every_event_and_no_other() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    table = text[text.index("\n## Events in the log\n") :].partition("\n## ")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `([\w.]+)` \|", table, flags=re.MULTILINE)
    makers = (ROOT / "credentials" / "_log.py", ROOT / "obo_middleware" / "_trace.py")
    made = {name for path in python_files(*PACKAGES) if path not in makers for name in names_in(parsed(path))}
    assert sorted(told) == sorted(set(told)) == sorted(made)
    assert [name for name in told if not NAME.fullmatch(name)] == []


def test_every_refusal_of_a_token_has_its_reason_and_the_document_lists_it() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    problems, reasons = [], set()
    for name in REASONED:
        for node in ast.walk(parsed(ROOT / "obo_middleware" / f"{name}.py")):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "InvalidTokenError":
                found = [ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "reason"]
                reasons.update(found)
                problems += [] if found else [f"{name}:{node.lineno}"]
    assert problems == []
    assert [reason for reason in reasons if f"| `{reason}` |" not in text] == []
