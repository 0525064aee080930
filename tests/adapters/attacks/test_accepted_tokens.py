"""What is accepted beside what is refused: types, versions, audiences and tenants that the settings name exactly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.attacks.nothing import nothing_happens
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import INVALID, invalid
from tests.adapters.world import World
from tests.core.forged_claims import OTHER
from tests.core.kit import CLIENT


def check_accepted(served: Served, world: World, token: str) -> None:
    assert served.get("/whoami", token).json()["user"] == world.object_id("alice")


def check_refused(served: Served, world: World, *tokens: str) -> None:
    with nothing_happens(served, world):
        for token in tokens:
            check_problem(served.get("/whoami", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(58)
@pytest.mark.parametrize("kind_of_token", [None, "JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_every_type_of_an_access_token_is_accepted(adapter: Served, world: World, kind_of_token: str | None) -> None:
    check_accepted(adapter, world, world.token("alice", headers={"typ": kind_of_token}))


@pytest.mark.attack(62)
def test_only_the_very_audience_of_the_settings_is_accepted(kind: str, start: Start, world: World) -> None:
    served = start(kind, audiences=[CLIENT])
    for version in (1, 2):
        check_accepted(served, world, world.token("alice", version=version, aud=CLIENT))
        uris = (f"api://{CLIENT}", f"api://{CLIENT}/", f"https://contoso.example/{CLIENT}", f"{CLIENT}/")
        check_refused(served, world, *(world.token("alice", version=version, aud=uri) for uri in uris))


@pytest.mark.attack(62)
def test_an_audience_with_a_slash_is_another_one(kind: str, start: Start, world: World) -> None:
    served = start(kind, audiences=["api://X/"])
    check_accepted(served, world, world.token("alice", version=1, aud="api://X/"))
    check_refused(served, world, *(world.token("alice", version=1, aud=aud) for aud in ("api://X", "api://x/", CLIENT)))


@pytest.mark.attack(67)
@pytest.mark.parametrize(("version", "other"), [(1, 2), (2, 1)])
def test_only_the_token_version_of_the_settings_is_accepted(
    kind: str, start: Start, world: World, version: int, other: int
) -> None:
    served = start(kind, token_versions=[f"{version}.0"])
    check_accepted(served, world, world.token("alice", version=version))
    relabelled = world.token("alice", version=other, ver=f"{version}.0")
    check_refused(served, world, world.token("alice", version=other), relabelled)


# Several tenants


def issuer_of(world: World, tenant: str) -> str:
    return f"{world.entra.authority}/{tenant}/v2.0"


def of_no_guid(world: World, tid: Any) -> str:
    return world.token("alice", tid=tid, iss=issuer_of(world, str(tid)))


@pytest.mark.attack(66, 68, 69, 70, 73)
@pytest.mark.parametrize("tenant_id", ["organizations", "common"])
def test_issuer_and_tenant_agree_even_where_every_tenant_is_allowed(
    kind: str, start: Start, world: World, tenant_id: str
) -> None:
    served, own = start(kind, tenant_id=tenant_id, allowed_tenants=["*"]), world.entra.tenant_id
    check_accepted(served, world, world.token("alice"))
    issuers = ("{tenantid}", OTHER, "", own[:-1], own + "/", own.upper())
    disagreeing = [world.token("alice", iss=issuer_of(world, tenant)) for tenant in issuers]
    no_guids = [of_no_guid(world, tid) for tid in ("common", "../x", "{tenantid}", "*", "", own + "\n", f"{own}/..")]
    check_refused(served, world, world.token("alice", tid=OTHER), *disagreeing, *no_guids)


@pytest.mark.attack(71, 156)
def test_a_tenant_that_is_not_allowed_gets_nowhere_and_its_endpoint_is_not_asked(
    kind: str, start: Start, world: World
) -> None:
    served = start(kind, tenant_id="organizations", allowed_tenants=[world.entra.tenant_id])
    check_accepted(served, world, world.token("alice"))
    stranger = world.entra.add_user(f"stranger-to-{kind}", tenant=world.entra.add_tenant())
    unlisted = world.token("alice", tid=OTHER, iss=issuer_of(world, OTHER))
    tokens = (world.token(stranger.name), world.token(stranger.name, version=1), unlisted)
    check_refused(served, world, *tokens)
