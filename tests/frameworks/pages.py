"""The complete apps in the pages about frameworks, written to files as their readers would."""

from __future__ import annotations

from pathlib import Path

from example_apps.local import ROOT
from tests.examples.blocks import Block, blocks

PAGES = ROOT / "docs" / "frameworks"


def apps_in(page: str) -> list[Block]:
    """Return the blocks of code in a page, the complete app first."""
    return list(blocks([PAGES / f"{page}.md"]))


def save(code: str, folder: Path) -> None:
    """Save an app as ``app.py`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(code, encoding="utf-8")
