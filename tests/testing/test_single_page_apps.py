"""What browsers may do at LocalEntra from the origin of a single-page app, and from others."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from obo_middleware.testing import LocalEntra
from tests.testing.kit import Clock, ask, refusal, token_url
from tests.testing.test_authorization_code import VERIFIER, login, params

ORIGIN = "https://app.example:8443"
SPA = f"{ORIGIN}/redirect"
DAY = 86_400


@pytest.fixture
def entra(clock: Clock) -> Iterator[LocalEntra]:
    with LocalEntra(clock=clock) as running:
        running.update_app(running.client, spa_redirect_uris=(SPA,))
        yield running


def redeem(entra: LocalEntra, http: httpx.Client, origin: str | None = ORIGIN, uri: str = SPA) -> httpx.Response:
    code = login(entra, http, params(entra, redirect_uri=uri))["code"]
    form = {"grant_type": "authorization_code", "client_id": entra.client.client_id, "code": code}
    form |= {"redirect_uri": uri, "code_verifier": VERIFIER}
    return http.post(token_url(entra), data=form, headers=origin_of(origin))


def renew(entra: LocalEntra, http: httpx.Client, token: str, origin: str | None = ORIGIN) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": entra.client.client_id, "refresh_token": token}
    form |= {"scope": f"{entra.api.identifier_uris[0]}/access_as_user"}
    return http.post(token_url(entra), data=form, headers=origin_of(origin))


def origin_of(origin: str | None) -> dict[str, str]:
    return {} if origin is None else {"Origin": origin}


def test_a_page_redeems_and_renews_from_its_own_origin(entra: LocalEntra, http: httpx.Client) -> None:
    first = redeem(entra, http)
    assert first.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in first.headers["vary"]
    assert renew(entra, http, first.json()["refresh_token"]).status_code == 200


def test_the_code_of_a_single_page_app_is_for_browsers_only(entra: LocalEntra, http: httpx.Client) -> None:
    assert refusal(redeem(entra, http, None)) == (400, "invalid_request", 9002327)
    assert refusal(renew(entra, http, redeem(entra, http).json()["refresh_token"], None))[2] == 9002327


@pytest.mark.parametrize(
    ("origin", "uri"),
    [("https://evil.example", SPA), ("https://app.example", SPA), (ORIGIN, "http://localhost/"), ("null", SPA)],
)
def test_other_codes_and_other_origins_are_refused(
    entra: LocalEntra, http: httpx.Client, origin: str, uri: str
) -> None:
    response = redeem(entra, http, origin, uri)
    assert refusal(response) == (400, "invalid_request", 9002326)
    assert ("access-control-allow-origin" in response.headers) == (origin == ORIGIN)


def test_the_origin_of_another_single_page_app_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    entra.register_app("other", public=True, spa_redirect_uris=("https://other.example/",))
    assert refusal(redeem(entra, http, "https://other.example"))[2] == 9002326


def test_refresh_tokens_of_a_page_end_after_a_day_however_often_renewed(
    entra: LocalEntra, http: httpx.Client, clock: Clock
) -> None:
    token = redeem(entra, http).json()["refresh_token"]
    clock.now += DAY - 1
    token = renew(entra, http, token).json()["refresh_token"]
    clock.now += 1
    assert refusal(renew(entra, http, token)) == (400, "invalid_grant", 700084)


def test_a_single_page_app_needs_a_code_challenge(entra: LocalEntra, http: httpx.Client) -> None:
    entra.update_app(entra.api, spa_redirect_uris=(SPA,))
    query = {"client_id": entra.api.client_id, "redirect_uri": SPA, "response_type": "code", "scope": "User.Read"}
    response = http.get(f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/authorize", params=query)
    assert "AADSTS9002325" in response.headers["location"]


def preflight(http: httpx.Client, url: str, origin: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-client"}
    return http.options(url, headers=asked)


def test_a_preflight_permits_single_page_apps_only(entra: LocalEntra, http: httpx.Client) -> None:
    permitted = preflight(http, token_url(entra), ORIGIN)
    assert permitted.status_code == 204
    assert permitted.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in permitted.headers["access-control-allow-methods"]
    assert permitted.headers["access-control-allow-headers"] == "x-client"
    assert "access-control-allow-origin" not in preflight(http, token_url(entra), "https://evil.example").headers


@pytest.mark.parametrize(
    "path",
    [
        "{tenant}/v2.0/.well-known/openid-configuration",
        "{tenant}/discovery/v2.0/keys",
        "common/discovery/instance?authorization_endpoint={authority}/common/oauth2/v2.0/authorize",
    ],
)
def test_every_page_may_read_what_is_public(entra: LocalEntra, http: httpx.Client, path: str) -> None:
    url = f"{entra.authority}/" + path.format(tenant=entra.tenant_id, authority=entra.authority)
    assert http.get(url).raise_for_status().headers["access-control-allow-origin"] == "*"
    assert preflight(http, url, "https://any.example").headers["access-control-allow-origin"] == "*"


def test_the_sign_in_pages_are_for_no_other_page(entra: LocalEntra, http: httpx.Client) -> None:
    url = f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/authorize"
    response = http.get(url, params=params(entra), headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in response.headers


def test_an_outage_can_be_read_by_the_page(entra: LocalEntra, http: httpx.Client) -> None:
    entra.outage()
    response = redeem(entra, http)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (503, ORIGIN)


def test_a_request_without_an_address_goes_to_the_registered_one_or_nowhere(
    entra: LocalEntra, http: httpx.Client
) -> None:
    query = {name: value for name, value in params(entra).items() if name != "redirect_uri"}
    url = f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/authorize"
    assert http.get(url, params=query).status_code == 200
    entra.update_app(entra.client, redirect_uris=())
    assert "AADSTS50011" in http.get(url, params=query).text


def test_clients_that_are_no_browsers_are_as_before(entra: LocalEntra, http: httpx.Client) -> None:
    code = login(entra, http, params(entra))["code"]
    form = {"grant_type": "authorization_code", "client_id": entra.client.client_id, "code": code}
    form |= {"redirect_uri": params(entra)["redirect_uri"], "code_verifier": VERIFIER}
    assert ask(entra, http, form).status_code == 200
