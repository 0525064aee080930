"""The code in docs/browser-demo.md is the page's own."""

from __future__ import annotations

import re

import pytest

from example_apps.browser_demo.page import FOLDER
from example_apps.local import ROOT

TEXT = (ROOT / "docs" / "browser-demo.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```js\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
IMAGES = re.findall(r"!\[[^]]+\]\((.+?)\)", TEXT)


@pytest.mark.parametrize("code", CODE)
def test_code_in_the_document_is_the_pages_own(code: str) -> None:
    assert any(code in path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js"))


def test_there_is_code_and_every_image_is_small() -> None:
    found = {f"images/{path.name}": path.stat().st_size for path in (ROOT / "docs" / "images").glob("browser-demo-*")}
    assert (len(CODE), sorted(found)) == (4, sorted(IMAGES))
    assert max(found.values()) < 150_000


def test_every_button_is_in_the_documents_table() -> None:
    labels = re.findall(r"<b>(.+?)</b>", (FOLDER / "index.html").read_text(encoding="utf-8"))
    assert re.findall(r"^\| ([A-Z][^|]+?) \|", TEXT, flags=re.MULTILINE) == labels
