"""An app for users of several tenants, in all four adapters."""

from __future__ import annotations

import pytest

from tests.adapters.conftest import Start
from tests.adapters.harness import check_problem
from tests.adapters.outcomes import INVALID, invalid
from tests.adapters.world import World


@pytest.mark.attack(71, 156)
def test_users_of_allowed_tenants_get_in_and_no_others(kind: str, start: Start, world: World) -> None:
    allowed, foreign = world.entra.add_tenant(), world.entra.add_tenant()
    served = start(kind, tenant_id="organizations", allowed_tenants=[world.entra.tenant_id, allowed.tenant_id])
    guest = world.entra.add_user(f"guest-{kind}", tenant=allowed)
    stranger = world.entra.add_user(f"stranger-{kind}", tenant=foreign)
    for name in ("alice", guest.name):
        assert served.get("/me", world.token(name)).json()["id"] == world.object_id(name)
    check_problem(served.get("/me", world.token(stranger.name)), 401, INVALID, challenge=invalid(world))
    assert [request.tenant for request in world.entra.token_requests] == [world.entra.tenant_id, allowed.tenant_id]


def test_a_users_credential_asks_their_own_tenant(kind: str, start: Start, world: World) -> None:
    tenant = world.entra.add_tenant()
    served = start(kind, tenant_id="organizations", allowed_tenants=[tenant.tenant_id])
    guest = world.entra.add_user(f"other-{kind}", tenant=tenant)
    served.get("/credential", world.token(guest.name))
    assert world.entra.token_requests[0].tenant == tenant.tenant_id


@pytest.mark.attack(69)
@pytest.mark.parametrize("claim", ["iss", "tid"])
def test_a_token_whose_issuer_and_tenant_disagree_is_refused(kind: str, start: Start, world: World, claim: str) -> None:
    tenant = world.entra.add_tenant()
    served = start(kind, tenant_id="organizations", allowed_tenants=[world.entra.tenant_id, tenant.tenant_id])
    other = {"iss": f"{world.entra.authority}/{tenant.tenant_id}/v2.0", "tid": tenant.tenant_id}
    assert served.get("/whoami", world.token(**{claim: other[claim]})).status_code == 401
