from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from obo_middleware.testing import LocalEntra, LocalGraph
from tests.testing.kit import (
    GRAPH,
    NOW,
    access_token,
    ask,
    bearer,
    claims_of,
    decoded,
    exchange,
    graph_token,
    refusal,
    secret_form,
)

CP1 = json.dumps({"access_token": {"xms_cc": {"values": ["CP1"]}}})


# Consent


@pytest.mark.parametrize("scope", ["User.Read", f"{GRAPH}/User.Read", f"{GRAPH}/.default"])
def test_consent_can_be_taken_back_and_given(entra: LocalEntra, http: httpx.Client, scope: str) -> None:
    entra.require_consent("alice", entra.api, [scope])
    response = exchange(entra, http, entra.sign_in("alice"))
    assert refusal(response) == (400, "invalid_grant", 65001)
    assert response.json()["suberror"] == "consent_required"
    assert exchange(entra, http, entra.sign_in("bob")).status_code == 200
    entra.grant_consent("alice", entra.api, [scope])
    assert exchange(entra, http, entra.sign_in("alice")).status_code == 200


def test_default_means_what_is_consented_to(entra: LocalEntra, http: httpx.Client) -> None:
    entra.require_consent("alice", entra.api, ["Mail.Read"])
    response = exchange(entra, http, entra.sign_in("alice"), scope=f"{GRAPH}/.default")
    assert claims_of(access_token(response))["scp"] == "User.Read"
    entra.require_consent("alice", entra.api, ["User.Read"])
    response = exchange(entra, http, entra.sign_in("alice"), scope=f"{GRAPH}/.default")
    assert refusal(response) == (400, "invalid_grant", 65001)


def test_nothing_is_consented_to_in_an_app_no_administrator_saw(entra: LocalEntra, http: httpx.Client) -> None:
    entra.update_app(entra.api, admin_consent=False)
    assert refusal(exchange(entra, http, entra.sign_in("alice")))[2] == 65001
    entra.grant_consent(entra.alice, entra.api, ["User.Read"])
    assert exchange(entra, http, entra.sign_in("alice")).status_code == 200


# Conditional access


@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_more_than_one_factor_can_be_asked_for(
    entra: LocalEntra, http: httpx.Client, everybody: bool, everywhere: bool
) -> None:
    rule = (None if everybody else "alice", None if everywhere else entra.graph)
    entra.require_mfa(*rule)
    response = exchange(entra, http, entra.sign_in("alice"))
    assert refusal(response) == (400, "interaction_required", 50076)
    assert response.json()["suberror"] == "basic_action"
    assert "capolids" in json.loads(response.json()["claims"])["access_token"]
    assert exchange(entra, http, entra.sign_in("bob")).status_code == (400 if everybody else 200)
    assert exchange(entra, http, entra.sign_in("alice", amr=["pwd", "mfa"])).status_code == 200
    entra.forgive_mfa(*rule)
    assert exchange(entra, http, entra.sign_in("alice")).status_code == 200


def test_claims_that_name_the_policy_ask_for_its_factors_everywhere(entra: LocalEntra, http: httpx.Client) -> None:
    claims = json.dumps({"access_token": {"capolids": {"essential": True, "values": ["another policy"]}}})
    entra.require_mfa("alice", entra.graph)
    challenge = exchange(entra, http, entra.sign_in("alice")).json()["claims"]
    behind = entra.register_app("behind", scopes=("access_as_user",))
    entra.update_app(entra.api, delegated={behind.client_id: ("access_as_user",)})
    scope = f"{behind.identifier_uris[0]}/access_as_user"

    def ask_for_it(user: str, claims: str, **strength: Any) -> httpx.Response:
        return exchange(entra, http, entra.sign_in(user, **strength), scope=scope, claims=claims)

    refused = ask_for_it("alice", challenge)
    assert refusal(refused) == (400, "interaction_required", 50076)
    assert refused.json()["claims"] == challenge
    assert ask_for_it("alice", challenge, amr=["pwd", "mfa"]).status_code == 200
    assert ask_for_it("alice", claims).status_code == 200
    assert ask_for_it("bob", challenge).status_code == 200, "no rule of that policy is about him"
    entra.forgive_mfa("alice", entra.graph)
    assert ask_for_it("alice", challenge).status_code == 200


def contexts(*, essential: bool) -> str:
    return json.dumps({"access_token": {"acrs": {"essential": essential, "value": "c1"}}})


def test_an_authentication_context_needs_a_strong_session(entra: LocalEntra, http: httpx.Client) -> None:
    response = exchange(entra, http, entra.sign_in("alice"), claims=contexts(essential=True))
    assert refusal(response) == (400, "interaction_required", 50076)
    assert json.loads(response.json()["claims"]) == json.loads(contexts(essential=True))
    strengths: list[dict[str, Any]] = [{"amr": ["mfa"]}, {"acrs": ["c1"]}]
    for strength in strengths:
        token = entra.sign_in("alice", **strength)
        response = exchange(entra, http, token, claims=contexts(essential=True))
        assert claims_of(access_token(response))["acrs"] == ["c1"]


def test_a_context_that_is_not_essential_is_left_out(entra: LocalEntra, http: httpx.Client) -> None:
    response = exchange(entra, http, entra.sign_in("alice"), claims=contexts(essential=False))
    assert "acrs" not in claims_of(access_token(response))


# Revocation


def me(graph: LocalGraph, http: httpx.Client, token: str) -> httpx.Response:
    return http.get(f"{graph.base_url}/me", headers=bearer(token))


def claims_of_challenge(response: httpx.Response) -> str:
    return response.headers["www-authenticate"].rpartition('claims="')[2].rstrip('"')


def test_a_revoked_token_is_answered_with_a_challenge(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http, claims=CP1)
    assert me(graph, http, token).status_code == 200
    entra.revoke("alice")
    response = me(graph, http, token)
    assert response.status_code == 401
    start = f'Bearer realm="", authorization_uri="{entra.authority}/common/oauth2/authorize", '
    assert response.headers["www-authenticate"].startswith(f'{start}error="insufficient_claims", claims="')
    nbf = {"essential": True, "value": str(int(NOW))}
    assert decoded(claims_of_challenge(response)) == {"access_token": {"nbf": nbf}}


def test_a_client_that_cannot_answer_a_challenge_gets_none(
    entra: LocalEntra, graph: LocalGraph, http: httpx.Client
) -> None:
    token = graph_token(entra, http)
    entra.revoke("alice")
    assert "claims" not in me(graph, http, token).headers["www-authenticate"]


def test_only_the_answer_to_the_challenge_gets_a_token_that_works(
    entra: LocalEntra, graph: LocalGraph, http: httpx.Client
) -> None:
    assertion = entra.sign_in("alice")
    entra.revoke("alice")
    careless = access_token(exchange(entra, http, assertion, claims=CP1))
    challenge = claims_of_challenge(me(graph, http, careless))
    careful = access_token(exchange(entra, http, assertion, claims=json.dumps(decoded(challenge))))
    assert me(graph, http, careful).status_code == 200
    stale = json.dumps({"access_token": {"nbf": {"essential": True, "value": str(int(NOW) - 1)}}})
    assert me(graph, http, access_token(exchange(entra, http, assertion, claims=stale))).status_code == 401


def test_who_signs_in_again_gets_a_token_that_works(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    entra.revoke("alice")
    assert me(graph, http, graph_token(entra, http)).status_code == 200


def test_revocation_of_one_user_is_nothing_to_another(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http, "bob")
    entra.revoke("alice")
    assert me(graph, http, token).status_code == 200


def test_a_token_without_an_id_is_revoked_by_its_age(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    entra.revoke("alice")
    for issued, status in ((NOW, 401), (NOW + 1, 200)):
        token = entra.sign_in("alice", entra.graph, ["User.Read"], uti=None, iat=issued)
        assert me(graph, http, token).status_code == status


def test_a_session_that_ended_is_over(entra: LocalEntra, http: httpx.Client) -> None:
    document = exchange(entra, http, entra.sign_in("alice"), scope="User.Read offline_access").json()
    assertion = entra.sign_in("alice")
    second = entra.revoke("alice", end_session=True)
    claims = json.dumps({"access_token": {"nbf": {"essential": True, "value": str(second)}}})
    response = exchange(entra, http, assertion, claims=claims)
    assert refusal(response) == (400, "invalid_grant", 50173)
    assert response.json()["suberror"] == "bad_token"
    form = secret_form(entra, grant_type="refresh_token", refresh_token=document["refresh_token"])
    assert refusal(ask(entra, http, form | {"scope": "User.Read"})) == (400, "invalid_grant", 50173)
    assert exchange(entra, http, entra.sign_in("alice")).status_code == 200
