"""Who a token's user is: tenant and object id, with tokens of their own downstream, whatever else two tokens share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters import actions
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import NO_SCOPE, realm
from tests.adapters.world import GRAPH_SCOPES, SECRET, World
from tests.core.forgery import params
from tests.core.hostile import Scripted
from tests.core.kit import claims_of

EVERY_TENANT: dict[str, Any] = {"tenant_id": "organizations", "allowed_tenants": ["*"]}
ADDRESS = "same@contoso.example"
SAME = {"email": ADDRESS, "upn": ADDRESS, "preferred_username": ADDRESS, "unique_name": ADDRESS, "name": "The Same"}


def sent_downstream(world: World) -> list[str]:
    """Return the tokens that came to the downstream API, one for each request."""
    return [request.headers["authorization"].removeprefix("Bearer ") for request in world.graph.requests]


def refused(served: Served, world: World, token: str, path: str = "/me", scope: str = "") -> None:
    """Check that a valid token grants too little, and that nothing happens."""
    challenge, body = f'{realm(world)}, error="insufficient_scope"', NO_SCOPE
    if scope:
        challenge, body = f'{challenge}, scope="{scope}"', NO_SCOPE | {"scope": scope}
    world.entra.reset_counts()
    # Where a route asks for the scope, the app is reached, but not the route's handler.
    calls = actions.entered if scope else actions.reached
    before = calls.count, len(world.graph.requests)
    for _ in range(2):  # seen for the first time, and remembered
        check_problem(served.get(path, token), 403, body, challenge=challenge)
    assert world.entra.requests_to("token") == 0
    assert (calls.count, len(world.graph.requests)) == before


@pytest.mark.attack(92)
@pytest.mark.parametrize("names", [*([name] for name in SAME), list(SAME)], ids=" ".join)
def test_two_users_of_one_name_or_address_are_two_users(adapter: Served, world: World, names: list[str]) -> None:
    claims: dict[str, Any] = {name: SAME[name] for name in names} | {"sid": "one session"}
    first, second = world.newcomer(), world.newcomer()
    for name in (first, second, first):
        token = world.entra.sign_in(name, **claims)
        assert adapter.get("/me", token).json()["id"] == world.object_id(name)
        assert adapter.get("/whoami", token).json()["user"] == world.object_id(name)
    tokens = sent_downstream(world)
    assert (world.entra.exchanges, tokens[0] == tokens[1], tokens[0] == tokens[2]) == (2, False, True)


@pytest.mark.attack(93)
def test_one_object_id_in_two_tenants_is_two_users(kind: str, start: Start, world: World) -> None:
    served, home, tenant = start(kind, **EVERY_TENANT), world.newcomer(), world.entra.add_tenant()
    guest = world.entra.add_user(f"guest-{home}", tenant=tenant)
    shared = {"oid": world.object_id(home), "sub": "one subject", "sid": "one session"}
    for name in (home, guest.name, home):
        assert served.get("/me", world.token(name, **shared)).json()["id"] == shared["oid"]
    tenants = [world.entra.tenant_id, tenant.tenant_id]
    assert [request.tenant for request in world.entra.token_requests] == tenants
    assert [claims_of(token)["tid"] for token in sent_downstream(world)] == [*tenants, tenants[0]]


@pytest.mark.attack(94)
def test_one_user_with_other_subjects_in_two_apps_is_one_user(adapter: Served, world: World, start: Start) -> None:
    entra, name = world.entra, world.newcomer()
    second = entra.register_app(
        f"second-{name}", secret=SECRET, permissions={"https://graph.microsoft.com": GRAPH_SCOPES}
    )
    other = start(adapter.kind, client_id=second.client_id)
    tokens = {adapter: world.token(name), other: entra.sign_in(name, app=second)}
    subjects = {served.get("/claims", token).json()["sub"] for served, token in tokens.items()}
    users = {served.get("/whoami", token).json()["user"] for served, token in tokens.items()}
    assert (len(subjects), users) == (2, {world.object_id(name)})
    for served, token in tokens.items():
        assert served.get("/me", token).json()["id"] == world.object_id(name)
    assert entra.exchanges == 2, "each app has its own tokens"


@pytest.mark.attack(94)
def test_a_subject_tells_nothing_of_who_the_user_is(adapter: Served, world: World) -> None:
    first, second = world.newcomer(), world.newcomer()
    for name in (first, second):
        token = world.token(name, sub="one subject", sid="one session")
        assert adapter.get("/me", token).json()["id"] == world.object_id(name)
    assert world.entra.exchanges == 2
    again = world.token(first, sub="another subject", sid="one session")
    assert adapter.get("/me", again).json()["id"] == world.object_id(first)
    assert world.entra.exchanges == 2


@pytest.mark.attack(95)
def test_an_application_is_never_the_user_whose_subject_it_has(adapter: Served, world: World) -> None:
    name = world.newcomer()
    of_user = world.token(name, sid="one session")
    assert adapter.get("/me", of_user).status_code == 200  # their token is at hand now
    user = claims_of(of_user)
    for shared in ({"sub": user["sub"]}, {"sub": user["sub"], "oid": user["oid"]}, {"oid": user["oid"]}):
        for more in ({}, {"sid": "one session", "azp": user["azp"]}, {"scp": user["scp"]}):
            refused(adapter, world, world.entra.app_token(**shared | more, lifetime=86_400))
    assert len(world.graph.requests) == 1


@pytest.mark.attack(83, 84)
@pytest.mark.parametrize("claims", [{"idtyp": "app"}, {"idtyp": None}, {"idtyp": "app", "scp": "access_as_user"}])
@pytest.mark.parametrize("path", ["/me", "/credential"])
def test_an_applications_own_token_is_no_users_and_is_not_exchanged(
    adapter: Served, world: World, claims: dict[str, Any], path: str
) -> None:
    refused(adapter, world, world.entra.app_token(roles=["Tasks.Run"], lifetime=86_400, **claims), path)


LACKING: dict[str, dict[str, Any]] = {
    "85 another scope": {"scp": "access_as_user"},
    "86 more than the scope": {"scp": "orders.readwrite"},
    "86 longer words": {"scp": "xorders.read orders.readx orders.read.all"},
    "86 other case": {"scp": "Orders.Read"},
    "86 in parts": {"scp": "orders read"},
    "86 behind a comma": {"scp": "access_as_user,orders.read"},
    "87 a role of that name": {"scp": "access_as_user", "roles": ["orders.read"]},
}


@pytest.mark.parametrize("claims", params(LACKING))
def test_a_scope_is_one_whole_word_of_scp(adapter: Served, world: World, claims: dict[str, Any]) -> None:
    refused(adapter, world, world.token("alice", **claims), "/scope", "orders.read")


@pytest.mark.attack(85, 86, 87)
def test_without_a_scope_that_every_route_needs_the_app_is_not_called(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["orders.read"])
    for claims in LACKING.values():
        refused(served, world, world.token("alice", **claims), "/whoami", "orders.read")
    assert actions.reached.count == 0
    assert served.get("/whoami", world.token("alice", scp="access_as_user orders.read")).status_code == 200


@pytest.mark.attack(97)
def test_too_many_groups_are_passed_on_as_they_are_and_their_address_is_not_asked(
    adapter: Served, world: World
) -> None:
    with Scripted() as server:
        overage = {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": f"{server.url}/users/{world.object_id('alice')}/getMemberObjects"}},
            "hasgroups": True,
        }
        token = world.token("alice", **overage)
        claims = adapter.get("/claims", token).json()
        assert adapter.get("/me", token).status_code == 200
        assert {name: claims.get(name) for name in overage} == overage
        assert "groups" not in claims
        assert server.connections == 0


@pytest.mark.attack(97)
def test_groups_reach_the_app_as_they_are(adapter: Served, world: World) -> None:
    groups = [f"00000000-0000-4000-8000-{number:012}" for number in range(150)]
    assert adapter.get("/claims", world.token("alice", groups=groups)).json()["groups"] == groups
