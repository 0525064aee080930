"""DESIGN section 7: what the client gets when the provider or the downstream API wants more, or fails."""

from __future__ import annotations

import json
import logging
import urllib.parse

import pytest

from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import (
    DOWN,
    INVALID,
    MORE_IS_NEEDED,
    NO_SCOPE,
    OURS,
    UNUSABLE,
    claims_challenge,
    claims_in,
    invalid,
    realm,
)
from tests.adapters.world import World
from tests.marks import showing


@pytest.mark.attack(145)
def test_consent_missing_403_with_the_scopes_and_a_link(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["Mail.Read"])
    response = adapter.get("/me", world.token(name))
    body = response.json()
    link = urllib.parse.urlsplit(body.pop("consent_uri"))
    expected = {"title": "Consent is needed to call another API for this user", "scope": "User.Read Mail.Read"}
    assert body == NO_SCOPE | expected
    assert response.headers["www-authenticate"] == (
        f'{realm(world)}, error="insufficient_scope", scope="User.Read Mail.Read"'
    )
    query = dict(urllib.parse.parse_qsl(link.query))
    assert f"{link.scheme}://{link.netloc}" == world.entra.authority
    assert (query["client_id"], query["scope"], query["prompt"]) == (
        world.client_id,
        "User.Read Mail.Read",
        "consent",
    )


@pytest.mark.attack(144)
def test_the_provider_asks_for_mfa(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    able = adapter.get("/me", world.token(name, xms_cc=["cp1"]))
    claims = claims_in(able.headers["www-authenticate"])
    assert "capolids" in json.dumps(claims)
    body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
    check_problem(able, 401, body, challenge=claims_challenge(world, claims))
    world.entra.forgive_mfa(name)


def test_the_provider_asks_for_mfa_of_a_client_that_cannot_answer(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    check_problem(adapter.get("/me", world.token(name)), 403, {"title": MORE_IS_NEEDED, "status": 403})
    world.entra.forgive_mfa(name)


def test_a_user_who_did_what_was_asked_gets_in(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    assert adapter.get("/me", world.token(name, xms_cc=["cp1"])).status_code == 401
    assert adapter.get("/me", world.token(name, xms_cc=["cp1"], amr=["pwd", "mfa"])).status_code == 200
    world.entra.forgive_mfa(name)


@pytest.mark.parametrize("able", [True, False])
def test_the_downstream_api_asks_for_what_the_provider_does_not_give(adapter: Served, world: World, able: bool) -> None:
    name = world.newcomer()
    world.graph.challenge(name)
    response = adapter.get("/me", world.token(name, xms_cc=["cp1"] if able else None))
    if able:
        body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
        claims = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
        check_problem(response, 401, body, challenge=claims_challenge(world, claims, spaced=True))
    else:
        check_problem(response, 403, {"title": MORE_IS_NEEDED, "status": 403})
    assert len(world.graph.requests) == 1


@pytest.mark.attack(146)
def test_a_session_that_ended_at_the_provider_401_invalid_token(adapter: Served, world: World) -> None:
    name = world.newcomer()
    token = world.token(name)
    world.entra.revoke(name, end_session=True)
    check_problem(adapter.get("/me", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(148)
def test_a_provider_that_does_not_answer_503(adapter: Served, world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.entra.drop_connections()
    check_problem(adapter.get("/me", world.token()), 503, DOWN, retry_after="5")
    assert len(world.entra.token_requests) == 4
    assert "the token endpoint did not answer" in caplog.text


@pytest.mark.attack(149)
def test_a_provider_that_throttles_503_with_its_own_retry_after(adapter: Served, world: World) -> None:
    world.entra.throttle(retry_after=17)
    token = world.token()
    check_problem(adapter.get("/me", token), 503, DOWN, retry_after="17")
    world.clock.advance(7)
    check_problem(adapter.get("/me", token), 503, DOWN, retry_after="10")
    assert len(world.entra.token_requests) == 1


@pytest.mark.attack(148)
def test_a_provider_out_of_order_503(adapter: Served, world: World) -> None:
    world.entra.outage(status=500)
    check_problem(adapter.get("/me", world.token()), 503, DOWN, retry_after="5")


@pytest.mark.parametrize(
    "body",
    [
        *showing(141, b"<html>", b'{"token_type":"Bearer","expires_in":3600}'),
        *showing(138, b'{"access_token":"a","token_type":"pop"}'),
    ],
)
def test_an_answer_of_the_provider_that_is_none_502(adapter: Served, world: World, body: bytes) -> None:
    world.entra.answer_once(body=body)
    token = world.token()
    check_problem(adapter.get("/me", token), 502, UNUSABLE)
    assert adapter.get("/me", token).status_code == 200


@pytest.mark.attack(147)
def test_a_wrong_secret_500_and_only_the_log_says_what_to_fix(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    registered = world.entra.api
    world.entra.update_app(registered, secrets=())
    world.entra.add_secret(registered, "another-secret")
    try:
        check_problem(adapter.get("/me", world.token()), 500, OURS)
    finally:
        world.entra.update_app(registered, secrets=registered.secrets)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any("AADSTS7000215" in text and world.client_id in text for text in errors)
    assert len(world.entra.token_requests) == 1
