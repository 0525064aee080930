from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from example_apps.browser_demo.server import Demo
from tests.browser.browsing import PATIENCE, Person


def test_a_user_signs_in_and_sees_profile_and_mail(dora: Person) -> None:
    dora.sees_the_mailbox_of("dora")
    expect(dora.page.locator("#account-name")).to_have_text("Dora Diaz")
    dora.has_nothing_to_complain()


def test_the_picture_shows_an_exchange_at_first_and_then_the_cache(dora: Person) -> None:
    before = dora.demo.entra.exchanges
    assert dora.runs() == [(200, "request valid exchange exchanged call called hit call called answer")]
    dora.sees_in_the_picture("on behalf of you: User.Read Mail.Read")
    dora.sees_in_the_picture("scp access_as_user")
    dora.presses("Call the API again")
    expect(dora.page.locator("section.run")).to_have_count(2)
    dora.rests("good")
    assert dora.runs()[0] == (200, "request valid hit call called hit call called answer")
    dora.sees_in_the_picture("Cache hit")
    assert dora.demo.entra.exchanges == before
    dora.has_nothing_to_complain()


def test_no_token_is_on_the_page_or_in_what_it_keeps_of_the_runs(dora: Person) -> None:
    kept = dora.page.evaluate("Object.entries(sessionStorage).filter(([key]) => key.startsWith('runs.')).join()")
    assert "valid" in kept
    assert not re.search(r"eyJ[\w-]+\.eyJ", kept + dora.page.content())


def test_the_picture_is_there_in_words_too(dora: Person) -> None:
    dora.page.get_by_text("The same in words").last.click()
    words = dora.page.locator("section.run").last.locator("li").all_inner_texts()
    assert words[0] == "Browser → Your API: GET /api/mailbox, token for the API"
    assert any(line.startswith("Entra → Your API: token for Graph") for line in words)


def test_signing_out_ends_the_session_at_the_provider_too(person: Person, user: str) -> None:
    person.signs_in(user)
    person.presses("Sign out")
    expect(person.page.get_by_role("button", name="Sign in")).to_be_visible(timeout=PATIENCE)
    expect(person.page).to_have_url(f"{person.demo.url}/")
    assert person.demo.entra.requests_to("logout") > 0
    assert person.page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('runs.'))") == []
    assert person.context.cookies() == []
    person.has_nothing_to_complain()


def test_a_second_user_in_the_same_browser_sees_only_their_own(person: Person, user: str) -> None:
    person.signs_in("alice")
    person.presses("Sign out")
    person.presses("Sign in")
    person.picks(user)
    person.sees_the_mailbox_of(user)
    assert "Alice" not in person.page.locator("body").inner_text()
    assert len(person.runs()) == 1
    assert "exchange" in person.runs()[0][1]
    person.has_nothing_to_complain()
    person.presses("Sign out")
    expect(person.page.get_by_role("button", name="Sign in")).to_be_visible(timeout=PATIENCE)
    person.page.go_back()
    expect(person.page.get_by_role("button", name="Sign in")).to_be_visible(timeout=PATIENCE)
    assert user not in person.page.content()


def test_two_windows_with_two_users_stay_apart(dora: Person, person: Person) -> None:
    person.signs_in("bob")
    dora.presses("Call the API again")
    expect(dora.page.locator("section.run")).to_have_count(3)
    dora.sees_the_mailbox_of("dora")
    person.presses("Call the API again")
    expect(person.page.locator("section.run")).to_have_count(2)
    person.sees_the_mailbox_of("bob")


def tab_to(page: Page, name: str) -> None:
    """Press the tabulator until a button has the focus, which must be seen."""
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and name in focused.inner_text():
            assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
            return
    raise AssertionError(f"the keyboard does not reach {name!r}")


def test_everything_can_be_done_with_the_keyboard(person: Person, user: str) -> None:
    page = person.page
    person.opens_the_page()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    tab_to(page, "Sign in")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Pick an account")).to_be_visible()
    tab_to(page, f"{user}@")
    page.keyboard.press("Enter")
    person.sees_the_mailbox_of(user)
    tab_to(page, "Require a second factor")
    page.keyboard.press("Space")
    expect(page.get_by_label("Code")).to_be_focused(timeout=PATIENCE)
    page.keyboard.type("246810")
    page.keyboard.press("Enter")
    person.sees_the_mailbox_of(user)
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=PATIENCE)


def test_a_phone_needs_no_sideways_scrolling(demo: Demo, browser: Browser, user: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    phone = Person(demo, context)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    phone.opens_the_page()
    expect(phone.page.get_by_role("button", name="Sign in")).to_be_visible()
    overflow = [phone.page.evaluate(wide)]
    phone.presses("Sign in")
    expect(phone.page.get_by_role("heading", name="Pick an account")).to_be_visible()
    overflow.append(phone.page.evaluate(wide))
    phone.picks(user)
    phone.sees_the_mailbox_of(user)
    overflow.append(phone.page.evaluate(wide))
    assert overflow == [0, 0, 0]
    phone.has_nothing_to_complain()
    context.close()
