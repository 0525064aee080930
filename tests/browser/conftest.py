"""The demo and a Chromium for the tests of a file, and a new window for each.

Not for longer: playwright's event loop runs for as long as its browser, and other files have loops of their own to run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext

from example_apps.browser_demo.server import Demo, serving_demo
from tests.browser.browsing import Person, launched, what_is_missing


@pytest.fixture(scope="session")
def programs() -> None:
    """Leave the tests out where there is no browser or no MSAL.js, but never in CI."""
    missing = what_is_missing()
    if missing and os.environ.get("CI"):
        pytest.fail(f"the tests in a browser cannot run: {missing}")
    if missing:
        pytest.skip(f"the tests in a browser are left out: {missing}")


@pytest.fixture(scope="module")
def demo(programs: None) -> Iterator[Demo]:
    with serving_demo() as running:
        yield running


@pytest.fixture(scope="module")
def browser(demo: Demo) -> Iterator[Browser]:
    with launched(demo) as running:
        yield running


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """Keep one profile, so that scripts are fetched and compiled once."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def person(demo: Demo, profile: BrowserContext) -> Iterator[Person]:
    """Return somebody with a new window and no cookies; what a page keeps is the window's own."""
    profile.clear_cookies()
    person = Person(demo, profile)
    yield person
    person.page.close()


@pytest.fixture(scope="module")
def dora(demo: Demo, browser: Browser) -> Iterator[Person]:
    """Return somebody who is signed in already, as dora, for the tests that leave her so."""
    demo.entra.add_user("dora", display_name="Dora Diaz")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    person = Person(demo, context)
    person.signs_in("dora")
    yield person
    context.close()


@pytest.fixture
def user(demo: Demo, request: pytest.FixtureRequest) -> str:
    """Return the name of a user that only this test has."""
    name = "u" + "".join(letter for letter in request.node.name.lower() if letter.isalnum())[-24:]
    demo.entra.add_user(name, display_name=f"{name.capitalize()} Example")
    return name
