"""Which clients and users may call: the list of clients, guests, tokens that live too long; tokens from a proxy."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.adapters.conftest import Start
from tests.adapters.harness import Served, bearer, check_problem, parse_answer
from tests.adapters.outcomes import INVALID, MALFORMED, MISSING, NO_SCOPE, invalid, realm
from tests.adapters.world import World

FORBIDDEN = "insufficient_scope"
CLIENT = "55555555-aaaa-4bbb-8ccc-666666666666"
PROXY = "X-MS-TOKEN-AAD-ACCESS-TOKEN"


def check_refused(answer: httpx.Response, world: World) -> None:
    check_problem(answer, 403, NO_SCOPE, challenge=f'{realm(world)}, error="{FORBIDDEN}"')


@pytest.mark.attack(89)
@pytest.mark.parametrize("claims", [{"azp": CLIENT[:-1] + "7"}, {"azp": None}, {"version": 1, "appid": "x"}], ids=repr)
def test_a_client_that_is_not_on_the_list_is_refused(
    kind: str, start: Start, world: World, claims: dict[str, Any]
) -> None:
    served = start(kind, allowed_clients=[CLIENT])
    token = world.token("alice", **claims)
    for _ in range(2):  # what is remembered of a token remembers that too
        check_refused(served.get("/whoami", token), world)


def test_a_client_on_the_list_may_call(kind: str, start: Start, world: World) -> None:
    served = start(kind, allowed_clients=[CLIENT.upper()])
    for claims in ({"azp": CLIENT}, {"version": 1, "azp": None, "appid": CLIENT}):
        assert served.get("/whoami", world.token("alice", **claims)).status_code == 200


@pytest.mark.attack(89, 90, 91)
def test_nothing_is_told_of_a_list_to_a_token_that_nobody_signed(kind: str, start: Start, world: World) -> None:
    served = start(kind, allowed_clients=[CLIENT], allow_guests=False)
    forged = world.token("alice", azp="x", acct=1)[:-8] + "AAAAAAAA"
    check_problem(served.get("/whoami", forged), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(91)
@pytest.mark.parametrize("account", [1, "1", None, "0", True, 2])
def test_a_guest_is_refused_where_guests_are_off(kind: str, start: Start, world: World, account: Any) -> None:
    served = start(kind, allow_guests=False)
    token = world.token("alice", acct=account)
    for _ in range(2):
        check_refused(served.get("/whoami", token), world)


@pytest.mark.attack(91)
def test_a_member_may_call_where_guests_are_off_and_a_guest_where_they_are_not(
    adapter: Served, kind: str, start: Start, world: World
) -> None:
    assert start(kind, allow_guests=False).get("/whoami", world.token("alice", acct=0)).status_code == 200
    assert adapter.get("/whoami", world.token("alice", acct=1)).status_code == 200


@pytest.mark.attack(80)
def test_a_token_that_lives_longer_than_the_cap_is_invalid(kind: str, start: Start, world: World) -> None:
    served = start(kind, max_token_life=7_200)
    assert served.get("/whoami", world.token("alice", lifetime=7_200)).status_code == 200
    check_problem(served.get("/whoami", world.token("alice", lifetime=7_300)), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(15)
@pytest.mark.parametrize("name", [PROXY, "X-Forwarded-Access-Token"])
def test_a_trusted_proxys_token_is_judged_like_any_other(kind: str, start: Start, world: World, name: str) -> None:
    served = start(kind, proxy_token_header=name)
    token = world.token("alice")
    answer = served.client.get("/me", headers={name: token})
    assert answer.json()["id"] == world.object_id("alice")
    for bad in (token[:-8] + "AAAAAAAA", world.token("alice", aud="api://other"), "opaque"):
        check_problem(served.client.get("/me", headers={name: bad}), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(15)
def test_a_token_from_the_proxy_and_one_from_the_client_are_never_both_read(
    kind: str, start: Start, world: World
) -> None:
    served = start(kind, proxy_token_header=PROXY)
    token = world.token("alice")
    both = served.client.get("/me", headers={PROXY: token, **bearer(world.token("bob"))})
    check_problem(both, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')
    lines = [f"{PROXY}: {token}".encode()] * 2
    assert parse_answer(served.raw(*lines)).status == 400


@pytest.mark.attack(15)
def test_behind_a_proxy_a_client_may_still_bring_its_own_token(kind: str, start: Start, world: World) -> None:
    served = start(kind, proxy_token_header=PROXY)
    assert served.get("/me", world.token("alice")).json()["id"] == world.object_id("alice")
    check_problem(served.get("/me"), 401, MISSING, challenge=realm(world))


@pytest.mark.attack(15)
@pytest.mark.parametrize("name", [PROXY, "X-Forwarded-Access-Token", "X-MS-CLIENT-PRINCIPAL"])
def test_a_proxys_headers_are_nothing_where_no_proxy_is_trusted(adapter: Served, world: World, name: str) -> None:
    answer = adapter.client.get("/whoami", headers={name: world.token("alice")})
    check_problem(answer, 401, MISSING, challenge=realm(world))


@pytest.mark.attack(17)
def test_a_preflight_of_a_public_method_has_no_identity(kind: str, start: Start, world: World) -> None:
    served = start(kind, public_methods=["OPTIONS"])
    for headers in ({}, bearer(world.token("alice")), bearer("opaque")):
        answer = served.client.request("OPTIONS", "/me", headers=headers)
        # The app's own answer: its router's, or that of a route that finds no user.
        assert answer.status_code in ((405,) if kind == "fastapi" else (200,) if kind == "flask" else (401,))
    assert world.entra.stats()["exchanges"] == 0
    check_problem(served.get("/whoami"), 401, MISSING, challenge=realm(world))


@pytest.mark.attack(17)
def test_a_preflight_is_refused_where_its_method_is_not_public(adapter: Served, world: World) -> None:
    answer = adapter.client.request("OPTIONS", "/whoami")
    check_problem(answer, 401, MISSING, challenge=realm(world))
