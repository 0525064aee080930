from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from obo_middleware.testing import EntraError, LocalEntra, foreign_key
from obo_middleware.testing import _state as state_module
from tests.testing.kit import (
    GRAPH,
    NOW,
    Clock,
    access_token,
    ask,
    claims_of,
    client_credentials_form,
    decoded,
    exchange,
    on_behalf_of_form,
    refusal,
    secret_form,
)


def test_the_answer_is_entras(entra: LocalEntra, http: httpx.Client) -> None:
    response = exchange(entra, http, entra.sign_in("alice"))
    document = response.json()
    assert list(document) == ["token_type", "scope", "expires_in", "ext_expires_in", "access_token"]
    assert document["token_type"] == "Bearer"
    assert document["scope"] == f"{GRAPH}/User.Read"
    assert document["expires_in"] == document["ext_expires_in"] == 3900
    assert "no-store" in response.headers["cache-control"]


def test_client_info_is_given_to_who_asks(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, entra.sign_in("bob"), client_info="1").json()
    assert decoded(document["client_info"]) == {"uid": entra.bob.object_id, "utid": entra.tenant_id}


def test_a_refresh_token_is_given_to_who_asks_for_offline_access(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, entra.sign_in("alice"), scope=f"{GRAPH}/User.Read offline_access").json()
    assert document["scope"] == f"{GRAPH}/User.Read offline_access"
    form = secret_form(entra, grant_type="refresh_token", refresh_token=document["refresh_token"])
    again = ask(entra, http, form | {"scope": "Mail.Read"}).json()
    assert claims_of(again["access_token"])["scp"] == "Mail.Read"


def test_an_id_token_is_given_to_who_asks_for_openid(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, entra.sign_in("alice"), scope=f"{GRAPH}/User.Read openid profile").json()
    claims = claims_of(document["id_token"])
    assert (claims["aud"], claims["oid"]) == (entra.api.client_id, entra.alice.object_id)


def test_a_refresh_token_belongs_to_its_client(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, entra.sign_in("alice"), scope="User.Read offline_access").json()
    other = entra.register_app("other", secret="x", permissions={GRAPH: ["User.Read"]})
    form = {"client_id": other.client_id, "client_secret": "x", "grant_type": "refresh_token"}
    form |= {"refresh_token": document["refresh_token"], "scope": "User.Read"}
    assert refusal(ask(entra, http, form)) == (400, "invalid_grant", 9002313)
    assert refusal(ask(entra, http, form | {"refresh_token": "made up"})) == (400, "invalid_grant", 9002313)


def test_a_refresh_token_belongs_to_its_tenant(entra: LocalEntra, http: httpx.Client) -> None:
    other = entra.add_tenant()
    document = exchange(entra, http, entra.sign_in("alice"), scope="User.Read offline_access").json()
    form = secret_form(entra, grant_type="refresh_token", refresh_token=document["refresh_token"])
    response = ask(entra, http, form | {"scope": "User.Read"}, other.tenant_id)
    assert refusal(response) == (400, "invalid_grant", 70000)


@pytest.mark.parametrize(("lifetime", "asked", "expected"), [(7199, None, None), (7200, None, 3600), (60, 20, 20)])
def test_refresh_in_is_half_of_a_long_life(
    http: httpx.Client, lifetime: int, asked: int | None, expected: int | None
) -> None:
    with LocalEntra(token_lifetime=lifetime, refresh_in=asked) as entra:
        assert exchange(entra, http, entra.sign_in("alice")).json().get("refresh_in") == expected


# Scopes


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("User.Read", "User.Read"),
        (f"{GRAPH}/User.Read", "User.Read"),
        (f"{GRAPH}//User.Read", "User.Read"),
        (f"{GRAPH}/.default", "User.Read Mail.Read"),
        ("User.Read Mail.Read User.Read", "User.Read Mail.Read"),
        ("00000003-0000-0000-c000-000000000000/.default", "User.Read Mail.Read"),
        ("openid profile", "openid profile"),
    ],
)
def test_scopes_are_granted(entra: LocalEntra, http: httpx.Client, scope: str, granted: str) -> None:
    response = exchange(entra, http, entra.sign_in("alice"), scope=scope)
    assert claims_of(access_token(response))["scp"] == granted


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("https://elsewhere.example/.default", (400, "invalid_resource", 500011)),
        ("User.Rea", (400, "invalid_scope", 70011)),
        ("User.Read .default", (400, "invalid_scope", 70011)),
        ("User.Read api://a9100000-0000-4000-8000-000000000001/access_as_user", (400, "invalid_scope", 28000)),
        (" ", (400, "invalid_request", 900144)),
        ("Files.Read", (400, "invalid_grant", 65001)),
        ("api://a9100000-0000-4000-8000-000000000001/.default", (400, "invalid_grant", 65005)),
    ],
)
def test_scopes_are_refused(entra: LocalEntra, http: httpx.Client, scope: str, expected: tuple[int, str, int]) -> None:
    assert refusal(exchange(entra, http, entra.sign_in("alice"), scope=scope)) == expected


# The user assertion


def test_an_exchange_needs_its_word(entra: LocalEntra, http: httpx.Client) -> None:
    response = exchange(entra, http, entra.sign_in("alice"), requested_token_use="something")
    assert refusal(response) == (400, "invalid_request", 90023)


def test_an_app_only_token_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    for token in (entra.app_token(), entra.app_token(idtyp=None)):
        assert refusal(exchange(entra, http, token)) == (400, "unauthorized_client", 7000114)


def test_an_expired_token_is_refused(entra: LocalEntra, http: httpx.Client, clock: Clock) -> None:
    token = entra.sign_in("alice", lifetime=10)
    assert exchange(entra, http, token).status_code == 200
    clock.now += 10
    assert refusal(exchange(entra, http, token)) == (400, "invalid_grant", 500133)


BAD_ASSERTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "no end": ({"exp": None}, 500133),
    "another audience": ({"aud": "api://other"}, 500131),
    "another issuer": ({"iss": "https://elsewhere.example"}, 50013),
    "another tenant": ({"tid": "another"}, 50013),
    "nobody": ({"oid": "nobody"}, 50034),
    "a foreign key": ({"key": foreign_key()}, 50013),
    "a forged key id": ({"headers": {"kid": "forged"}}, 50013),
}


@pytest.mark.parametrize(("changes", "code"), BAD_ASSERTIONS.values(), ids=BAD_ASSERTIONS)
def test_an_assertion_is_refused_with(
    entra: LocalEntra, http: httpx.Client, changes: dict[str, Any], code: int
) -> None:
    assert refusal(exchange(entra, http, entra.sign_in("alice", **changes))) == (400, "invalid_grant", code)


@pytest.mark.parametrize("text", ["opaque", "a.b.c"])
def test_an_assertion_that_is_no_token_is_refused(entra: LocalEntra, http: httpx.Client, text: str) -> None:
    assert refusal(exchange(entra, http, text)) == (400, "invalid_grant", 50013)


def test_a_signature_by_another_provider_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    with LocalEntra() as other:
        forged = other.sign(claims_of(entra.sign_in("alice")))
    assert refusal(exchange(entra, http, forged)) == (400, "invalid_grant", 50013)


def test_a_signature_by_a_withdrawn_key_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    token = entra.sign_in("alice")
    assert exchange(entra, http, token).status_code == 200
    entra.rotate_keys()
    assert exchange(entra, http, token).status_code == 200
    entra.rotate_keys(withdraw_old=True)
    assert refusal(exchange(entra, http, token)) == (400, "invalid_grant", 50013)


def test_tokens_of_version_1_can_be_exchanged(entra: LocalEntra, http: httpx.Client) -> None:
    assert exchange(entra, http, entra.sign_in("alice", version=1)).status_code == 200


@pytest.mark.parametrize("name", ["common", "organizations", "contoso.example"])
def test_the_token_names_the_tenant(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    response = ask(entra, http, on_behalf_of_form(entra, entra.sign_in("alice")), name)
    assert claims_of(access_token(response))["tid"] == entra.tenant_id


def test_a_user_of_another_tenant_is_served_there(entra: LocalEntra, http: httpx.Client) -> None:
    fabrikam = entra.add_tenant(None, "fabrikam.example")
    carol = entra.add_user("carol", tenant=fabrikam)
    form = on_behalf_of_form(entra, entra.sign_in(carol))
    assert refusal(ask(entra, http, form)) == (400, "invalid_grant", 50013)
    claims = claims_of(access_token(ask(entra, http, form, "fabrikam.example")))
    assert (claims["tid"], claims["upn"]) == (fabrikam.tenant_id, "carol@fabrikam.example")


def test_an_application_can_not_act_as_itself_in_no_tenant(entra: LocalEntra, http: httpx.Client) -> None:
    response = ask(entra, http, client_credentials_form(entra), "common")
    assert refusal(response) == (400, "invalid_request", 9001023)


@pytest.mark.parametrize("scope", ["User.Read", f"{GRAPH}/User.Read", f"{GRAPH}/.default offline_access"])
def test_an_application_as_itself_asks_for_default_only(entra: LocalEntra, http: httpx.Client, scope: str) -> None:
    response = ask(entra, http, client_credentials_form(entra, scope=scope))
    assert refusal(response) == (400, "invalid_scope", 70011)


def test_an_application_as_itself_gets_neither_refresh_token_nor_scope(entra: LocalEntra, http: httpx.Client) -> None:
    document = ask(entra, http, client_credentials_form(entra, client_info="1")).json()
    assert list(document) == ["token_type", "expires_in", "ext_expires_in", "access_token"]


# The document of a refusal


def test_a_refusal_is_entras_document(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, "opaque").json()
    trace, correlation = document["trace_id"], document["correlation_id"]
    assert document["timestamp"] == "2027-01-15 08:00:00Z"
    assert document["error_description"].startswith("AADSTS50013: ")
    assert document["error_description"].endswith(
        f" Trace ID: {trace} Correlation ID: {correlation} Timestamp: 2027-01-15 08:00:00Z"
    )
    assert document["error_uri"] == f"{entra.authority}/error?code=50013"
    assert {"suberror", "claims"}.isdisjoint(document)


@pytest.mark.parametrize("name", ["client-request-id", "x-ms-client-request-id"])
def test_a_refusal_repeats_the_id_of_the_request(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    http.headers[name] = "the-id"
    assert exchange(entra, http, "opaque").json()["correlation_id"] == "the-id"


def test_a_refusal_reads_well_in_a_traceback() -> None:
    error = EntraError(50013, "Not signed here.")
    assert str(error) == "AADSTS50013: Not signed here."


def test_claims_that_are_no_object_are_refused(entra: LocalEntra, http: httpx.Client) -> None:
    for text in ("no", "[]", '{"access_token": [1]}', '{"access_token": 1}'):
        response = exchange(entra, http, entra.sign_in("alice"), claims=text)
        assert (text, *refusal(response)) == (text, 400, "invalid_request", 90023)


def test_declared_capabilities_are_written_into_the_token(entra: LocalEntra, http: httpx.Client) -> None:
    for members in ({"values": ["CP1"]}, {"values": ["cp1", 1]}, {"value": "Cp1"}):
        claims = json.dumps({"access_token": {"xms_cc": members}})
        response = exchange(entra, http, entra.sign_in("alice"), claims=claims)
        assert claims_of(access_token(response))["xms_cc"] == ["cp1"]
        response = ask(entra, http, client_credentials_form(entra, claims=claims))
        assert claims_of(access_token(response))["xms_cc"] == ["cp1"]


def test_claims_of_other_kinds_change_nothing(entra: LocalEntra, http: httpx.Client) -> None:
    for text in ('{"id_token": {}}', '{"access_token": {"xms_cc": null}}', '{"access_token":{"xms_cc":{"values":1}}}'):
        response = exchange(entra, http, entra.sign_in("alice"), claims=text)
        assert "xms_cc" not in claims_of(access_token(response))


def test_the_memory_of_verified_tokens_is_bounded(
    entra: LocalEntra, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "_VERIFIED_LIMIT", 2)
    for _ in range(5):
        assert exchange(entra, http, entra.sign_in("alice")).status_code == 200
    assert len(entra._state.verified) <= 2


def test_times_are_those_of_the_clock(entra: LocalEntra, http: httpx.Client) -> None:
    claims = claims_of(access_token(exchange(entra, http, entra.sign_in("alice"))))
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (NOW, NOW, NOW + 3900)
