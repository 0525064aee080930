"""The blocks of code in the documents.

A block that no test runs has a line above it that says why: ``<!-- not run: needs a tenant -->``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from example_apps.local import ROOT


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code in a document, below a heading; ``reason`` says why it is not run, if it is not."""

    document: str
    line: int
    heading: str
    code: str
    language: str = "python"
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


CODE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^([ ]*)```([^\s`]*)[^\n]*\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run: ([^\n]+) -->\n\Z")


def pages() -> list[Path]:
    """Return every document that is written for users."""
    docs = (ROOT / "docs").rglob("*.md")
    examples = [path for path in (ROOT / "example_apps").rglob("*.md") if "node_modules" not in path.parts]
    changes = [path for path in [ROOT / "CHANGELOG.md"] if path.exists()]  # not in the copy that tests the wheel
    return [ROOT / "README.md", *changes, *sorted(docs), *sorted(examples)]


def all_blocks(paths: Iterable[Path]) -> Iterator[Block]:
    """Yield the blocks of every language, those that are not run too."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            above = text[: match.start()]
            headings = re.findall(r"^#+ (.*)$", CODE.sub("", above), flags=re.MULTILINE)
            mark = MARK.search(above)
            yield Block(
                document=path.relative_to(ROOT).as_posix(),
                line=above.count("\n") + 2,
                heading=headings[-1] if headings else "",
                code=match[3],
                language=match[2],
                reason=mark[1] if mark else "",
            )


def blocks(paths: Iterable[Path]) -> Iterator[Block]:
    """Yield the blocks of Python that are to be run."""
    return (block for block in all_blocks(paths) if block.language == "python" and not block.reason)
