"""Take the pictures of docs/browser-demo.md from a real run: `python -m tests.browser.screenshots`."""

from __future__ import annotations

from typing import Literal

from playwright.sync_api import Browser, expect

from example_apps.browser_demo.server import Demo, serving_demo
from example_apps.local import ROOT
from tests.browser.browsing import Person, launched

FOLDER = ROOT / "docs" / "images"
MOST_BYTES = 150_000
Scheme = Literal["light", "dark"]


def window(demo: Demo, browser: Browser, width: int, height: int, scheme: Scheme) -> Person:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    return Person(demo, context)


def take(person: Person, name: str) -> None:
    path = FOLDER / f"browser-demo-{name}.png"
    person.page.mouse.move(0, 0)
    person.page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes")
    assert size < MOST_BYTES, "too large for a document"


def on_a_desk(demo: Demo, browser: Browser, scheme: Scheme) -> Person:
    person = window(demo, browser, 1280, 900, scheme)
    person.signs_in("alice")
    expect(person.page.locator("section.run")).to_have_count(1)
    take(person, f"1280-{scheme}")
    return person


def revoked(person: Person) -> None:
    person.presses("Revoke my tokens")
    expect(person.page.locator("section.run")).to_have_count(2)
    person.rests("good")
    picture = person.page.locator("section.run").first
    picture.screenshot(path=FOLDER / "browser-demo-revoked-light.png", animations="disabled")


def on_a_phone(demo: Demo, browser: Browser) -> None:
    person = window(demo, browser, 390, 844, "dark")
    person.signs_in("bob")
    person.page.evaluate("document.querySelector('.picture').scrollIntoView()")
    take(person, "390-dark")


def consent_on_a_phone(demo: Demo, browser: Browser) -> None:
    person = window(demo, browser, 390, 844, "light")
    person.signs_in("alice")
    person.presses("Take my consent back")
    expect(person.page.get_by_text("Read your mail")).to_be_visible()
    take(person, "consent-390-light")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with serving_demo(think_time=0.05, graph_think_time=0.01) as demo, launched(demo) as browser:
        on_a_desk(demo, browser, "dark")
        revoked(on_a_desk(demo, browser, "light"))
        on_a_phone(demo, browser)
        consent_on_a_phone(demo, browser)


if __name__ == "__main__":
    main()
