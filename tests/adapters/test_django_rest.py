"""Django REST framework behind the middleware of Django."""

from __future__ import annotations

from django.core.cache import cache

from tests.adapters.django_rest import REST
from tests.adapters.outcomes import NO_SCOPE, realm
from tests.adapters.test_django import get, project
from tests.adapters.world import World


def test_the_rest_framework_knows_the_user(world: World) -> None:
    with project(world, REST):
        for name in ("alice", "bob"):
            user = world.object_id(name)
            assert get("/profile", world.token(name)).json() == {"user": user, "graph": user}


def test_the_rest_framework_challenges_who_is_not_signed_in(world: World) -> None:
    with project(world, REST, required=False):
        answer = get("/profile", None)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, realm(world))


def test_scopes_are_permissions_of_the_rest_framework(world: World) -> None:
    with project(world, REST):
        assert get("/orders", world.token("alice", scp="orders.read")).json() == {"user": world.object_id("alice")}
        refused = get("/orders", world.token("alice"))
        assert (refused.status_code, refused.json()) == (403, NO_SCOPE | {"scope": "orders.read"})


def test_errors_of_calls_come_out_of_the_rest_framework(world: World) -> None:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    with project(world, REST):
        assert get("/profile", world.token(name)).json()["error"] == "insufficient_scope"


def test_the_rest_framework_counts_the_requests_of_each_user_alone(world: World) -> None:
    cache.clear()
    with project(world, REST):
        for name in ("alice", "bob"):
            assert [get("/rationed", world.token(name)).status_code for _ in range(3)] == [200, 200, 429]
