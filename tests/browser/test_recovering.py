"""Each button of the demo, and how a single-page app gets over what it does."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from example_apps.browser_demo.server import Demo
from tests.browser.browsing import PATIENCE, Person

EXCHANGED = "request valid exchange exchanged call called hit call called answer"
WARM = "request valid hit call called hit call called answer"


def after(person: Person, user: str, button: str, *, runs: int) -> list[tuple[int, str]]:
    """Press a button, and wait for so many runs in the picture, and the mailbox after the last."""
    wanted = person.last_run() + runs
    person.presses(button)
    return recovered(person, user, wanted)


def recovered(person: Person, user: str, last: int) -> list[tuple[int, str]]:
    """Wait for the run of that number, and the mailbox after it."""
    latest = person.page.locator("section.run").first
    expect(latest).to_have_attribute("data-number", str(last), timeout=PATIENCE)
    person.sees_the_mailbox_of(user)
    return person.runs()


# Without a question to the user


def test_an_emptied_cache_costs_one_exchange(dora: Person) -> None:
    assert after(dora, "dora", "Empty the API's cache", runs=1)[0] == (200, EXCHANGED)
    dora.has_nothing_to_complain()


def test_expired_tokens_are_replaced(dora: Person) -> None:
    runs = after(dora, "dora", "Let an hour pass", runs=2)
    assert runs[0] == (200, EXCHANGED)
    assert runs[1] == (401, "request answer")
    dora.has_nothing_to_complain({(401, "mailbox")})


def test_a_revoked_token_is_replaced_by_the_api_itself(dora: Person) -> None:
    run = after(dora, "dora", "Revoke my tokens", runs=1)[0]
    assert run == (200, "request valid hit call called exchange exchanged call called hit call called answer")
    dora.sees_in_the_picture("401 claims challenge")
    dora.has_nothing_to_complain()


def test_a_new_signing_key_is_fetched_once(dora: Person) -> None:
    steps = after(dora, "dora", "Rotate the signing keys", runs=1)[0][1]
    assert steps.startswith("request keys valid ")
    assert "keys" not in after(dora, "dora", "Call the API again", runs=1)[0][1]
    dora.has_nothing_to_complain()


@pytest.fixture
def provider_off(dora: Person) -> Iterator[None]:
    """Switch the provider off by the page, and on again afterwards if the test did not."""
    assert after(dora, "dora", "Switch Entra off", runs=1)[0] == (200, WARM)
    yield
    if dora.page.locator("#switch").get_attribute("aria-pressed") == "true":
        switches_on(dora)
        dora.rests("good")


def switches_on(person: Person) -> None:
    switch = person.page.locator("#switch")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "false", timeout=PATIENCE)


def test_a_warm_user_does_not_notice_that_the_provider_is_off(dora: Person, provider_off: None) -> None:
    expect(dora.page.locator("#status")).to_contain_text("you notice nothing")
    last = dora.last_run()
    dora.page.reload()
    assert recovered(dora, "dora", last + 1)[0] == (200, WARM)
    switches_on(dora)
    assert recovered(dora, "dora", last + 2)[0] == (200, WARM)
    dora.has_nothing_to_complain()


def test_nobody_signs_in_while_the_provider_is_off(person: Person, provider_off: None) -> None:
    person.opens_the_page()
    person.presses("Sign in")
    expect(person.page.locator("#status")).to_have_text("Entra is not available now. Try again in a moment.")
    person.has_nothing_to_complain({(503, "openid-configuration")})


def test_a_new_user_waits_until_the_provider_is_back(dora: Person, provider_off: None) -> None:
    dora.presses("Empty the API's cache")
    expect(dora.page.locator("#status")).to_contain_text("Entra is not available", timeout=PATIENCE)
    assert dora.runs()[0] == (503, "request valid exchange exchanged answer")
    switches_on(dora)
    dora.sees_the_mailbox_of("dora")
    status, steps = dora.runs()[0]
    assert status == 200
    assert steps.startswith("request valid exchange exchanged call called ")
    dora.has_nothing_to_complain({(503, "mailbox")})


# By a visit to the provider


def test_an_ended_session_takes_a_new_sign_in(person: Person, user: str) -> None:
    person.signs_in(user)
    person.presses("End my session")
    person.picks(user)
    runs = recovered(person, user, 3)
    assert runs[0] == (200, EXCHANGED)
    assert runs[1] == (401, "request valid hit call called exchange exchanged answer")
    # MSAL.js tries the refresh token and a hidden frame first.
    person.has_nothing_to_complain({(401, "mailbox"), (400, "token")})


def test_missing_consent_is_asked_for_and_may_be_declined(person: Person, user: str) -> None:
    person.signs_in(user)
    person.presses("Take my consent back")
    expect(person.page.get_by_text("Read your mail")).to_be_visible(timeout=PATIENCE)
    assert person.page.url.startswith(person.demo.entra.authority)
    person.presses("Cancel")
    expect(person.page.locator("#status")).to_contain_text("You declined", timeout=PATIENCE)
    expect(person.page.locator("#mail strong")).to_have_count(0)
    person.presses("Call the API again")
    person.presses("Accept")
    runs = recovered(person, user, 4)
    assert [status for status, _ in runs] == [200, 403, 403]
    assert (runs[0][1], runs[2][1]) == (EXCHANGED, "request valid exchange exchanged answer")
    assert person.page.url == f"{person.demo.url}/"
    person.has_nothing_to_complain({(403, "mailbox")})


def test_a_second_factor_is_proven_at_the_provider(person: Person, user: str) -> None:
    person.signs_in(user)
    person.presses("Require a second factor")
    person.enters_the_code()
    runs = recovered(person, user, 3)
    assert runs[0] == (200, EXCHANGED)
    assert runs[1] == (401, "request valid exchange exchanged answer")
    person.sees_in_the_picture("amr pwd mfa")
    # MSAL.js tries the refresh token with the claims before it leaves the page.
    person.has_nothing_to_complain({(401, "mailbox"), (400, "token")})


# The routes of the buttons


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 204),
        ({"Authorization": ""}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": ""}, 403),
        ({"X-Demo": ""}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_a_button_is_for_the_page_and_its_user_only(demo: Demo, changed: dict[str, str], status: int) -> None:
    headers = {"Authorization": f"Bearer {demo.entra.sign_in('alice')}", "Origin": demo.url, "X-Demo": "1"}
    sent = {name: value for name, value in (headers | changed).items() if value}
    with httpx.Client(verify=demo.entra.ssl_context(), trust_env=False) as http:
        assert http.post(f"{demo.url}/demo/forget", headers=sent).status_code == status
