"""A request that is cancelled while it leads an exchange harms nobody who waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.errors import RequestEndedError
from tests.adapters.actions import entered
from tests.adapters.apps import asgi_app, fastapi_app, plain_asgi
from tests.adapters.by_hand import Exchange, living
from tests.adapters.world import World


async def cancel_a_leader(app: Any, world: World, token: str, followers: int) -> list[Exchange]:
    """Start a leader and followers, cancel the leader while the provider thinks, and return the followers' outcomes."""
    async with living(app):
        with world.clock.provider_thinks():
            leader = Exchange(app, "/me", token).begin()
            await asyncio.to_thread(world.clock.wait_for_the_provider)
            following = [Exchange(app, "/me", token) for _ in range(followers)]
            tasks = [one.begin() for one in following]
            await asyncio.to_thread(entered.wait_for, followers + 1)
            leader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leader
        await asyncio.gather(*tasks)
    return following


@pytest.mark.attack(125)
@pytest.mark.parametrize("make", [asgi_app, fastapi_app])
def test_followers_of_a_cancelled_leader_get_their_answer(make: Any, world: World) -> None:
    app = make(world.settings())
    outcomes = asyncio.run(cancel_a_leader(app, world, world.token(), 5))
    assert [one.status for one in outcomes] == [200] * 5
    # The provider may have answered the leader already, to whom nobody listened any more.
    assert len(world.entra.token_requests) <= 2


def test_a_cancelled_follower_takes_nobody_along(world: World) -> None:
    async def run(app: Any, token: str) -> tuple[Exchange, Exchange]:
        async with living(app):
            with world.clock.provider_thinks():
                leader, follower, other = (Exchange(app, "/me", token) for _ in range(3))
                leading = leader.begin()
                await asyncio.to_thread(world.clock.wait_for_the_provider)
                following, waiting = follower.begin(), other.begin()
                await asyncio.to_thread(entered.wait_for, 3)
                following.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await following
            await asyncio.gather(leading, waiting)
        return leader, other

    leader, other = asyncio.run(run(asgi_app(world.settings()), world.token()))
    assert (leader.status, other.status) == (200, 200)
    assert len(world.entra.token_requests) == 1


def test_a_request_cancelled_while_it_fetches_the_keys_leaves_the_app_able_to(world: World) -> None:
    async def run(app: Any, token: str) -> Exchange:
        first = Exchange(app, "/whoami", token).begin()
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        async with living(app):
            second = Exchange(app, "/whoami", token)
            await second.begin()
        return second

    assert asyncio.run(run(asgi_app(world.settings()), world.token())).status == 200


@pytest.mark.attack(172)
def test_a_cancelled_request_is_over(world: World) -> None:
    held: list[Any] = []
    there = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await plain_asgi(scope, receive, send)
            return
        held.append(scope["state"]["obo"])
        there.set()
        await asyncio.Event().wait()

    async def run(token: str) -> None:
        protected = OnBehalfOfMiddleware(app, settings=world.settings())
        task = Exchange(protected, "/", token).begin()
        await there.wait()
        client = held[0].client("graph")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(RequestEndedError):
            await client.get("/me")
        async with living(protected):
            """End the app, so that its connections are closed."""

    asyncio.run(run(world.token()))
