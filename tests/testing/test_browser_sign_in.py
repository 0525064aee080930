"""The steps in which a person signs in, as a browser takes them: LocalEntra(interactive=True)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from obo_middleware.testing import LocalEntra
from tests.testing.kit import Clock, claims_of, exchange, http_client
from tests.testing.test_authorization_code import authorize, params, redeem, returned

CODE = "246810"


@pytest.fixture
def entra(clock: Clock) -> Iterator[LocalEntra]:
    with LocalEntra(clock=clock, interactive=True) as running:
        yield running


def fields(page: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def answer(entra: LocalEntra, http: httpx.Client, page: httpx.Response, **answers: str) -> httpx.Response:
    """Press a button of a page."""
    return http.post(f"{entra.authority}/{entra.tenant_id}/login", data=fields(page) | answers)


def sign_in(entra: LocalEntra, http: httpx.Client, user: str = "alice", **changes: str) -> httpx.Response:
    page = authorize(entra, http, params(entra, **changes))
    return answer(entra, http, page, user=entra.users[user].object_id)


def api_scope(entra: LocalEntra) -> str:
    return f"{entra.api.identifier_uris[0]}/access_as_user"


def session_id(entra: LocalEntra, http: httpx.Client, came_back: httpx.Response) -> str:
    document = redeem(entra, http, returned(came_back)["code"]).raise_for_status().json()
    return str(claims_of(document["access_token"])["sid"])


# Single sign-on


def test_a_browser_that_is_signed_in_is_not_asked_again(entra: LocalEntra, http: httpx.Client) -> None:
    first = session_id(entra, http, sign_in(entra, http))
    assert session_id(entra, http, authorize(entra, http, params(entra))) == first
    assert session_id(entra, http, authorize(entra, http, params(entra, prompt="none"))) == first


def test_the_answer_names_user_and_session(entra: LocalEntra, http: httpx.Client) -> None:
    came_back = returned(sign_in(entra, http, client_info="1"))
    assert came_back["session_state"]
    assert came_back["client_info"]
    assert "client_info" not in returned(authorize(entra, http, params(entra)))


def test_nobody_is_signed_in_silently_at_first(entra: LocalEntra, http: httpx.Client) -> None:
    assert returned(authorize(entra, http, params(entra, prompt="none")))["error"] == "login_required"


@pytest.mark.parametrize("prompt", ["login", "select_account"])
def test_a_prompt_for_the_account_shows_the_page(entra: LocalEntra, http: httpx.Client, prompt: str) -> None:
    sign_in(entra, http)
    page = authorize(entra, http, params(entra, prompt=prompt))
    assert "Pick an account" in page.text
    assert answer(entra, http, page, user=entra.bob.object_id).status_code == 302


@pytest.mark.parametrize("hint", [{"login_hint": "bob@contoso.example"}, {"sid": "another"}])
def test_the_session_of_another_user_does_not_count(
    entra: LocalEntra, http: httpx.Client, hint: dict[str, str]
) -> None:
    sign_in(entra, http)
    assert "Pick an account" in authorize(entra, http, params(entra, **hint)).text
    assert authorize(entra, http, params(entra, login_hint="Alice@contoso.example")).status_code == 302


def test_a_user_of_another_tenant_has_no_session_here(entra: LocalEntra, http: httpx.Client) -> None:
    zoe = entra.add_user("zoe", tenant=entra.add_tenant())
    page = authorize(entra, http, params(entra), "common")
    assert http.post(f"{entra.authority}/common/login", data=fields(page) | {"user": zoe.object_id}).status_code == 302
    assert "Pick an account" in authorize(entra, http, params(entra)).text


def test_the_cookie_is_for_this_server_only_and_changes_with_each_step(entra: LocalEntra, http: httpx.Client) -> None:
    first = sign_in(entra, http).headers["set-cookie"]
    assert "HttpOnly" in first
    assert "SameSite=lax" in first
    assert "Secure" not in first
    assert authorize(entra, http, params(entra)).headers["set-cookie"] != first


def test_the_cookie_is_secure_over_tls(clock: Clock) -> None:
    with LocalEntra(clock=clock, interactive=True, tls=True) as entra, http_client(entra.ssl_context()) as http:
        assert "Secure" in sign_in(entra, http).headers["set-cookie"]


def test_a_session_ends_by_revocation(entra: LocalEntra, http: httpx.Client) -> None:
    sign_in(entra, http)
    entra.revoke("alice")
    assert authorize(entra, http, params(entra)).status_code == 302
    entra.revoke("alice", end_session=True)
    assert "Pick an account" in authorize(entra, http, params(entra)).text
    assert sign_in(entra, http).status_code == 302


def test_a_login_that_names_nobody_shows_the_page_again(entra: LocalEntra, http: httpx.Client) -> None:
    page = authorize(entra, http, params(entra))
    assert "Pick an account" in answer(entra, http, page, user="nobody").text


def test_no_page_can_be_framed(entra: LocalEntra, http: httpx.Client) -> None:
    headers = authorize(entra, http, params(entra)).headers
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


# The second factor


def test_a_rule_asks_for_the_code_on_the_phone(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_mfa("alice")
    page = sign_in(entra, http)
    assert "alice@contoso.example" in page.text
    wrong = answer(entra, http, page, otc="000000")
    assert "That code is not right" in wrong.text
    document = redeem(entra, http, returned(answer(entra, http, wrong, otc="246 810"))["code"]).json()
    assert claims_of(document["access_token"])["amr"] == ["pwd", "mfa"]
    assert authorize(entra, http, params(entra, prompt="none")).status_code == 302


def test_an_authentication_context_asks_for_it_too(entra: LocalEntra, http: httpx.Client) -> None:
    claims = '{"access_token": {"acrs": {"essential": true, "values": ["c1"]}}}'
    sign_in(entra, http)
    silent = returned(authorize(entra, http, params(entra, prompt="none", claims=claims)))
    assert (silent["error"], silent["error_subcode"]) == ("interaction_required", "basic_action")
    page = authorize(entra, http, params(entra, claims=claims))
    document = redeem(entra, http, returned(answer(entra, http, page, otc=CODE))["code"]).json()
    assert claims_of(document["access_token"])["acrs"] == ["c1"]


def test_what_another_site_sends_is_no_answer(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_mfa("alice")
    page = sign_in(entra, http)
    forged = answer(entra, http, page, otc=CODE, canary="guessed")
    assert "Enter code" in forged.text
    assert "not right" not in forged.text


# Consent


def test_missing_consent_is_asked_for(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_consent("alice", entra.client, [api_scope(entra)])
    page = sign_in(entra, http)
    assert "Access this API as you" in page.text
    again = answer(entra, http, page, consent="maybe")
    silent = returned(authorize(entra, http, params(entra, prompt="none")))
    assert silent["error"] == "interaction_required"
    assert answer(entra, http, again, consent="accept").status_code == 302
    assert authorize(entra, http, params(entra)).status_code == 302


def test_a_link_cannot_answer_for_the_user(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_mfa("alice")
    entra.require_consent("alice", entra.client, [api_scope(entra)])
    page = sign_in(entra, http, consent="accept", otc=CODE)
    assert "Enter code" in page.text
    assert "Permissions requested" in answer(entra, http, page, otc=CODE).text


def test_a_user_may_decline(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_consent("alice", entra.client, [api_scope(entra)])
    page = sign_in(entra, http, state="s")
    came_back = returned(answer(entra, http, page, consent="cancel"))
    assert (came_back["error"], came_back["error_subcode"], came_back["state"]) == ("access_denied", "cancel", "s")
    assert came_back["error_description"].startswith("AADSTS65004")
    assert "Permissions requested" in authorize(entra, http, params(entra)).text


def test_consent_can_be_asked_for_anyway(entra: LocalEntra, http: httpx.Client) -> None:
    sign_in(entra, http)
    scope = f"{entra.api.identifier_uris[0]}/.default"
    page = authorize(entra, http, params(entra, prompt="consent", scope=scope))
    assert "api: access_as_user" in page.text
    assert answer(entra, http, page, consent="accept").status_code == 302


def test_the_consent_link_of_an_api_leads_back_to_its_registered_address(entra: LocalEntra, http: httpx.Client) -> None:
    entra.update_app(entra.api, redirect_uris=("https://api.example/consented",))
    entra.require_consent("alice", entra.api, ["User.Read"])
    token = redeem(entra, http, returned(sign_in(entra, http))["code"]).json()["access_token"]
    assert exchange(entra, http, token).json()["error_codes"] == [65001]
    query = {"client_id": entra.api.client_id, "response_type": "code", "scope": "User.Read", "prompt": "consent"}
    came_back = answer(entra, http, authorize(entra, http, query), consent="accept")
    assert came_back.headers["location"].startswith("https://api.example/consented?code=")
    assert exchange(entra, http, token).status_code == 200


# Sign-out


def logout(entra: LocalEntra, http: httpx.Client, **query: str) -> httpx.Response:
    return http.get(f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/logout", params=query)


def test_signing_out_ends_the_session_and_leads_back(entra: LocalEntra, http: httpx.Client) -> None:
    entra.update_app(entra.client, spa_redirect_uris=("https://app.example/",))
    sign_in(entra, http)
    response = logout(entra, http, post_logout_redirect_uri="https://app.example/")
    assert (response.status_code, response.headers["location"]) == (302, "https://app.example/")
    assert not http.cookies
    assert "Pick an account" in authorize(entra, http, params(entra)).text


def test_a_cookie_from_before_the_sign_out_is_worth_nothing(entra: LocalEntra, http: httpx.Client) -> None:
    sign_in(entra, http)
    kept = dict(http.cookies)
    logout(entra, http)
    http.cookies.update(kept)
    assert "Pick an account" in authorize(entra, http, params(entra)).text


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("http://localhost/", "http://localhost/?state=a+b"),
        ("https://web.example/?page=1", "https://web.example/?page=1&state=a+b"),
    ],
)
def test_the_state_comes_back_too(entra: LocalEntra, http: httpx.Client, uri: str, location: str) -> None:
    entra.update_app(entra.api, redirect_uris=("https://web.example/?page=1",))
    assert logout(entra, http, post_logout_redirect_uri=uri, state="a b").headers["location"] == location


@pytest.mark.parametrize("query", [{}, {"post_logout_redirect_uri": "https://evil.example/"}])
def test_signing_out_leads_nowhere_else(entra: LocalEntra, http: httpx.Client, query: dict[str, str]) -> None:
    response = logout(entra, http, **query)
    assert "You signed out" in response.text
    assert "location" not in response.headers


def test_the_metadata_say_where_to_sign_out(entra: LocalEntra, http: httpx.Client) -> None:
    url = f"{entra.authority}/{entra.tenant_id}/v2.0/.well-known/openid-configuration"
    end = http.get(url).json()["end_session_endpoint"]
    assert "You signed out" in http.get(end).text
    assert entra.requests_to("logout") == 1
