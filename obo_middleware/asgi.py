"""Middleware for any ASGI 3 app: Starlette, FastAPI, Litestar, Quart, Django and plain ones. It needs no framework.

Facts: the ASGI specification 3.0 (HTTP, WebSocket, Lifespan, and the WebSocket Denial Response extension).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from obo_middleware._challenge import Reply
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Answerable, Runtime, answerable_in
from obo_middleware._settings import Settings
from obo_middleware._user import User

__all__ = ["OnBehalfOfMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# After each of these the app lives no longer, and its connections must not either.
_ENDS = ("lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed")


class OnBehalfOfMiddleware:
    """Validate the bearer token of every HTTP request and WebSocket handshake, and give the app the user's context.

    The context is at ``request.state.obo`` in Starlette and its relatives, ``scope["state"]["obo"]`` in any
    app. ``scope["user"]`` and ``scope["auth"]`` are set as Starlette's own authentication does, so that its
    ``@requires`` works with the token's scopes. Raises :class:`ConfigurationError` unless ``settings`` is a
    :class:`Settings`.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._runtime = Runtime(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app for one connection, or answer in its place."""
        if scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime
        try:
            values = [value for name, value in scope["headers"] if name == b"authorization"]
            valid = runtime.known(values, scope["path"])
            if valid is None:
                valid = await runtime.async_driver.run(runtime.admit_flow(values, scope["path"]))
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, nobody must get past it
            await _answer(runtime.reply(error, None), scope, send)
            return
        context = AsyncContext(runtime, valid)
        _attach(scope, context)
        watch = _Watch(send)
        try:
            await self._app(scope, receive, watch)
        except (*Answerable, BaseExceptionGroup) as raised:
            answer = answerable_in(raised)
            if answer is None or watch.started:
                raise
            await _answer(runtime.reply(answer, context.user), scope, send)
        finally:
            context.end()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime

        async def receive_warm() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._warm_up(send_closed)
            return message

        async def send_closed(message: Message) -> None:
            if message["type"] in _ENDS:
                await runtime.aclose()
            await send(message)

        await self._app(scope, receive_warm, send_closed)

    async def _warm_up(self, send: Send) -> None:
        try:
            await self._runtime.async_driver.run(self._runtime.warm_up_flow())
        except Exception as error:
            # Said here, since apps wait for the first message outside of what answers with a failure.
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise


class _Watch:
    """A ``send`` that knows whether an answer has begun, after which no other one can be given."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        await self._send(message)


class _Scopes:
    """What Starlette's ``@requires`` looks at: the scopes that are granted."""

    __slots__ = ("scopes",)

    def __init__(self, scopes: frozenset[str]) -> None:
        self.scopes = scopes


class _Anonymous:
    """What Starlette's helpers expect where nobody is signed in."""

    is_authenticated = False
    display_name = ""
    identity = ""


_NOBODY = _Anonymous()
_NO_SCOPES = _Scopes(frozenset())


def _attach(scope: Scope, context: AsyncContext) -> None:
    user: User | None = context.user
    # A dict of our own: servers should copy the state for each request, but some let all requests share one.
    scope["state"] = {**(scope.get("state") or {}), "obo": context}
    scope["user"] = _NOBODY if user is None else user
    scope["auth"] = _NO_SCOPES if user is None else _Scopes(user.scopes | {"authenticated"})


async def _answer(reply: Reply, scope: Scope, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        # As Starlette refuses, without a look at the handshake's message: the app may have received it already,
        # and there is no second one to wait for.
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})  # before accept: servers answer with status 403
            return
        kind = "websocket.http.response"
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    await send({"type": f"{kind}.start", "status": reply.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": reply.body})
