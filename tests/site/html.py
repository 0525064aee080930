"""What a browser would find in a page: anchors, links, images, and what is loaded with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

# Links in a page's head that load nothing by themselves.
FOLLOWED = {"canonical", "index", "next", "prev", "search"}


@dataclass
class Page:
    """One page of the site."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    images_without_text: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    language: str = ""
    viewport: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if "id" in has:
            self.page.anchors.add(has["id"])
        if tag == "img" and not has.get("alt", "").strip():
            self.page.images_without_text.append(has.get("src", ""))
        self._keep_link(tag, has)
        self._keep_rest(tag, has)

    def _keep_link(self, tag: str, has: dict[str, str]) -> None:
        if tag == "a" and "href" in has:
            self.page.links.append(has["href"])
        elif tag == "link" and has.get("rel") not in FOLLOWED:
            self.page.loaded.append(has.get("href", ""))
        elif tag == "form":
            self.page.loaded.append(has.get("action", ""))
        elif "src" in has:
            self.page.loaded.append(has["src"])

    def _keep_rest(self, tag: str, has: dict[str, str]) -> None:
        if tag == "html":
            self.page.language = has.get("lang", "")
        elif tag == "meta" and has.get("name") == "viewport":
            self.page.viewport = has.get("content", "")
        elif tag == "h1":
            self.page.headings.append(has.get("id", ""))


def read(path: Path) -> Page:
    """Return what is in a page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page
