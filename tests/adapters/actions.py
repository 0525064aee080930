"""What the routes of every adapter's app do: once awaitable, once blocking, each with the context it is given."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from obo_middleware import OboError, User
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware.errors import InsufficientScopeError
from tests.adapters.world import Tally

USER_READ = "https://graph.microsoft.com/User.Read"
DEFAULT = "https://graph.microsoft.com/.default"

reached = Tally()
"""The requests that came past the middleware to the app, whatever it did with them."""
entered = Tally()
"""The requests that came to a handler that calls downstream."""
kept: list[Any] = []
"""What handlers kept beyond their request."""

AsyncAction = Callable[[AsyncContext], Awaitable[Any]]
BlockingAction = Callable[[BlockingContext], Any]


def person(user: User | None) -> dict[str, Any]:
    """Return what a response says about a user."""
    return {"user": None} if user is None else {"user": user.object_id, "scopes": sorted(user.scopes)}


async def me(context: AsyncContext) -> Any:
    entered.add()
    return (await context.client("graph").get("/me")).raise_for_status().json()


def blocking_me(context: BlockingContext) -> Any:
    entered.add()
    return context.client("graph").get("/me").raise_for_status().json()


async def messages(context: AsyncContext) -> Any:
    return (await context.client("graph").get("/me/messages")).raise_for_status().json()


def blocking_messages(context: BlockingContext) -> Any:
    return context.client("graph").get("/me/messages").raise_for_status().json()


async def users(context: AsyncContext) -> Any:
    return (await context.app_client("graph").get("/users")).raise_for_status().json()


def blocking_users(context: BlockingContext) -> Any:
    return context.app_client("graph").get("/users").raise_for_status().json()


def scope(context: AsyncContext | BlockingContext) -> Any:
    return person(context.require("orders.read"))


def step(context: AsyncContext | BlockingContext) -> Any:
    return person(context.require_authentication(acr_values=("phr", "phrh"), max_age=300))


def strong_context(context: AsyncContext | BlockingContext) -> Any:
    return person(context.require_authentication_context("c1"))


def whoami(context: AsyncContext | BlockingContext) -> Any:
    return person(context.user)


def claims(context: AsyncContext | BlockingContext) -> Any:
    assert context.user is not None
    return json.loads(json.dumps(context.user.claims, default=dict))


def nowhere(context: AsyncContext | BlockingContext) -> Any:
    return context.client("nowhere")


def broken(context: AsyncContext | BlockingContext) -> Any:
    kept.extend((context, context.client("graph")))
    raise RuntimeError("a bug in the handler")


def keep(context: AsyncContext | BlockingContext) -> Any:
    kept.extend((context, context.client("graph"), context.credential))
    return person(context.user)


async def catch(context: AsyncContext) -> Any:
    try:
        return await me(context)
    except OboError as error:
        return {"caught": type(error).__name__, "status": error.status}


def blocking_catch(context: BlockingContext) -> Any:
    try:
        return blocking_me(context)
    except OboError as error:
        return {"caught": type(error).__name__, "status": error.status}


async def credential(context: AsyncContext) -> Any:
    token = await context.credential.get_token(USER_READ)
    of_app = context.app_credential.get_token(DEFAULT)
    return {"user": token.expires_on, "app": (await of_app if inspect.isawaitable(of_app) else of_app).expires_on}


def blocking_credential(context: BlockingContext) -> Any:
    token = context.credential.get_token(USER_READ)
    of_app = context.app_credential.get_token(DEFAULT)
    assert not inspect.isawaitable(of_app)
    return {"user": token.expires_on, "app": of_app.expires_on}


async def elsewhere(context: AsyncContext) -> Any:
    return await context.client("graph").get("http://127.0.0.1:9/me")


def blocking_elsewhere(context: BlockingContext) -> Any:
    return context.client("graph").get("http://127.0.0.1:9/me")


# Answers in parts.


async def stream(context: AsyncContext) -> AsyncIterator[bytes]:
    yield json.dumps(await me(context)).encode() + b"\n"
    yield json.dumps(await messages(context)).encode() + b"\n"


def blocking_stream(context: BlockingContext) -> Iterator[bytes]:
    yield json.dumps(blocking_me(context)).encode() + b"\n"
    yield json.dumps(blocking_messages(context)).encode() + b"\n"


async def late(context: AsyncContext) -> AsyncIterator[bytes]:
    yield b"the answer has begun, "
    raise InsufficientScopeError("too late to say so", scopes=["orders.read"])


def blocking_late(context: BlockingContext) -> Iterator[bytes]:
    yield b"the answer has begun, "
    raise InsufficientScopeError("too late to say so", scopes=["orders.read"])


def _awaitable(action: Callable[[Any], Any]) -> AsyncAction:
    async def run(context: AsyncContext) -> Any:
        return action(context)

    return run


_EITHER: dict[str, Callable[[Any], Any]] = {
    "/scope": scope,
    "/step": step,
    "/context": strong_context,
    "/whoami": whoami,
    "/claims": claims,
    "/public": whoami,
    "/nowhere": nowhere,
    "/broken": broken,
    "/keep": keep,
}
ASYNC: dict[str, AsyncAction] = {path: _awaitable(action) for path, action in _EITHER.items()} | {
    "/me": me,
    "/messages": messages,
    "/users": users,
    "/catch": catch,
    "/credential": credential,
    "/elsewhere": elsewhere,
}
BLOCKING: dict[str, BlockingAction] = _EITHER | {
    "/me": blocking_me,
    "/messages": blocking_messages,
    "/users": blocking_users,
    "/catch": blocking_catch,
    "/credential": blocking_credential,
    "/elsewhere": blocking_elsewhere,
}
ASYNC_STREAMS = {"/stream": stream, "/late": late}
BLOCKING_STREAMS = {"/stream": blocking_stream, "/late": blocking_late}
