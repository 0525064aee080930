"""Middleware for any ASGI 3 app: Starlette, FastAPI, Litestar, Quart, Django and plain ones. It needs no framework.

Facts: the ASGI specification 3.0 (HTTP, WebSocket, Lifespan, and the WebSocket Denial Response extension).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from obo_middleware._challenge import Reply
from obo_middleware._context import AsyncContext
from obo_middleware._lifespan import live
from obo_middleware._on_behalf_of import OnBehalfOf, runtime_of
from obo_middleware._runtime import Answerable, answerable_in
from obo_middleware._settings import Settings
from obo_middleware._trace import HEADER, traceparent
from obo_middleware._user import User
from obo_middleware._validation import Validated

__all__ = ["OnBehalfOfMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_TRACE = HEADER.encode()
_CLOSING = 10.0
"""Seconds that a client who reads nothing may hold the end of its WebSocket up."""


class OnBehalfOfMiddleware:
    """Validate the bearer token of every HTTP request and WebSocket handshake, and give the app the user's context.

    The context is at ``request.state.obo`` in Starlette and its relatives, ``scope["state"]["obo"]`` in any
    app. ``scope["user"]`` and ``scope["auth"]`` are set as Starlette's own authentication does, so that its
    ``@requires`` works with the token's scopes. ``obo`` takes the place of ``settings`` where the application has an
    :class:`OnBehalfOf`. Raises :class:`ConfigurationError` unless it is given one of them.
    """

    def __init__(self, app: App, settings: Settings | None = None, *, obo: OnBehalfOf | None = None) -> None:
        self._app = app
        self._runtime = runtime_of(settings, obo)
        self._proxy_header = self._runtime.proxy_header.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app for one connection, or answer in its place."""
        if scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await live(self._runtime, self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._runtime
        method = scope.get("method", "")  # none in a WebSocket's handshake
        published = runtime.published(scope["path"], method) if method else None
        if published is not None:
            await _answer(published, scope, send)
            return
        try:
            valid = await self._admit(scope, method)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, nobody must get past it
            await _answer(runtime.reply(error, None, _trace_of(scope)), scope, send)
            return
        until = None if method or valid is None else valid.user.expires_on
        context = AsyncContext(runtime, valid, until=until, trace=_trace_of(scope))
        _attach(scope, context)
        watch = _Watch(send, context)
        context.begin()
        try:
            if until is not None and runtime.settings.close_websockets_at_expiry:
                await _until_expiry(self._app, scope, receive, watch, until - runtime.settings.clock())
            else:
                await self._app(scope, receive, watch)
            if context.refusal is not None and not watch.started:
                await _answer(context.answer_to(context.refusal), scope, send)
        except (*Answerable, BaseExceptionGroup) as raised:
            answer = context.refusal or answerable_in(raised)
            if answer is None or watch.started:
                raise
            await _answer(context.answer_to(answer), scope, send)
        finally:
            context.end()

    async def _admit(self, scope: Scope, method: str) -> Validated | None:
        runtime, path = self._runtime, scope["path"]
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        proxied: list[bytes] = []
        if self._proxy_header:
            proxied = [value for name, value in scope["headers"] if name == self._proxy_header]
        valid = runtime.known(values, path, method, proxied)
        if valid is None:
            valid = await runtime.async_driver.run(runtime.admit_flow(values, path, method, proxied))
        return valid


class _Watch:
    """A ``send`` that knows whether an answer has begun, after which no other one can be given.

    What the app sends after its request was refused is dropped, unless an answer has begun by then.
    """

    __slots__ = ("_closed", "_context", "_send", "expired", "started")

    def __init__(self, send: Send, context: AsyncContext) -> None:
        self._context = context
        self._send = send
        self._closed = self.expired = False
        self.started = False

    async def __call__(self, message: Message) -> None:
        if self.expired:
            raise OSError("the WebSocket is closed, because its user's access token has expired")
        if not self.started and self._context.refusal is not None:
            return
        self.started = True
        self._closed = message["type"] == "websocket.close"
        await self._send(message)

    async def close(self) -> None:
        """Close an expired WebSocket that is still open, or that is not yet."""
        if not self._closed:
            await self._send({"type": "websocket.close", "code": 1008, "reason": "the access token has expired"})


async def _until_expiry(app: App, scope: Scope, receive: Receive, watch: _Watch, seconds: float) -> None:
    """Run a WebSocket's app, and close the WebSocket with code 1008 once its user's token has expired.

    The app then hears that the client is gone, as at any other end of the connection.
    """
    import asyncio  # late, since the start of an app should not wait for it

    inbox = _Inbox(receive)

    async def expire() -> None:
        await asyncio.sleep(max(0.0, seconds))
        watch.expired = True
        inbox.expired.set()
        # Some servers send nothing while the app waits to receive; that wait is over at once.
        async with asyncio.timeout(_CLOSING), inbox.waiting:
            await watch.close()

    expiring = asyncio.ensure_future(expire())
    try:
        await app(scope, inbox, watch)
    finally:
        if not watch.expired:
            expiring.cancel()
        # What the server says of a client that has gone meanwhile is of no interest.
        await asyncio.gather(expiring, return_exceptions=True)


class _Inbox:
    """A WebSocket's ``receive`` that hears of a disconnect once ``expired`` is set.

    An app may stop waiting at any moment, as with a timeout. A message that came in the same moment is the next one
    then: it is put down here before anybody takes it.
    """

    def __init__(self, receive: Receive) -> None:
        import asyncio

        self._receive = receive
        self._messages: list[Message] = []
        self.expired = asyncio.Event()
        self.waiting = asyncio.Lock()

    async def __call__(self) -> Message:
        async with self.waiting:
            # After the end too, so that an app that goes on asking lets others run.
            if self.expired.is_set() or not self._messages:
                await self._wait()
            return {"type": "websocket.disconnect", "code": 1008} if self.expired.is_set() else self._messages.pop(0)

    async def _wait(self) -> None:
        """Wait for a message, or for the end; whatever comes first, nothing is asked of the server afterwards."""
        import asyncio

        fetching, ending = asyncio.ensure_future(self._fetch()), asyncio.ensure_future(self.expired.wait())
        try:
            await asyncio.wait((fetching, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            fetching.cancel()
            ending.cancel()
            await asyncio.gather(fetching, ending, return_exceptions=True)
        if not self.expired.is_set():
            fetching.result()  # raises what the server raised

    async def _fetch(self) -> None:
        # In a task: some servers return awaitables that are no futures of asyncio.
        self._messages.append(await self._receive())


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


def _trace_of(scope: Scope) -> str | None:
    return traceparent([value.decode("latin-1") for name, value in scope["headers"] if name == _TRACE])


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
