"""The provider's signing keys come, go and cannot be had: what requests meet meanwhile, in each adapter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from obo_middleware._metadata import KEYS_LIVE, LONG_COOL_DOWN
from tests.adapters import actions
from tests.adapters.attacks.asking import quiet
from tests.adapters.attacks.nothing import sizes, warm_up
from tests.adapters.harness import Served, check_problem, serve
from tests.adapters.outcomes import DOWN, INVALID, invalid
from tests.adapters.world import Clock, World, new_world

FLOOD = 250
"""Forged tokens in each adapter: a thousand in all four."""
DAYS: dict[str, Any] = {"lifetime": 10 * 86_400}


@pytest.fixture(scope="module")
def shared_own_world() -> Iterator[World]:
    """Start a provider of these tests' own: their days pass, and its keys change."""
    with new_world(Clock(1_800_000_000.0)) as running:
        yield running


@pytest.fixture
def own_world(shared_own_world: World) -> Iterator[World]:
    shared_own_world.set_back()
    actions.reached.reset()
    yield shared_own_world
    shared_own_world.set_back()


@pytest.fixture
def served(kind: str, own_world: World) -> Iterator[Served]:
    """Give an app that knows the provider's keys."""
    with quiet(), serve(kind, own_world.settings()) as running:
        warm_up(running, own_world)
        own_world.entra.reset_counts()
        actions.reached.reset()
        yield running


def fetches(world: World) -> tuple[int, int]:
    return world.entra.requests_to("metadata"), world.entra.requests_to("jwks")


def refused(served: Served, world: World, token: str) -> None:
    """Check that a token is refused and that the app is not called."""
    before = actions.reached.count
    check_problem(served.get("/me", token), 401, INVALID, challenge=invalid(world))
    assert actions.reached.count == before


@pytest.mark.attack(102, 103)
def test_a_flood_of_unknown_keys_costs_one_fetch_and_turns_nobody_away(served: Served, own_world: World) -> None:
    good, late = own_world.token(), own_world.token()
    assert served.get("/me", good).status_code == 200
    own_world.entra.reset_counts()
    before = sizes(served)
    for batch in range(0, FLOOD, 25):
        kids = [f"random-{number}" for number in range(batch, batch + 25)]
        forged = [own_world.token("bob", headers={"kid": kid}) for kid in kids]
        *answers, welcome = served.crowd([("/me", token) for token in [*forged, good]])
        for answer in answers:
            check_problem(answer, 401, INVALID, challenge=invalid(own_world))
        assert welcome.status == 200
        own_world.clock.advance(6)
    assert fetches(own_world) == (1, 1)
    assert actions.reached.count == 1 + FLOOD // 25, "the good token only"
    assert sizes(served) == before
    assert own_world.entra.requests_to("token") == 0, "the good token's own is still in the cache"
    assert served.get("/me", late).status_code == 200
    assert fetches(own_world) == (1, 1)


@pytest.mark.attack(102)
def test_unknown_keys_cause_another_fetch_after_the_cool_down_only(served: Served, own_world: World) -> None:
    forged = own_world.token("bob", headers={"kid": "unknown"})
    for expected in (1, 2):
        for seconds in (0, 31, LONG_COOL_DOWN - 32):
            own_world.clock.advance(seconds)
            refused(served, own_world, forged)
            assert fetches(own_world) == (expected, expected)
        own_world.clock.advance(2)


@pytest.mark.attack(104)
def test_100_requests_at_once_with_a_new_key_fetch_it_once(served: Served, own_world: World) -> None:
    own_world.entra.rotate_keys()
    token = own_world.token("alice")
    answers = served.crowd([("/whoami", token)] * 100)
    assert {answer.status for answer in answers} == {200}
    assert {answer.json()["user"] for answer in answers} == {own_world.object_id("alice")}
    assert fetches(own_world) == (1, 1)


@pytest.mark.attack(105)
def test_a_new_key_is_fetched_by_its_first_token_and_the_old_one_stays_good(served: Served, own_world: World) -> None:
    old = own_world.token("alice")
    own_world.entra.rotate_keys()
    for _ in range(2):
        assert served.get("/whoami", own_world.token("alice")).status_code == 200
        assert fetches(own_world) == (1, 1)
    assert served.get("/whoami", old).status_code == 200
    assert fetches(own_world) == (1, 1)


@pytest.mark.attack(106)
def test_a_withdrawn_key_is_good_for_a_day_at_most_however_well_its_token_is_known(
    served: Served, own_world: World
) -> None:
    old = own_world.token("alice", **DAYS)
    assert served.get("/me", old).status_code == 200
    own_world.entra.rotate_keys(withdraw_old=True)
    own_world.clock.advance(KEYS_LIVE + 1)
    refused(served, own_world, old)
    refused(served, own_world, old)
    assert served.get("/me", own_world.token("alice", **DAYS)).status_code == 200


@pytest.mark.attack(106)
def test_a_withdrawn_key_is_good_no_longer_once_anybody_brought_the_new_one(served: Served, own_world: World) -> None:
    old = own_world.token("alice")
    assert served.get("/me", old).status_code == 200
    own_world.entra.rotate_keys(withdraw_old=True)
    assert served.get("/me", own_world.token("bob")).status_code == 200
    refused(served, own_world, old)


@pytest.mark.attack(107)
@pytest.mark.parametrize("fault", ["outage", "drop_connections"])
def test_with_keys_at_hand_an_outage_of_the_provider_is_none_of_ours(
    served: Served, own_world: World, fault: str
) -> None:
    known, forged = own_world.token("alice", **DAYS), own_world.token("alice", headers={"kid": "unknown"}, **DAYS)
    assert served.get("/me", known).status_code == 200
    getattr(own_world.entra, fault)(endpoints=("metadata", "jwks"))
    for _ in range(2):
        assert served.get("/whoami", known).status_code == 200
        assert served.get("/whoami", own_world.token(**DAYS)).status_code == 200
        refused(served, own_world, forged)
        own_world.clock.advance(KEYS_LIVE + 1)


@pytest.mark.attack(108)
@pytest.mark.parametrize("endpoint", ["metadata", "jwks"])
@pytest.mark.parametrize("fault", ["outage", "drop_connections"])
def test_without_keys_an_outage_of_the_provider_is_503_until_it_ends(
    kind: str, own_world: World, fault: str, endpoint: str
) -> None:
    getattr(own_world.entra, fault)(endpoints=(endpoint,))
    token = own_world.token("alice")
    with serve(kind, own_world.settings()) as cold:
        check_problem(cold.get("/me", token), 503, DOWN, retry_after="5")
        for answer in cold.crowd([("/me", token)] * 10):
            check_problem(answer, 503, DOWN, retry_after="5")
        assert (actions.reached.count, sizes(cold)) == (0, (0, 0, 0))
        assert max(fetches(own_world)) <= 2, "one at the start and one for the version of this token"
        own_world.entra.forget_faults()
        own_world.clock.advance(6)
        assert cold.get("/me", token).status_code == 200


@pytest.mark.attack(108)
def test_without_keys_a_provider_that_is_not_there_is_503(kind: str, own_world: World) -> None:
    nowhere: Any = {"authority": "http://127.0.0.1:9"}
    token = own_world.token("alice", iss=f"http://127.0.0.1:9/{own_world.entra.tenant_id}/v2.0")
    with serve(kind, own_world.settings(**nowhere)) as cold:
        check_problem(cold.get("/me", token), 503, DOWN, retry_after="5")
        assert (actions.reached.count, sizes(cold)) == (0, (0, 0, 0))
