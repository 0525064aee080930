"""An API that calls an API that calls Graph, each as the user: whose token goes where, and how challenges come back."""

from __future__ import annotations

import base64
import json
import logging
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.harness import Canary, bearer, check_problem
from tests.adapters.outcomes import MORE_IS_NEEDED
from tests.frameworks.chain_site import Chain, running_chain
from tests.testing.kit import JWT_BEARER, claims_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHALLENGED = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
NOT_TOLD = {"title": MORE_IS_NEEDED, "status": 403}


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Watch all log records from DEBUG up, of both APIs, for tokens and secrets."""
    canary, root = Canary(), logging.getLogger()
    before = root.level
    root.addHandler(canary)
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(before)
    root.removeHandler(canary)
    assert canary.records
    assert canary.leaks == []


@pytest.fixture
def chain() -> Iterator[Chain]:
    with running_chain() as running:
        yield running


def greets(chain: Chain, token: str, user: str) -> None:
    response = chain.ask(token)
    expected = chain.entra.users[user]
    assert response.status_code == 200, response.text
    assert response.json() == {"id": expected.object_id, "greeting": f"Hello, {expected.display_name}"}


def exchanges(chain: Chain, client_id: str) -> list[Any]:
    """Return the requests for an exchange by one of the APIs."""
    return [
        one for one in chain.entra.token_requests if one.grant_type == JWT_BEARER and one.form["client_id"] == client_id
    ]


# Whose token goes where


def test_each_hop_has_a_token_of_its_own_for_its_own_audience(chain: Chain) -> None:
    inbound = chain.sign_in("alice")
    greets(chain, inbound, "alice")
    (at_profiles,), (at_graph,) = chain.inbox.tokens, chain.graph.tokens
    portal_id, client_id = chain.entra.api.client_id, chain.entra.client.client_id
    first, second, third = map(claims_of, (inbound, at_profiles, at_graph))
    assert (first["aud"], first["azp"]) == (portal_id, client_id)
    assert (second["aud"], second["azp"], second["scp"]) == (chain.profiles_id, portal_id, "access_as_user")
    assert (third["aud"], third["appid"]) == (chain.entra.graph.identifier_uris[0], chain.profiles_id)
    assert first["oid"] == second["oid"] == third["oid"] == chain.entra.alice.object_id
    assert second["xms_cc"] == third["xms_cc"] == ["cp1"]


def test_no_token_is_passed_on(chain: Chain) -> None:
    inbound = {chain.sign_in(user) for user in ("alice", "bob")}
    for token in [*inbound, *inbound]:
        assert chain.ask(token).status_code == 200
    at_profiles, at_graph = set(chain.inbox.tokens), set(chain.graph.tokens)
    assert (len(at_profiles), len(at_graph)) == (2, 2)
    assert inbound.isdisjoint(at_profiles)
    assert (inbound | at_profiles).isdisjoint(at_graph)
    assert {one.form["assertion"] for one in exchanges(chain, chain.entra.api.client_id)} == inbound
    assert {one.form["assertion"] for one in exchanges(chain, chain.profiles_id)} == at_profiles


def test_two_users_at_once_are_never_mixed(chain: Chain) -> None:
    users = ("alice", "bob")
    tokens = {user: chain.sign_in(user) for user in users}
    answers = chain.portal.crowd([("/greeting", tokens[user]) for _ in range(20) for user in users])
    expected = [chain.entra.users[user].object_id for _ in range(20) for user in users]
    assert [(answer.status, answer.json()["id"]) for answer in answers] == [(200, who) for who in expected]
    assert len(exchanges(chain, chain.entra.api.client_id)) == len(exchanges(chain, chain.profiles_id)) == 2
    assert [claims_of(token)["oid"] for token in chain.inbox.tokens].count(expected[0]) == 20


def test_the_profiles_take_no_user_who_does_not_come_through_the_portal(chain: Chain) -> None:
    profiles = chain.entra.app(chain.profiles_id)
    direct = chain.entra.sign_in("alice", profiles)
    response = chain.portal.client.get(f"{chain.profiles_url}/profile", headers=bearer(direct))
    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")


# Claims challenges


def challenge_in(chain: Chain, token: str) -> str:
    """Ask the portal, check that it answers with a challenge in standard form, and return the claims as JSON."""
    response = chain.ask(token)
    address = f"{chain.entra.authority}/{chain.entra.tenant_id}/oauth2/v2.0/authorize"
    start = f'Bearer realm="", authorization_uri="{address}", error="insufficient_claims", claims="'
    challenge = response.headers["www-authenticate"]
    check_problem(response, 401, CHALLENGED, challenge=challenge)
    assert challenge.startswith(start)
    assert challenge.endswith('"')
    return base64.b64decode(challenge[len(start) : -1], validate=True).decode()


def test_a_challenge_travels_to_the_client_and_its_next_sign_in_goes_all_the_way(chain: Chain) -> None:
    chain.entra.require_mfa("alice", chain.entra.graph)
    weak = chain.sign_in("alice")
    claims = challenge_in(chain, weak)
    assert "capolids" in json.loads(claims)["access_token"]
    assert chain.inbox.statuses == [401], "the portal does not ask again with what it could not get"
    assert chain.graph.requests == []
    plain, challenged = exchanges(chain, chain.entra.api.client_id)
    assert (plain.error, challenged.error, challenged.error_code) == (None, "interaction_required", 50076)
    asked = json.loads(challenged.form["claims"])["access_token"]
    assert asked == json.loads(claims)["access_token"] | {"xms_cc": {"values": ["CP1"]}}
    greets(chain, chain.sign_in("alice", claims), "alice")
    assert claims_of(chain.graph.tokens[0])["amr"] == ["pwd", "mfa"]
    challenge_in(chain, weak)
    greets(chain, chain.sign_in("bob"), "bob")


def test_what_graph_itself_asks_for_travels_as_well(chain: Chain) -> None:
    chain.graph.challenge("alice")
    claims = challenge_in(chain, chain.sign_in("alice"))
    assert json.loads(claims) == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
    greets(chain, chain.sign_in("alice", claims), "alice")
    assert claims_of(chain.graph.tokens[-1])["acrs"] == ["c1"]


def test_a_client_that_cannot_answer_a_challenge_is_told_no_claims(chain: Chain) -> None:
    chain.entra.require_mfa("alice", chain.entra.graph)
    check_problem(chain.ask(chain.sign_in("alice", able=False)), 403, NOT_TOLD)
    assert chain.inbox.statuses == [401], "the portal could have answered"


def test_a_portal_that_cannot_answer_a_challenge_is_told_no_claims() -> None:
    with running_chain(("from_env(", "from_env(enable_cae=False, ")) as chain:
        chain.entra.require_mfa("alice", chain.entra.graph)
        response = chain.ask(chain.sign_in("alice"))
        assert (response.status_code, response.json()) == (403, NOT_TOLD)
        assert chain.inbox.statuses == [403]
        assert len(exchanges(chain, chain.entra.api.client_id)) == 1


def test_a_token_that_was_revoked_is_replaced_where_it_was_got(chain: Chain) -> None:
    inbound = chain.sign_in("alice")
    greets(chain, inbound, "alice")
    chain.entra.revoke("alice")
    greets(chain, inbound, "alice")
    assert [request.status for request in chain.graph.requests] == [200, 401, 200]
    assert len(set(chain.inbox.tokens)) == 1


# What else the profiles answer


def test_a_user_whose_session_was_ended_signs_in_again(chain: Chain) -> None:
    inbound = chain.sign_in("alice")
    greets(chain, inbound, "alice")
    chain.entra.revoke("alice", end_session=True)
    refused = chain.ask(inbound)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    assert f'realm="{chain.entra.api.client_id}"' in refused.headers["www-authenticate"]
    greets(chain, chain.sign_in("alice"), "alice")


@pytest.mark.parametrize("first", ["old", "new"])
def test_a_new_sign_in_to_the_same_session_does_not_meet_the_refused_token_again(chain: Chain, first: str) -> None:
    old = chain.entra.sign_in("alice", sid="one session", xms_cc=["cp1"])
    greets(chain, old, "alice")
    chain.entra.revoke("alice", end_session=True)
    new = chain.entra.sign_in("alice", sid="one session", xms_cc=["cp1"])
    refused = chain.ask(old if first == "old" else new)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    greets(chain, new, "alice")


def test_consent_that_the_profiles_lack_is_asked_for_through_the_portal(chain: Chain) -> None:
    profiles = chain.entra.app(chain.profiles_id)
    chain.entra.require_consent("alice", profiles, ["User.Read"])
    response = chain.ask(chain.sign_in("alice"))
    body = response.json()
    link = urllib.parse.urlsplit(body["consent_uri"])
    assert (response.status_code, body["error"], body["scope"]) == (403, "insufficient_scope", "User.Read")
    assert dict(urllib.parse.parse_qsl(link.query))["client_id"] == chain.profiles_id
    assert f"{link.scheme}://{link.netloc}" == chain.entra.authority
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in response.headers
    chain.entra.grant_consent("alice", profiles, ["User.Read"])
    greets(chain, chain.sign_in("alice"), "alice")


def test_consent_that_the_portal_lacks_is_its_own_answer(chain: Chain) -> None:
    scope = f"api://{chain.profiles_id}/access_as_user"
    chain.entra.require_consent("alice", chain.entra.api, [scope])
    response = chain.ask(chain.sign_in("alice"))
    assert (response.status_code, response.json()["scope"]) == (403, scope)
    assert f"client_id={chain.entra.api.client_id}&" in response.json()["consent_uri"]
    assert chain.inbox.statuses == []


def test_a_provider_that_is_down_for_the_profiles_is_a_503_for_all(chain: Chain) -> None:
    inbound = chain.sign_in("alice")
    greets(chain, inbound, "alice")
    chain.entra.revoke("alice")
    chain.entra.outage(retry_after=7)
    response = chain.ask(inbound)
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["title"] == "The identity provider is not available"
    assert exchanges(chain, chain.entra.api.client_id)[1:] == [], "the portal had its token"
    chain.entra.forget_faults()


def test_profiles_that_are_broken_are_a_502(chain: Chain) -> None:
    chain.graph.outage(500)
    response = chain.ask(chain.sign_in("alice"))
    assert (response.status_code, chain.inbox.statuses) == (502, [500])
    assert response.json() == {"detail": "Bad Gateway"}


# The trace


def test_the_trace_goes_all_the_way(chain: Chain) -> None:
    assert chain.ask(chain.sign_in("alice"), {"traceparent": TRACE}).status_code == 200
    assert [headers["traceparent"] for headers in chain.inbox.headers] == [TRACE]
    assert [request.headers["traceparent"] for request in chain.graph.requests] == [TRACE]


@pytest.mark.parametrize("value", ["c4n4ry", f"{TRACE}-c4n4ry", TRACE.upper(), f"00-{32 * '0'}-{16 * '1'}-01"])
def test_what_is_no_trace_ends_at_the_portal(chain: Chain, value: str) -> None:
    others = {"tracestate": "a=c4n4ry", "baggage": "b=c4n4ry", "x-request-id": "c4n4ry", "cookie": "c=c4n4ry"}
    assert chain.ask(chain.sign_in("alice"), {"traceparent": value} | others).status_code == 200
    for headers in (*chain.inbox.headers, *(request.headers for request in chain.graph.requests)):
        assert {"traceparent", *others}.isdisjoint(name.lower().replace("_", "-") for name in headers)
        assert "c4n4ry" not in f"{headers}"


@pytest.mark.parametrize("end", ["profiles", "graph"])
def test_the_trace_of_one_request_is_not_the_next_ones(chain: Chain, end: str) -> None:
    token = chain.sign_in("alice")
    for trace in (TRACE, None, TRACE.replace("4bf9", "0000")):
        assert chain.ask(token, {} if trace is None else {"traceparent": trace}).status_code == 200
    seen = chain.inbox.headers if end == "profiles" else [dict(request.headers) for request in chain.graph.requests]
    assert [headers.get("traceparent") for headers in seen] == [TRACE, None, TRACE.replace("4bf9", "0000")]
