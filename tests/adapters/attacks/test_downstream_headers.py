"""What came with the request of a user, or of the user before, does not leave with a downstream request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from obo_middleware.errors import RefusedRequestError
from tests.adapters.attacks.conftest import Recorder
from tests.adapters.attacks.handlers import Call, ClientOf, Context, Way, desk
from tests.adapters.harness import check_problem
from tests.adapters.outcomes import OURS
from tests.adapters.world import World
from tests.core.hostile import Answer, Asked, Scripted
from tests.core.kit import claims_of

CANARY = "c4n4ry"
NAMES = (
    *("Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"),
    *("X-Forwarded-Prefix", "X-Forwarded-Access-Token", "X-Forwarded-User", "X-Real-IP", "X-Original-URL"),
    *("X-Original-Host", "X-Rewrite-URL", "X-Http-Method-Override", "Proxy-Authorization", "X-Api-Key", "Origin"),
    *("X-MS-TOKEN-AAD-ACCESS-TOKEN", "X-MS-TOKEN-AAD-ID-TOKEN", "X-MS-TOKEN-AAD-REFRESH-TOKEN", "Referer"),
    *("X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-ID", "X-MS-CLIENT-PRINCIPAL-NAME", "X-Identity-Header"),
    *("Metadata", "Secret", "Via", "Traceparent", "Tracestate", "Baggage", "X-Request-Id", "X-Unheard-Of"),
)
INBOUND = {name: f"{CANARY}-{number}" for number, name in enumerate(NAMES)}
"""Headers of an incoming request, none of which is anybody's business downstream."""
OURS_ALONE = {"accept", "accept-encoding", "authorization", "connection", "host", "user-agent"}


class Everything:
    """Call both APIs as the user, and the second as the application."""

    async def awaitable(self, context: Any) -> Any:
        await context.client("api").get("/me")
        await context.client("graph").get("/me")
        await context.app_client("graph").get("/users")

    def blocking(self, context: Any, client: ClientOf) -> Any:
        client("api").get("/me")
        client("graph").get("/me")
        as_app = getattr(context, "blocking_app_client", None) or context.app_client
        as_app("graph").get("/users")


def sent(world: World, api: Scripted) -> list[Mapping[str, str]]:
    """Return the headers of all requests that the app made."""
    graph, own, provider = world.graph.requests, api.asked, world.entra.token_requests
    return [*(one.headers for one in graph), *(one.headers for one in own), *(one.headers for one in provider)]


@pytest.mark.attack(170)
def test_no_header_of_the_incoming_request_leaves_with_another(
    way: Way, world: World, api: Scripted, evil: Recorder
) -> None:
    inbound = INBOUND | {"Host": f"127.0.0.1:{evil.port}"}
    token = world.token()
    assert way.do(Everything(), token, headers=inbound).status_code == 200
    assert (len(api.asked), len(world.graph.requests), len(world.entra.token_requests)) == (1, 2, 2)
    for headers in sent(world, api):
        assert not {name.lower() for name in INBOUND} & headers.keys()
        assert CANARY not in str(dict(headers))
        assert headers["host"] != inbound["Host"]
    for headers in sent(world, api)[:3]:
        assert headers.keys() <= OURS_ALONE
        assert token not in headers["authorization"]
    assert all(CANARY not in str(dict(request.form)) for request in world.entra.token_requests)
    assert evil.connections == 0


@pytest.mark.attack(169, 170)
def test_a_handler_that_passes_all_headers_on_sends_nothing(way: Way, world: World, api: Scripted) -> None:
    token = world.token()
    for name, value in (("Host", "api.example"), ("Authorization", f"Bearer {token}")):
        desk.errors.clear()
        check_problem(way.do(Call(options={"headers": INBOUND | {name: value}}), token), 500, OURS)
        assert isinstance(desk.errors[0], RefusedRequestError)
    assert (api.asked, world.entra.token_requests) == ([], [])


# Cookies


def echo(asked: Asked) -> Answer:
    """Tell whose token and which cookies came, and set cookies of every kind."""
    who = claims_of(asked.headers["authorization"].removeprefix("Bearer "))["oid"]
    body = json.dumps({"user": who, "cookie": asked.headers.get("cookie")}).encode()
    forms = ("session={}; Path=/", "wide={}; Domain=127.0.0.1; Path=/", "long={}; Max-Age=99999999; Path=/v1")
    return Answer(body=body, headers=[("Set-Cookie", form.format(who)) for form in forms])


class Twice:
    """Call the API twice in one request."""

    async def awaitable(self, context: Any) -> Any:
        return [(await context.client("api").get("/me")).json() for _ in range(2)]

    def blocking(self, context: Context, client: ClientOf) -> Any:
        return [client("api").get("/me").json() for _ in range(2)]


@pytest.mark.attack(171)
def test_a_cookie_belongs_to_one_user_in_one_request(way: Way, world: World, api: Scripted) -> None:
    api.say("/v1/me", echo)
    alice, bob = world.object_id("alice"), world.object_id("bob")
    for name, user in (("alice", alice), ("bob", bob), ("alice", alice), ("bob", bob)):
        first, second = way.do(Twice(), world.token(name)).json()
        assert first == {"user": user, "cookie": None}
        assert second["user"] == user
        assert user in second["cookie"]
        assert ({alice, bob} - {user}).pop() not in second["cookie"]


@pytest.mark.attack(171)
def test_a_cookie_of_the_users_request_is_not_the_applications(way: Way, world: World, api: Scripted) -> None:
    api.say("/v1/me", echo)
    assert way.do(Call(), world.token("alice")).json()["status"] == 200
    assert way.do(AsApplication(), world.token("alice")).json()["cookie"] is None


class AsApplication:
    """Call the API as the user, and then as the application."""

    async def awaitable(self, context: Any) -> Any:
        await context.client("api").get("/me")
        return (await context.app_client("api").get("/me")).json()

    def blocking(self, context: Any, client: ClientOf) -> Any:
        client("api").get("/me")
        as_app = getattr(context, "blocking_app_client", None) or context.app_client
        return as_app("api").get("/me").json()
