"""The blocks of code in the documents."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from example_apps.local import ROOT


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of Python code in a document, below a heading."""

    document: str
    line: int
    heading: str
    code: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


CODE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(paths: Iterable[Path]) -> Iterator[Block]:
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
            above = text[: match.start()]
            headings = re.findall(r"^#+ (.*)$", CODE.sub("", above), flags=re.MULTILINE)
            yield Block(path.relative_to(ROOT).as_posix(), above.count("\n") + 2, headings[-1], match[1])
