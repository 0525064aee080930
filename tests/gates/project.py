"""Where the project's files are, for the tests that read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("credentials", "obo_middleware")
FOLDERS = (*PACKAGES, "example_apps", "tests", "docs", ".ci")


_MADE = frozenset({"__pycache__", "node_modules"})


def python_files(*folders: str) -> Iterator[Path]:
    """Yield the Python files below these folders of the project, in a fixed order."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def text_files() -> Iterator[Path]:
    """Yield every file that is written by hand."""
    yield from sorted(path for path in ROOT.iterdir() if path.is_file() and not is_made(path))
    for folder in FOLDERS:
        yield from sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and not is_made(path))


def is_made(path: Path) -> bool:
    """Tell whether a tool made this file: caches, coverage data, and the like."""
    return not _MADE.isdisjoint(path.parts) or path.name.startswith(".coverage") or path.name == ".git"


def shown(path: Path) -> str:
    """Return a file's name as seen from the project's root, for messages."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
