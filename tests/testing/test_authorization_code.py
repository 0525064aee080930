from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from obo_middleware.testing import LocalEntra
from tests.testing.kit import Clock, access_token, ask, claims_of, exchange, refusal

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "http://localhost:5173/"


def params(entra: LocalEntra, **changes: str) -> dict[str, str]:
    scope = f"api://{entra.api.client_id}/access_as_user openid profile offline_access"
    return {
        "client_id": entra.client.client_id,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": scope,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes


def without(members: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in members.items() if key != name}


def authorize(entra: LocalEntra, http: httpx.Client, query: dict[str, str], tenant: str = "") -> httpx.Response:
    return http.get(f"{entra.authority}/{tenant or entra.tenant_id}/oauth2/v2.0/authorize", params=query)


def login(entra: LocalEntra, http: httpx.Client, query: dict[str, str], user: str = "alice") -> dict[str, str]:
    """Press a user's button; return what the client gets by its redirect URI."""
    form = query | {"user": entra.users[user].object_id}
    response = http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form)
    assert response.status_code == 302
    return returned(response)


def returned(response: httpx.Response) -> dict[str, str]:
    parts = urlsplit(response.headers["location"])
    return {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}


def redeem(entra: LocalEntra, http: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "client_id": entra.client.client_id, "code": code}
    return ask(entra, http, form | {"redirect_uri": REDIRECT, "code_verifier": VERIFIER} | changes)


def test_the_page_lists_who_can_sign_in(entra: LocalEntra, http: httpx.Client) -> None:
    entra.add_user("eve", display_name="<b>Eve</b> Evans")
    entra.add_user("zoe", tenant=entra.add_tenant())
    page = authorize(entra, http, params(entra, state='"><script>')).text
    assert "Alice Adams" in page
    assert "bob@contoso.example" in page
    assert "&lt;b&gt;Eve&lt;/b&gt; Evans" in page
    assert "zoe" not in page
    assert "<script>" not in page
    assert "zoe" in authorize(entra, http, params(entra), "common").text


def test_a_code_is_redeemed_for_all_tokens(entra: LocalEntra, http: httpx.Client) -> None:
    answer = login(entra, http, params(entra, state="s p", nonce="n"))
    assert answer["state"] == "s p"
    document = redeem(entra, http, answer["code"], client_info="1").raise_for_status().json()
    access, identity = claims_of(document["access_token"]), claims_of(document["id_token"])
    assert (access["aud"], access["scp"], access["azpacr"]) == (entra.api.client_id, "access_as_user", "0")
    assert (identity["aud"], identity["nonce"]) == (entra.client.client_id, "n")
    assert identity["sid"] == access["sid"]
    assert (access["amr"], access["auth_time"]) == (["pwd"], entra.clock())
    assert exchange(entra, http, document["access_token"]).status_code == 200
    form = {"grant_type": "refresh_token", "client_id": entra.client.client_id}
    form |= {"refresh_token": document["refresh_token"], "scope": f"api://{entra.api.client_id}/.default"}
    assert claims_of(access_token(ask(entra, http, form)))["sid"] == access["sid"]


def test_an_id_token_without_a_nonce_has_none(entra: LocalEntra, http: httpx.Client) -> None:
    document = redeem(entra, http, login(entra, http, params(entra))["code"]).json()
    assert "nonce" not in claims_of(document["id_token"])


@pytest.mark.parametrize(("mode", "mark"), [("query", "?"), ("fragment", "#")])
def test_the_answer_comes_as_asked_for(entra: LocalEntra, http: httpx.Client, mode: str, mark: str) -> None:
    form = params(entra, response_mode=mode) | {"user": entra.alice.object_id}
    response = http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form)
    assert response.headers["location"].startswith(f"{REDIRECT}{mark}code=")


def test_the_answer_can_be_posted(entra: LocalEntra, http: httpx.Client) -> None:
    form = params(entra, response_mode="form_post", state='"s"') | {"user": entra.alice.object_id}
    page = http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form).text
    assert f'<form method="post" action="{REDIRECT}"><input type="hidden" name="code"' in page
    assert 'name="state" value="&quot;s&quot;"' in page


def test_a_redirect_uri_keeps_its_query(entra: LocalEntra, http: httpx.Client) -> None:
    uri = "https://app.example/?page=1"
    entra.update_app(entra.client, redirect_uris=(uri,))
    form = params(entra, redirect_uri=uri) | {"user": entra.alice.object_id}
    response = http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form)
    assert response.headers["location"].startswith(f"{uri}&code=")


def test_a_confidential_client_needs_no_challenge(entra: LocalEntra, http: httpx.Client) -> None:
    entra.update_app(entra.api, redirect_uris=(REDIRECT,))
    query = without(params(entra, client_id=entra.api.client_id, scope="openid User.Read"), "code_challenge")
    form = {"client_id": entra.api.client_id, "client_secret": entra.api.secret}
    assert redeem(entra, http, login(entra, http, query)["code"], **form).status_code == 200


def test_signing_in_is_consent_and_proof_of_what_is_asked(entra: LocalEntra, http: httpx.Client) -> None:
    scope = f"api://{entra.api.client_id}/access_as_user"
    entra.require_consent("alice", entra.client, [scope])
    entra.require_mfa("alice")
    document = redeem(entra, http, login(entra, http, params(entra))["code"]).raise_for_status().json()
    assert claims_of(document["access_token"])["amr"] == ["pwd", "mfa"]
    assert exchange(entra, http, document["access_token"]).status_code == 200


def test_an_authentication_context_can_be_signed_in_with(entra: LocalEntra, http: httpx.Client) -> None:
    claims = '{"access_token": {"acrs": {"essential": true, "values": ["c1"]}}}'
    document = redeem(entra, http, login(entra, http, params(entra, claims=claims))["code"]).json()
    token = claims_of(document["access_token"])
    assert (token["acrs"], token["amr"]) == (["c1"], ["pwd", "mfa"])


def test_the_claims_of_another_resources_policy_can_be_signed_in_with(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_mfa("alice", entra.graph)
    plain = redeem(entra, http, login(entra, http, params(entra))["code"]).json()
    refused = exchange(entra, http, plain["access_token"])
    answer = login(entra, http, params(entra, claims=refused.json()["claims"]))
    document = redeem(entra, http, answer["code"]).json()
    assert claims_of(document["access_token"])["amr"] == ["pwd", "mfa"]
    assert exchange(entra, http, document["access_token"]).status_code == 200


def test_default_can_be_signed_in_with(entra: LocalEntra, http: httpx.Client) -> None:
    query = params(entra, scope=f"api://{entra.api.client_id}/.default")
    document = redeem(entra, http, login(entra, http, query)["code"]).json()
    assert claims_of(document["access_token"])["scp"] == "access_as_user"


# Refusals


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "nobody"}, 700016),
        ({"client_id": ""}, 900144),
        ({"redirect_uri": "https://evil.example"}, 50011),
        ({"redirect_uri": "http://localhost:1/other"}, 50011),
        ({"redirect_uri": "http://me@localhost:1/"}, 50011),
        ({"redirect_uri": "https://localhost/"}, 50011),
        ({"response_mode": "web_message"}, 90023),
    ],
)
def test_an_untrusted_request_is_answered_with_a_page(
    entra: LocalEntra, http: httpx.Client, changes: dict[str, str], code: int
) -> None:
    response = authorize(entra, http, params(entra, **changes))
    assert response.status_code == 400
    assert f"AADSTS{code}" in response.text
    assert "location" not in response.headers


def test_an_unknown_tenant_is_answered_with_a_page(entra: LocalEntra, http: httpx.Client) -> None:
    assert "AADSTS90002" in authorize(entra, http, params(entra), "nobody.example").text


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"response_type": "token"}, "unsupported_response_type", 700054),
        ({"code_challenge_method": "plain"}, "invalid_request", 90023),
        ({"scope": "https://elsewhere.example/.default"}, "invalid_resource", 500011),
        ({"prompt": "none"}, "login_required", 50058),
        ({"claims": "no"}, "invalid_request", 90023),
    ],
)
def test_a_bad_request_goes_back_to_the_client(
    entra: LocalEntra, http: httpx.Client, changes: dict[str, str], error: str, code: int
) -> None:
    answer = returned(authorize(entra, http, params(entra, state="s", **changes)))
    assert (answer["error"], answer["state"]) == (error, "s")
    assert answer["error_description"].startswith(f"AADSTS{code}")


def test_a_public_client_needs_a_challenge(entra: LocalEntra, http: httpx.Client) -> None:
    answer = returned(authorize(entra, http, without(params(entra), "code_challenge")))
    assert answer["error_description"].startswith("AADSTS9002325")


def test_a_login_that_names_nobody_shows_the_page_again(entra: LocalEntra, http: httpx.Client) -> None:
    url = f"{entra.authority}/{entra.tenant_id}/login"
    assert "Alice" in http.post(url, data=params(entra) | {"user": "nobody"}).text
    assert refusal(http.post(url, json={})) == (400, "invalid_request", 900144)


def test_a_code_is_good_once(entra: LocalEntra, http: httpx.Client) -> None:
    code = login(entra, http, params(entra))["code"]
    assert redeem(entra, http, code).status_code == 200
    assert refusal(redeem(entra, http, code)) == (400, "invalid_grant", 54005)


def test_a_code_is_good_for_ten_minutes(entra: LocalEntra, http: httpx.Client, clock: Clock) -> None:
    code = login(entra, http, params(entra))["code"]
    clock.now += 600
    assert refusal(redeem(entra, http, code)) == (400, "invalid_grant", 70008)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code": "made up"}, (400, "invalid_grant", 9002313)),
        ({"redirect_uri": "http://localhost/"}, (400, "invalid_grant", 70000)),
        ({"code_verifier": "wrong"}, (400, "invalid_grant", 501481)),
        ({"code_verifier": ""}, (400, "invalid_request", 900144)),
    ],
)
def test_a_code_is_refused_with(
    entra: LocalEntra, http: httpx.Client, changes: dict[str, str], expected: tuple[int, str, int]
) -> None:
    code = login(entra, http, params(entra))["code"]
    form = {"code": code} | changes
    assert refusal(redeem(entra, http, **form)) == expected


def test_a_code_belongs_to_its_client(entra: LocalEntra, http: httpx.Client) -> None:
    code = login(entra, http, params(entra))["code"]
    form = {"client_id": entra.api.client_id, "client_secret": entra.api.secret}
    assert refusal(redeem(entra, http, code, **form)) == (400, "invalid_grant", 9002313)
