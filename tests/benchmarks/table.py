"""Rows, and the one table that they make."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version

SHOWN = ("PyJWT", "cryptography", "cachetools", "httpx", "httpx2", "starlette", "fastapi", "uvicorn")
PEERS = ("msal", "azure-identity", "azure-core")
_WIDTHS = (46, 26, 26, 26, 44, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: each cell as it is printed, and whether ours is within the budget."""

    what: str
    ours: str
    budget: str
    floor: str = ""
    peers: str = ""
    within: bool


def versions() -> str:
    """Return what the numbers hinge on, in two lines."""
    ours = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    return f"Python {platform.python_version()}, {ours}\npeers: {peers}"


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text, cells wrapped to the width of their column."""
    lines = [_line("what", "ours", "budget", "floor", "peers", "verdict"), _rule()]
    for row in rows:
        *cells, within = astuple(row)
        lines += [_line(*cells, "within" if within else "OVER"), _rule()]
    return "\n".join(lines)


def _rule() -> str:
    return "-+-".join("-" * width for width in _WIDTHS)


def _line(*cells: str) -> str:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    height = max(map(len, wrapped))
    return "\n".join(_joined([lines[n] if n < len(lines) else "" for lines in wrapped]) for n in range(height))


def _joined(cells: Sequence[str]) -> str:
    return " | ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def micro(seconds: float) -> str:
    """Return a time in microseconds, to print."""
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-4 else f"{seconds * 1e6:,.0f} us"


def milli(seconds: float) -> str:
    """Return a time in milliseconds, to print."""
    return f"{seconds * 1e3:,.1f} ms"
