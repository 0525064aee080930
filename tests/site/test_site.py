"""The built site: complete, whole, and from one place only."""

from __future__ import annotations

import importlib
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from sphinx.util.inventory import InventoryFile

from tests.gates.project import ROOT
from tests.gates.test_exports import PUBLIC
from tests.site.html import Page

pytestmark = pytest.mark.timeout(400)  # the first of these tests waits for the build
# A door between our own two packages, and no promise to users.
NOT_FOR_USERS = "credentials.kernel"
OF_A_SITE = ("genindex.html", "py-modindex.html", "search.html")


def names_in_the_reference(site: Path) -> set[str]:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}


@pytest.mark.parametrize("module", [name for name in PUBLIC if name != NOT_FOR_USERS])
def test_the_reference_has_every_name_that_is_exported(site: Path, module: str) -> None:
    exported = {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    assert exported - names_in_the_reference(site) == set()


def test_the_reference_promises_nothing_that_is_not_public(site: Path) -> None:
    modules = {name for name in names_in_the_reference(site) if name.startswith(NOT_FOR_USERS)}
    assert modules == set()


def test_every_document_has_its_page(built: dict[str, Page]) -> None:
    sources = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    assert sources - set(built) == set()


def test_the_navigation_leads_to_every_page(built: dict[str, Page]) -> None:
    linked = {target("index.html", link)[0] for link in built["index.html"].links}
    linked |= {target("reference/index.html", link)[0] for link in built["reference/index.html"].links}
    assert set(built) - linked - {*OF_A_SITE, "index.html"} == set()


def target(page: str, link: str) -> tuple[str, str]:
    """Return the page and the anchor to which a link within the site leads."""
    parts = urlsplit(link)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), parts.path)) if parts.path else page
    return unquote(path), unquote(parts.fragment)


def is_outside(link: str) -> bool:
    return bool(urlsplit(link).scheme or link.startswith("//"))


def test_every_link_within_the_site_leads_somewhere(site: Path, built: dict[str, Page]) -> None:
    broken = []
    for name, page in built.items():
        for link in page.links:
            path, anchor = target(name, link)
            if is_outside(link) or not link.strip("#"):
                continue
            known = built.get(path)
            if not (site / path).is_file() or (anchor and known and anchor not in known.anchors):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_another_host(site: Path, built: dict[str, Page]) -> None:
    loaded = {f"{name}: {link}" for name, page in built.items() for link in page.loaded if is_outside(link)}
    assert {link for link in loaded if not link.partition(": ")[2].startswith("data:")} == set()
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]+", styles) == []


def test_nothing_of_this_machine_is_in_a_page(site: Path) -> None:
    paths = [path for path in site.rglob("*.html") if str(ROOT) in path.read_text(encoding="utf-8")]
    assert paths == []


def test_every_page_reads_well_by_ear_and_on_a_phone(built: dict[str, Page]) -> None:
    for name, page in built.items():
        assert page.images_without_text == [], name
        assert page.language == "en", name
        assert "width=device-width" in page.viewport, name
        assert len(page.headings) <= 1, name
