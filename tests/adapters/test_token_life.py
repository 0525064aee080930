"""DESIGN section 5: the life of a downstream token, through the whole stack, with the provider's count of exchanges."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.adapters import actions
from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import MORE_IS_NEEDED, claims_challenge, realm
from tests.adapters.world import World

AGED = 3_700
"""Seconds after which a token of 3 900 s is past its refresh time, 300 s before its end, and still valid."""
OVER = 3_900


def test_a_token_in_use_is_not_exchanged_again(adapter: Served, world: World) -> None:
    token = world.token()
    for _ in range(4):
        assert adapter.get("/me", token).status_code == 200
    assert len(world.entra.token_requests) == 1


def test_the_next_incoming_token_of_the_same_session_needs_no_exchange(adapter: Served, world: World) -> None:
    name = world.newcomer()
    for lifetime in (3_600, 7_200):
        assert adapter.get("/me", world.token(name, lifetime=lifetime)).status_code == 200
    assert world.entra.exchanges == 1


@pytest.mark.attack(121)
def test_a_session_of_another_strength_or_client_has_exchanges_of_its_own(adapter: Served, world: World) -> None:
    name = world.newcomer()
    sessions: tuple[dict[str, Any], ...] = (
        {},
        {"acr": "phr"},
        {"amr": ["pwd", "mfa"]},
        {"sid": "another"},
        {"azp": world.entra.graph.client_id},
    )
    for claims in sessions:
        assert adapter.get("/me", world.token(name, **claims)).status_code == 200
    assert world.entra.exchanges == len(sessions)


@pytest.mark.attack(137)
def test_an_aged_token_is_refreshed_by_one_while_the_others_go_on(adapter: Served, world: World) -> None:
    token = world.token()
    assert adapter.get("/me", token).status_code == 200
    world.clock.advance(AGED)
    with ThreadPoolExecutor(1) as pool:
        with world.clock.provider_thinks():
            refreshing = pool.submit(adapter.crowd, [("/me", token)])
            world.clock.wait_for_the_provider()
            others = adapter.crowd([("/me", token)] * 20)
            assert not refreshing.done()
        assert refreshing.result()[0].status == 200
    assert {answer.status for answer in others} == {200}
    assert world.entra.exchanges == 2
    used = [request.headers["authorization"] for request in world.graph.requests]
    assert len(set(used[:-1])) == 1, "the others went on with the old token"
    assert used[-1] != used[0]


def test_a_refresh_that_fails_costs_nobody_anything(adapter: Served, world: World) -> None:
    token = world.token()
    assert adapter.get("/me", token).status_code == 200
    world.clock.advance(AGED)
    world.entra.throttle()
    for _ in range(3):
        assert adapter.get("/me", token).status_code == 200
    assert len(world.entra.token_requests) == 2, "one attempt in 30 seconds"
    world.entra.forget_faults()
    world.clock.advance(31)
    assert adapter.get("/me", token).status_code == 200
    assert world.entra.exchanges == 2


@pytest.mark.attack(137)
def test_an_expired_token_is_exchanged_once(adapter: Served, world: World) -> None:
    token = world.token()
    assert adapter.get("/me", token).status_code == 200
    world.clock.advance(OVER)
    assert {answer.status for answer in adapter.crowd([("/me", token)] * 10)} == {200}
    assert world.entra.exchanges == 2


@pytest.mark.attack(122)
def test_an_expired_incoming_token_gets_nothing_from_the_cache(adapter: Served, world: World) -> None:
    token = world.token(lifetime=600)
    assert adapter.get("/me", token).status_code == 200
    world.clock.advance(600)
    assert adapter.get("/me", token).status_code == 401
    assert len(world.graph.requests) == 1


@pytest.mark.attack(174)
def test_a_revoked_token_is_replaced_by_one_exchange_with_the_claims(adapter: Served, world: World) -> None:
    name = world.newcomer()
    token = world.token(name)
    assert adapter.get("/me", token).status_code == 200
    world.entra.revoke(name)
    for _ in range(3):
        assert adapter.get("/me", token).status_code == 200
    assert world.entra.exchanges == 2
    claims = json.loads(world.entra.token_requests[-1].form["claims"])["access_token"]
    assert claims.keys() == {"nbf", "xms_cc"}
    assert [request.status for request in world.graph.requests] == [200, 401, 200, 200, 200]


@pytest.mark.attack(174)
def test_many_requests_with_a_revoked_token_share_the_new_one(adapter: Served, world: World) -> None:
    name = world.newcomer()
    token = world.token(name)
    assert adapter.get("/me", token).status_code == 200
    world.entra.revoke(name)
    assert {answer.status for answer in adapter.crowd([("/me", token)] * 20)} == {200}
    assert world.entra.exchanges == 2


@pytest.mark.attack(175)
def test_a_challenge_for_ever_is_answered_once_and_then_passed_on(adapter: Served, world: World) -> None:
    name = world.newcomer()
    claims = {"access_token": {"nbf": {"essential": True, "value": str(int(world.clock()))}}}
    world.graph.challenge(name, claims, times=None)
    response = adapter.get("/me", world.token(name, xms_cc=["cp1"]))
    body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
    check_problem(response, 401, body, challenge=claims_challenge(world, claims))
    assert [request.status for request in world.graph.requests] == [401, 401]
    assert world.entra.exchanges == 2
    check_problem(adapter.get("/me", world.token(name)), 403, {"title": MORE_IS_NEEDED, "status": 403})


@pytest.mark.attack(126, 145)
def test_every_waiter_gets_the_refusal_and_it_is_not_kept_for_ever(adapter: Served, world: World) -> None:
    name = world.newcomer()
    token = world.token(name)
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    with ThreadPoolExecutor(1) as pool:
        with world.clock.provider_thinks():
            waiting = pool.submit(adapter.crowd, [("/me", token)] * 10)
            actions.entered.wait_for(10)
        answers = waiting.result()
    for answer in answers:
        assert answer.status == 403
        assert f'{realm(world)}, error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert len(world.entra.token_requests) == 1
    world.entra.grant_consent(name, world.entra.api, ["User.Read"])
    assert adapter.get("/me", token).status_code == 403, "kept for 60 seconds"
    world.clock.advance(61)
    assert adapter.get("/me", token).status_code == 200
    assert world.entra.exchanges == 1


@pytest.mark.attack(123)
def test_a_refusal_is_kept_for_its_own_token_only(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    assert adapter.get("/me", world.token(name)).status_code == 403
    world.entra.grant_consent(name, world.entra.api, ["User.Read"])
    assert adapter.get("/me", world.token(name, lifetime=7_200)).status_code == 200
    assert adapter.get("/me", world.token()).status_code == 200


@pytest.mark.attack(126, 149)
def test_throttling_reaches_every_waiter_and_ends_when_it_was_told_to(adapter: Served, world: World) -> None:
    token = world.token()
    world.entra.throttle(retry_after=30, times=1)
    answers = adapter.crowd([("/me", token)] * 10)
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"30"}
    assert len(world.entra.token_requests) == 1
    world.clock.advance(31)
    assert adapter.get("/me", token).status_code == 200


@pytest.mark.attack(123, 149)
def test_throttling_of_one_user_does_not_touch_another(adapter: Served, world: World) -> None:
    world.entra.throttle(retry_after=30, times=1)
    assert adapter.get("/me", world.token()).status_code == 503
    assert adapter.get("/me", world.token()).status_code == 200


def test_a_new_user_in_a_warm_app_costs_one_request_and_no_connection(adapter: Served, world: World) -> None:
    assert adapter.get("/me", world.token()).status_code == 200
    world.entra.reset_counts()
    world.graph.reset_counts()
    assert adapter.get("/me", world.token()).status_code == 200
    assert (world.entra.requests_to("token"), world.entra.connections) == (1, 0)
    assert (world.entra.requests_to("metadata"), world.entra.requests_to("jwks")) == (0, 0)
    assert world.graph.connections == 0


@pytest.mark.attack(125)
def test_a_client_that_leaves_while_it_led_the_exchange_harms_nobody(adapter: Served, world: World) -> None:
    token = world.token()
    head = f"GET /me HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n\r\n"
    with ThreadPoolExecutor(1) as pool:
        with world.clock.provider_thinks():
            with socket.create_connection((adapter.host, adapter.port), timeout=20) as leader:
                leader.sendall(head.encode())
                world.clock.wait_for_the_provider()
            waiting = pool.submit(adapter.crowd, [("/me", token)] * 5)
            actions.entered.wait_for(6)
        assert {answer.status for answer in waiting.result()} == {200}
    assert world.entra.exchanges == 1
