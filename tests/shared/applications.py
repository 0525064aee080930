"""Applications as other processes have them: of the same settings, over a real store, with nothing in memory yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from obo_middleware import OnBehalfOf, Session
from obo_middleware._context import BlockingContext
from obo_middleware._validation import Validated
from obo_middleware.redis import RedisTokenStore, SecretKey
from tests.adapters.world import Clock, World, new_world
from tests.shared.servers import PRODUCTS, Server

KEY = SecretKey("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
NEXT_KEY = SecretKey("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """Give a provider whose refresh tokens can be redeemed once."""
    with new_world(Clock(), single_use_refresh_tokens=True) as running:
        yield running


@pytest.fixture
def world(outside: World) -> Iterator[World]:
    outside.set_back()
    yield outside
    outside.set_back()


@pytest.fixture(scope="module", params=PRODUCTS, ids=lambda product: product.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(request.param) as running:
        yield running


Make = Callable[..., OnBehalfOf]


@pytest.fixture
def make(world: World, server: Server) -> Iterator[Make]:
    """Make an application as another process has it: of the same settings, with nothing in memory yet."""
    with ExitStack() as stack:

        def new(*keys: SecretKey, **changes: Any) -> OnBehalfOf:
            store = RedisTokenStore(server.url, keys=keys or [KEY], max_wait=2.0)
            obo = OnBehalfOf(world.settings(token_store=store, **changes))
            stack.callback(obo.close)
            return obo

        yield new


def admitted(obo: OnBehalfOf, token: str) -> Validated:
    runtime = obo.runtime
    valid = runtime.blocking_driver.run(runtime.admit_flow([b"Bearer " + token.encode()], "/jobs"))
    assert valid is not None
    return valid


def started(obo: OnBehalfOf, token: str, **options: Any) -> Session:
    """Start a session in a request, which then is over."""
    context = BlockingContext(obo.runtime, admitted(obo, token))
    session = context.start_session(**options)
    context.end()
    return session


def whose(obo: OnBehalfOf, session: Session | str) -> str:
    """Return whom an API takes a session's user for."""
    return str(obo.resume_session_blocking(str(session)).client("graph").get("/me").raise_for_status().json()["id"])


async def whose_awaitable(obo: OnBehalfOf, session: Session | str) -> str:
    async with obo:
        context = await obo.resume_session(str(session))
        return str((await context.client("graph").get("/me")).raise_for_status().json()["id"])
