"""An error that a handler catches is the handler's; one that it lets through is answered, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from obo_middleware.errors import RequestEndedError
from tests.adapters import actions
from tests.adapters.harness import CLOSE, Served, bearer, check_no_leak, wait_for_the_end_of
from tests.adapters.world import World


def test_an_error_that_the_handler_catches_is_the_handlers(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    response = adapter.get("/catch", world.token(name))
    assert response.status_code == 200
    assert response.json() == {"caught": "ConsentNeededError", "status": 403}


def test_a_bug_in_a_handler_is_left_to_the_framework(adapter: Served, world: World) -> None:
    response = adapter.client.get("/broken", headers=bearer(world.token()) | CLOSE)
    assert response.status_code == 500
    assert response.headers["content-type"].partition(";")[0] != "application/problem+json"


def test_after_the_answer_has_begun_there_is_no_second_one(adapter: Served, world: World) -> None:
    line = f"Authorization: Bearer {world.token()}".encode()
    data = adapter.raw(line, path=b"/late")
    assert data.count(b"HTTP/1.") == 1
    assert data.split()[1] == b"200"
    assert b"the answer has begun, " in data
    assert b"problem+json" not in data
    assert b"insufficient_scope" not in data


def test_a_client_lives_to_the_end_of_a_streamed_answer(adapter: Served, world: World) -> None:
    with adapter.client.stream("GET", "/stream", headers=bearer(world.token("alice"))) as response:
        check_no_leak(response)
        first, second = response.text.splitlines()
    assert world.object_id("alice") in first
    assert "value" in second


def use(thing: Any) -> object:
    """Ask a client or a credential for something, blocking or not."""
    method = getattr(thing, "get_token", None)
    result = method(actions.USER_READ) if method else thing.get("/me")
    if hasattr(result, "__await__"):
        return asyncio.run(wait_for(result))
    return result


async def wait_for(result: Any) -> object:
    return await result


@pytest.mark.attack(172)
def test_what_is_kept_beyond_the_request_refuses(adapter: Served, world: World) -> None:
    assert adapter.get("/keep", world.token()).status_code == 200
    context, client, credential = actions.kept
    wait_for_the_end_of(context)
    for thing in (client, credential):
        with pytest.raises(RequestEndedError, match="a request that is over"):
            use(thing)
    assert world.entra.token_requests == []


@pytest.mark.attack(172)
def test_a_request_that_failed_is_over_too(adapter: Served, world: World) -> None:
    adapter.client.get("/broken", headers=bearer(world.token()) | CLOSE)
    context, client = actions.kept
    wait_for_the_end_of(context)
    with pytest.raises(RequestEndedError):
        use(client)


def test_no_cookie_of_one_user_reaches_the_next(adapter: Served, world: World) -> None:
    for _ in range(2):
        assert adapter.get("/me", world.token()).status_code == 200
    assert all("cookie" not in request.headers for request in world.graph.requests)
