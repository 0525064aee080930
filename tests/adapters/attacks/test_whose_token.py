"""Every user gets their own downstream token: whoever else comes, whatever fails, however names are spelt."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.adapters.attacks.asking import SCOPES, Ask, graph_token, quiet, refusal_body, token_body
from tests.adapters.attacks.handlers import Call, Way, desk, serve_way
from tests.adapters.conftest import Start
from tests.adapters.harness import check_problem
from tests.adapters.outcomes import DOWN, INVALID, invalid
from tests.adapters.world import GRAPH_SCOPES, World


@pytest.fixture(autouse=True)
def httpcore_says_less() -> Iterator[None]:
    with quiet():
        yield


def sent_by(world: World) -> dict[str | None, set[str]]:
    """Return whose requests came to the downstream API with which tokens, by the users that the tokens name."""
    found: dict[str | None, set[str]] = {}
    for request in world.graph.requests:
        found.setdefault(request.user, set()).add(request.headers["authorization"])
    return found


@pytest.mark.attack(117)
def test_two_users_at_once_each_send_their_own_token_only(way: Way, world: World) -> None:
    names = [world.newcomer() for _ in range(2)]
    tokens = [world.token(name) for name in names]
    desk.deed = Call(api="graph")
    answers = way.served.crowd([(way.path, token) for token in tokens] * 25)
    asked = [world.object_id(name) for name in names] * 25
    assert [answer.status for answer in answers] == [200] * 50
    assert [user in answer.json()["body"] for user, answer in zip(asked, answers, strict=True)] == [True] * 50
    assert {user: len(used) for user, used in sent_by(world).items()} == dict.fromkeys(asked, 1)
    assert world.entra.exchanges == 2


@pytest.mark.attack(117, 123)
@pytest.mark.parametrize("status", [400, 429])
def test_one_users_refusal_amidst_a_crowd_is_nobody_elses(way: Way, world: World, status: int) -> None:
    unlucky, others = world.token(), [world.token() for _ in range(5)]
    headers = {"Retry-After": "60"} if status == 429 else {}
    world.entra.answer_once(status, headers, refusal_body(50013, "invalid_grant"))
    desk.deed = Call(api="graph")
    refused = way.served.get(way.path, unlucky)
    if status == 400:
        check_problem(refused, 401, INVALID, challenge=invalid(world))
    else:
        check_problem(refused, 503, DOWN, retry_after="60")
    assert world.graph.requests == []
    answers = way.served.crowd([(way.path, token) for token in [*others, unlucky]])
    expected = 503 if status == 429 else 200
    assert [answer.status for answer in answers] == [200] * 5 + [expected]
    assert world.entra.exchanges == 5 + (status == 400)


@pytest.mark.attack(124)
def test_200_first_requests_at_once_are_one_exchange(kind: str, start: Start, world: World) -> None:
    served, token = start(kind), world.token()
    answers = served.crowd([("/me", token)] * 200)
    assert {answer.status for answer in answers} == {200}
    assert (world.entra.requests_to("token"), len(world.entra.token_requests)) == (1, 1)
    assert {len(used) for used in sent_by(world).values()} == {1}


# Whose entry it is


@pytest.mark.attack(118)
@pytest.mark.parametrize("delimiter", list(":-|/.,;+&=#%_\t\n\0"), ids=ascii)
def test_no_delimiter_lets_a_user_and_a_scope_meet_another_pair(way: Way, world: World, delimiter: str) -> None:
    got: list[str] = []
    pairs = [(f"a{delimiter}b", "c"), ("a", f"b{delimiter}c")]
    pairs = [(user, scope) for user, scope in pairs if scope.isprintable()]
    for (user, scope), claim in itertools.product(pairs, ["oid", "sid"]):
        world.entra.answer_once(body=token_body(f"token-{len(got)}"))
        answer = way.do(Ask((scope,), got=got), world.token("alice", **{claim: f"{way.served.kind}{user}"}))
        assert answer.status_code == 200
    expected = [f"token-{number}" for number in range(2 * len(pairs))]
    if way.path == "/awaitable" or way.served.blocking:
        assert got == expected, "each of them a token of its own"


@pytest.mark.attack(119)
def test_scopes_in_another_order_or_doubled_share_a_token_and_in_another_case_do_not(way: Way, world: World) -> None:
    got: list[str] = []
    token, read, mail = world.token(), *(f"https://graph.microsoft.com/{name}" for name in GRAPH_SCOPES)
    for scopes in ((read, mail), (mail, read), (read, mail, read), (mail, read, read, mail)):
        assert way.do(Ask(scopes, got=got), token).status_code == 200
    assert (len(got), len(set(got)), world.entra.exchanges) == (4, 1, 1)
    world.entra.answer_once(body=token_body("of-another-case"))
    assert way.do(Ask((read.lower(), mail), got=got), token).status_code == 200
    assert got[-1] == "of-another-case"
    assert way.do(Ask((read,), got=got), token).status_code == 200
    assert len(set(got)) == 3


def sessions(world: World) -> dict[str, dict[str, Any]]:
    """Return what may differ between two tokens of one user, the strongest session first."""
    return {
        "strong": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "scopes": ["access_as_user"]},
        "without the authentication context": {"amr": ["pwd", "mfa"], "acr": "1"},
        "by password only": {"amr": ["pwd"], "acr": "1"},
        "weaker acr": {"amr": ["pwd", "mfa"], "acr": "0", "acrs": ["c1"]},
        "older": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "auth_time": 1},
        "another client": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "azp": world.entra.graph.client_id},
        "more scopes": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "scp": "access_as_user orders.read"},
        "a role": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "roles": ["admin"]},
        "version 1": {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c1"], "version": 1},
        "silent": {"sid": None},
    }


@pytest.mark.attack(120, 121)
def test_no_session_gets_the_token_of_another_be_it_weaker_or_through_another_client(way: Way, world: World) -> None:
    name, got = world.newcomer(), list[str]()
    tokens = [world.token(name, **claims) for claims in sessions(world).values()]
    for token in tokens * 2:
        assert way.do(Ask(got=got), token).status_code == 200
    first, second = got[: len(tokens)], got[len(tokens) :]
    assert len(set(first)) == len(tokens) == world.entra.exchanges
    assert second == first, "each session finds its own again"


@pytest.mark.attack(120)
@pytest.mark.parametrize("name", ["asgi", "fastapi", "wsgi", "flask"])
def test_one_user_in_two_tenants_has_two_tokens(name: str, world: World) -> None:
    home, other = world.entra.tenant_id, world.entra.add_tenant().tenant_id
    settings = world.settings(tenant_id="organizations", allowed_tenants=[home, other])
    oid, got = world.object_id("alice"), list[str]()
    way = serve_way(name, settings)
    with way.served:
        for number, tenant in enumerate((home, other)):
            world.entra.answer_once(body=token_body(f"token-{number}"))
            token = world.token("alice", tid=tenant, iss=f"{world.entra.authority}/{tenant}/v2.0")
            assert way.do(Ask(got=got), token).status_code == 200
    assert got == ["token-0", "token-1"]
    assert [(request.tenant, request.form["scope"]) for request in world.entra.token_requests] == [
        (home, SCOPES[0]),
        (other, SCOPES[0]),
    ]
    assert world.object_id("alice") == oid


@pytest.mark.attack(120)
@pytest.mark.parametrize("name", ["asgi", "fastapi", "wsgi", "flask"])
def test_by_assertion_every_token_has_a_downstream_token_of_its_own(name: str, world: World) -> None:
    user, got = world.newcomer(), list[str]()
    way = serve_way(name, world.settings(cache_partition="assertion"))
    with way.served:
        tokens = [world.token(user, lifetime=life) for life in (3_600, 7_200)]
        for token in tokens * 2:
            assert way.do(Ask(got=got), token).status_code == 200
    assert got[0] != got[1]
    assert (got[2:], world.entra.exchanges) == (got[:2], 2)


@pytest.mark.attack(122)
def test_an_expired_token_is_refused_before_its_downstream_token_is_looked_for(way: Way, world: World) -> None:
    name, got = world.newcomer(), list[str]()
    token, ask = world.token(name, lifetime=60), Ask(got=got)
    world.entra.answer_once(body=token_body(graph_token(world, name)))
    assert way.do(ask, token).status_code == 200
    world.clock.advance(61)
    check_problem(way.do(ask, token), 401, INVALID, challenge=invalid(world))
    assert len(got) == 1
    assert way.do(ask, world.token(name)).status_code == 200
    assert (got[1], world.entra.requests_to("token")) == (got[0], 1), "it was still in the cache"
