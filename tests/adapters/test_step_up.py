"""Routes that need a stronger sign-in: RFC 9470, and the authentication contexts of Entra."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import MISSING, TOO_WEAK, claims_challenge, realm
from tests.adapters.world import World

WEAK = 'Bearer error="insufficient_user_authentication", acr_values="phr phrh", max_age="300"'
NEEDED = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
TOO_WEAK_FOR_THE_ROUTE = "A stronger sign-in is needed for this route"


def recent(world: World, **claims: Any) -> str:
    return world.token("alice", **({"acr": "phr", "auth_time": int(world.clock()) - 10} | claims))


@pytest.mark.attack(99)
@pytest.mark.parametrize("claims", [{"acr": "1"}, {"acr": None}, {"auth_time": 5}, {"auth_time": None}], ids=repr)
def test_a_sign_in_that_is_too_weak_or_too_old_is_told_what_is_needed(
    adapter: Served, world: World, claims: dict[str, Any]
) -> None:
    check_problem(adapter.get("/step", recent(world, **claims)), 401, TOO_WEAK, challenge=WEAK)


def test_a_strong_and_recent_sign_in_passes(adapter: Served, world: World) -> None:
    assert adapter.get("/step", recent(world)).json()["user"] == world.object_id("alice")


@pytest.mark.attack(100)
@pytest.mark.parametrize("acrs", [None, [], ["c2"], ["c10"]], ids=repr)
def test_a_client_that_can_answer_is_told_the_authentication_context(adapter: Served, world: World, acrs: Any) -> None:
    token = world.token("alice", acrs=acrs, xms_cc=["cp1"])
    body = {"title": TOO_WEAK_FOR_THE_ROUTE, "status": 401, "error": "insufficient_claims"}
    check_problem(adapter.get("/context", token), 401, body, challenge=claims_challenge(world, NEEDED, spaced=True))


@pytest.mark.attack(101)
@pytest.mark.parametrize("declared", [None, [], ["cp2"]], ids=repr)
def test_a_client_that_cannot_answer_is_told_no_claims(adapter: Served, world: World, declared: Any) -> None:
    token = world.token("alice", xms_cc=declared)
    check_problem(adapter.get("/context", token), 403, {"title": TOO_WEAK_FOR_THE_ROUTE, "status": 403})


def test_a_sign_in_in_the_authentication_context_passes(adapter: Served, world: World) -> None:
    token = world.token("alice", acrs=["c1", "c3"])
    assert adapter.get("/context", token).json()["user"] == world.object_id("alice")


@pytest.mark.parametrize("path", ["/step", "/context"])
def test_nobody_is_asked_to_sign_in_first(adapter: Served, world: World, path: str) -> None:
    check_problem(adapter.get(path), 401, MISSING, challenge=realm(world))
