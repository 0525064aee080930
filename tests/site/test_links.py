"""Links in the documents as they stand in the repository, where a viewer shows them without a build.

Links to other hosts cannot be followed here, for tests have no network: their form is checked, and that each host is
one of a short list, so that a new one is a decision.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.examples.blocks import CODE, pages
from tests.gates.project import ROOT, shown

HOSTS = {
    "datatracker.ietf.org",
    "entra.microsoft.com",
    "github.com",
    "grafana.com",
    "intility.github.io",
    "keepachangelog.com",
    "learn.microsoft.com",
    "opentelemetry.io",
    "semver.org",
    "www.rfc-editor.org",
}
LINK = re.compile(r"(?<!\\)\]\(([^()\s]+(?:\([^()]*\))?)\)")
PAGES = pytest.mark.parametrize("page", pages(), ids=shown)


def text_of(page: Path) -> str:
    """Return a page without its code, comments and literals, in which nothing is a link."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->|`[^`\n]+`(?!\])", "", text, flags=re.DOTALL)


def links(page: Path) -> list[str]:
    return LINK.findall(text_of(page))


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that viewers make of a page's headings: small letters, hyphens for blanks, no punctuation."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = base = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while slug in found:
            number += 1
            slug = f"{base}-{number}"
        found.add(slug)
    return found


@PAGES
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(ROOT) or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


@PAGES
def test_every_link_to_another_host_is_https_and_to_one_that_is_listed(page: Path) -> None:
    outside = [urlsplit(link) for link in links(page) if urlsplit(link).scheme]
    assert [link.geturl() for link in outside if link.scheme != "https" or link.hostname not in HOSTS] == []


def test_the_first_page_leads_to_every_other() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    docs = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference"]
    assert [shown(path) for path in docs if path not in {index, *linked}] == []
