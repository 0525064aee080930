"""A real Chromium, and a person in front of it: what they press, what they see, and what the browser complains of."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright

from example_apps.browser_demo.server import MSAL, Demo

CODE = "246810"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000
"""Milliseconds until a condition that never comes fails a test."""
_LOADING = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


def chromium() -> str | None:
    """Return the program, None if it is not installed."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def what_is_missing() -> str | None:
    """Return what keeps these tests from running here, and how to mend that."""
    if chromium() is None:
        return "Chromium is not installed (Debian: apt-get install chromium; elsewhere set CHROMIUM to its path)"
    if not MSAL.is_dir():
        return "MSAL.js is not installed (npm ci in example_apps/browser_demo)"
    return None


@contextmanager
def launched(demo: Demo) -> Iterator[Browser]:
    """Run Chromium with a profile of its own, in which only the demo's certificate is an exception."""
    trust = f"--ignore-certificate-errors-spki-list={demo.certificate_pin}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, trust])
        yield browser
        browser.close()


class Person:
    """Somebody with a browser window, of whose complaints nothing is lost."""

    def __init__(self, demo: Demo, context: BrowserContext) -> None:
        self.demo = demo
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.statuses: list[tuple[int, str]] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("response", self._note)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _LOADING.match(message.text):
            self.complaints.append(message.text)

    def _note(self, response: Response) -> None:
        parts = urlsplit(response.url)
        if parts.scheme in ("http", "https") and parts.hostname != "localhost":
            self.complaints.append(f"a request to {parts.hostname}")
        if response.status >= 400:
            self.statuses.append((response.status, parts.path.rpartition("/")[2]))

    def has_nothing_to_complain(self, expected: Collection[tuple[int, str]] = ()) -> None:
        """Check that nothing went wrong but what the test is about: statuses, with the last part of their paths."""
        complaints, statuses = self.complaints.copy(), set(self.statuses)
        self.complaints.clear()
        self.statuses.clear()
        assert (complaints, statuses) == ([], set(expected))

    # What a person does

    def opens_the_page(self) -> None:
        self.page.goto(f"{self.demo.url}/")

    def presses(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def signs_in(self, user: str) -> None:
        self.opens_the_page()
        self.presses("Sign in")
        self.picks(user)
        self.sees_the_mailbox_of(user)

    def picks(self, user: str) -> None:
        self.presses(f"{user}@")

    def enters_the_code(self) -> None:
        self.page.get_by_label("Code").fill(CODE)
        self.presses("Verify")

    # What a person sees

    def sees_the_mailbox_of(self, user: str) -> None:
        """Wait until the page is at rest, and shows profile and mail of a user, and of nobody else."""
        self.rests("good")
        page, who = self.page, self.demo.entra.users[user]
        expect(page.locator("#profile-mail")).to_have_text(who.user_principal_name)
        expect(page.locator("#profile-id")).to_have_text(who.object_id)
        subjects = page.locator("#mail strong").all_inner_texts()
        assert len(subjects) == 5
        assert all(subject.startswith(f"{who.given_name}: ") for subject in subjects)

    def rests(self, mood: str) -> None:
        expect(self.page.locator("#desk")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)
        expect(self.page.locator("#status")).to_have_attribute("data-mood", mood, timeout=PATIENCE)

    def runs(self) -> list[tuple[int, str]]:
        """Return status and steps of the runs that the picture shows, newest first."""
        shown = self.page.locator("section.run").all()
        return [(int(run.get_attribute("data-status") or 0), str(run.get_attribute("data-steps"))) for run in shown]

    def last_run(self) -> int:
        """Return the number of the latest run in the picture."""
        return int(self.page.locator("section.run").first.get_attribute("data-number") or 0)

    def sees_in_the_picture(self, text: str) -> None:
        expect(self.page.locator("svg.sequence").first).to_contain_text(text)
