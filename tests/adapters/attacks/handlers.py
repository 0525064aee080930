"""Apps whose handlers do what a test tells them with the clients of their request: in each adapter, in each colour."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import flask
import httpx
from fastapi import FastAPI

from obo_middleware import Settings, wsgi
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware.asgi import Message, OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.fastapi import CurrentContext
from obo_middleware.flask import OnBehalfOf
from tests.adapters.harness import Served
from tests.adapters.servers import UvicornServer, WsgiServer

WAYS = ("asgi", "asgi-blocking", "fastapi", "fastapi-blocking", "wsgi", "flask")
"""The four adapters, and in those that have both colours the blocking one too."""
AWAITABLE, BLOCKING = "/awaitable", "/blocking"

Context = AsyncContext | BlockingContext
ClientOf = Callable[[str], httpx.Client]


class Deed(Protocol):
    """What a handler does, in either colour."""

    async def awaitable(self, context: AsyncContext) -> Any: ...

    def blocking(self, context: Context, client: ClientOf) -> Any: ...


class Desk:
    """Where tests leave deeds for handlers, and handlers the errors that came of them."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.deed: Deed | None = None
        self.deeds: dict[str, Deed] = {}
        self.errors: list[Exception] = []

    def deed_for(self, context: Context) -> Deed:
        """Return what is to be done for the user of a request, or for whoever comes."""
        deed = self.deeds.get("" if context.user is None else context.user.object_id, self.deed)
        assert deed is not None
        return deed


desk = Desk()


async def in_awaitable_handler(context: AsyncContext) -> Any:
    try:
        return await desk.deed_for(context).awaitable(context)
    except Exception as error:
        desk.errors.append(error)
        raise


def in_blocking_handler(context: Context, client: ClientOf) -> Any:
    try:
        return desk.deed_for(context).blocking(context, client)
    except Exception as error:
        desk.errors.append(error)
        raise


# The apps


async def plain_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    context: AsyncContext = scope["state"]["obo"]
    if scope["path"] == BLOCKING:
        done = await asyncio.to_thread(in_blocking_handler, context, context.blocking_client)
    else:
        done = await in_awaitable_handler(context)
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps(done).encode()})


def fastapi_app(settings: Settings) -> FastAPI:
    app = FastAPI()
    app.add_middleware(OnBehalfOfMiddleware, settings=settings)

    @app.api_route(AWAITABLE, methods=["GET", "POST"])
    async def awaitable(context: CurrentContext) -> Any:
        return await in_awaitable_handler(context)

    @app.api_route(BLOCKING, methods=["GET", "POST"])
    def blocking(context: CurrentContext) -> Any:
        return in_blocking_handler(context, context.blocking_client)

    return app


def plain_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    context: BlockingContext = environ[wsgi.ENVIRON_KEY]
    body = json.dumps(in_blocking_handler(context, context.client)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def flask_app(settings: Settings) -> flask.Flask:
    obo = OnBehalfOf()
    app = flask.Flask("attacks")
    obo.init_app(app, settings)

    def view() -> Any:
        return flask.jsonify(in_blocking_handler(obo.context, obo.client))

    app.add_url_rule(BLOCKING, "blocking", view, methods=["GET", "POST"])
    return app


@dataclass
class Way:
    """One adapter in one colour, served."""

    served: Served
    path: str

    @property
    def blocking(self) -> bool:
        return self.path == BLOCKING

    def do(self, deed: Deed, token: str | None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Return the answer to a user's request, or to nobody's, whose handler does the deed."""
        desk.deed = deed
        signed_in = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.served.client.get(self.path, headers={**signed_in, **(headers or {})})

    def say(self, deed: Deed, *lines: bytes) -> bytes:
        """Return the bytes of the answer to a request with these header lines, whose handler does the deed."""
        desk.deed = deed
        return self.served.raw(*lines, path=self.path.encode())


def serve_way(
    way: str, settings: Settings, *, around: Callable[[Any], Any] = lambda app: app, threaded: bool = True
) -> Way:
    """Serve the app of one adapter by a server of this process; ``around`` puts something around the whole of it."""
    kind, _, blocking = way.partition("-")
    if kind == "asgi":
        app: Any = OnBehalfOfMiddleware(plain_asgi, settings=settings)
        served = Served(kind, UvicornServer(around(app), http="h11"), app=app)
    elif kind == "fastapi":
        app = fastapi_app(settings)
        served = Served(kind, UvicornServer(around(app)), app=app)
    elif kind == "wsgi":
        app = wsgi.OnBehalfOfMiddleware(plain_wsgi, settings=settings)
        served = Served(kind, WsgiServer(around(app), threaded=threaded), app.runtime.close, app=app.runtime)
    else:
        app = flask_app(settings)
        runtime = app.extensions["obo_middleware"]
        server = WsgiServer(around(app), werkzeugs=True, threaded=threaded)
        served = Served(kind, server, runtime.close, app=runtime)
    return Way(served, AWAITABLE if kind in ("asgi", "fastapi") and not blocking else BLOCKING)


# What handlers do most

Change = Callable[[Any], object]


@dataclass(frozen=True)
class Call:
    """Send one request: ``prepare`` changes the client, ``hook`` the request in an event hook of the client.

    What it answers is told as JSON.
    """

    url: str = "/me"
    method: str = "GET"
    api: str = "api"
    prepare: Change | None = None
    hook: Change | None = None
    body: int = 0
    """The size of a body that can be read only once."""
    options: Mapping[str, Any] = field(default_factory=dict)

    async def awaitable(self, context: AsyncContext) -> Any:
        client = self._prepared(context.client(self.api), _awaitable_hook)
        content = {"content": _once_awaitable(self.body)} if self.body else {}
        return said_by(await client.request(self.method, self.url, **content, **self.options))

    def blocking(self, context: Context, client: ClientOf) -> Any:
        prepared = self._prepared(client(self.api), lambda hook: hook)
        content = {"content": _once(self.body)} if self.body else {}
        return said_by(prepared.request(self.method, self.url, **content, **self.options))

    def _prepared(self, client: Any, as_hook: Callable[[Change], Any]) -> Any:
        if self.prepare is not None:
            self.prepare(client)
        if self.hook is not None:
            client.event_hooks = {"request": [as_hook(self.hook)]}
        return client


@dataclass(frozen=True)
class Sent:
    """Send a request that ``make`` made of the client, as ``client.send`` does it, with ``options``."""

    make: Callable[[Any], Any]
    api: str = "api"
    options: Mapping[str, Any] = field(default_factory=dict)

    async def awaitable(self, context: AsyncContext) -> Any:
        client = context.client(self.api)
        return said_by(await client.send(self.make(client), **self.options))

    def blocking(self, context: Context, client: ClientOf) -> Any:
        own = client(self.api)
        return said_by(own.send(self.make(own), **self.options))


def said_by(response: Any) -> dict[str, Any]:
    return {"status": response.status_code, "body": response.text, "location": response.headers.get("location")}


def _awaitable_hook(change: Change) -> Any:
    async def hook(request: Any) -> None:
        change(request)

    return hook


def _once(size: int) -> Iterable[bytes]:
    yield b"x" * size


async def _once_awaitable(size: int) -> Any:
    yield b"x" * size
