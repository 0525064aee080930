"""One app four times, which says whom it was called for, by which path and with which body; it answers every path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import flask
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

from obo_middleware import Settings, wsgi
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware.asgi import OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.errors import (
    ClaimsChallengeError,
    ConsentNeededError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    OboError,
)
from obo_middleware.fastapi import CurrentContext
from obo_middleware.flask import OnBehalfOf
from tests.adapters.world import Tally

PUBLIC, REACHED, FAIL = "/public", "/reached", "/fail/"
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]

TEXTS = {
    "split": "a\r\nX-Injected: 1\r\n\r\n<b>",
    "feed": "a\nX-Injected: 1",
    "return": "a\rX-Injected: 1",
    "nothing": "a\x00\x1b[31m\x7f\x85",
    "quotes": 'a", error="x", realm="b\\"',
    "foreign": "\u043f\u20ac\u2028\u202e\U0001f600",
    "latin": "caf\u00e9",
    "surrogate": "\ud800",
}
"""What must not get out of its place in a header, whoever wrote it."""

ERRORS: dict[str, Callable[[str], OboError]] = {
    "scope": lambda text: InsufficientScopeError(text, scopes=[text, "orders.read"]),
    "consent": lambda text: ConsentNeededError(text, scopes=[text]),
    "claims": lambda text: ClaimsChallengeError(text, claims=text),
    "acr": lambda text: InsufficientUserAuthenticationError(text, acr_values=[text], max_age=5),
}


def said(path: str, context: AsyncContext | BlockingContext, body: bytes, count: Tally) -> dict[str, Any]:
    """Return what the app answers, or raise what it is asked to."""
    if path == REACHED:
        return {"reached": count.count}
    if path.startswith(FAIL):
        kind, _, text = path[len(FAIL) :].partition("/")
        raise ERRORS[kind](TEXTS[text])
    user = None if context.user is None else context.user.object_id
    return {"user": user, "path": path, "body": body.decode("latin-1")}


# ASGI


class _Counted:
    """Count what comes past the middleware: requests and WebSockets."""

    def __init__(self, app: Any, count: Tally) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and scope["path"] != REACHED:
            self._count.add()
        await self._app(scope, receive, send)


def asgi_app(settings: Settings) -> Any:
    count = Tally()

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        await (_answer if scope["type"] == "http" else _converse)(scope, receive, send, count)

    return OnBehalfOfMiddleware(_Counted(plain, count), settings=settings)


async def _answer(scope: Scope, receive: Receive, send: Send, count: Tally) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    content = json.dumps(said(scope["path"], scope["state"]["obo"], body, count)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


async def _converse(scope: Scope, receive: Receive, send: Send, count: Tally) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    text = json.dumps(said(scope["path"], scope["state"]["obo"], b"", count))
    await send({"type": "websocket.send", "text": text})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def fastapi_app(settings: Settings) -> Any:
    count = Tally()
    app = FastAPI()
    app.add_middleware(_Counted, count=count)
    app.add_middleware(OnBehalfOfMiddleware, settings=settings)
    part = FastAPI()
    for routes, name in ((part, "/part"), (app, "")):
        _add_routes(routes, name, count)
        if routes is part:
            app.mount(name, part)
    return app


def _add_routes(app: FastAPI, name: str, count: Tally) -> None:
    async def endpoint(request: Request, context: CurrentContext, path: str) -> Any:
        return said(f"{name}/{path}", context, await request.body(), count)

    async def socket(websocket: WebSocket, context: CurrentContext, path: str) -> None:
        await websocket.accept()
        await websocket.send_json(said(f"{name}/{path}", context, b"", count))
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            pass

    app.add_api_route("/{path:path}", endpoint, methods=METHODS, response_model=None)
    app.add_api_websocket_route("/{path:path}", socket)


# WSGI


def wsgi_app(settings: Settings) -> wsgi.OnBehalfOfMiddleware:
    count = Tally()

    def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path != REACHED:
            count.add()
        length = int(environ.get("CONTENT_LENGTH") or 0)
        read = environ["wsgi.input"].read
        body = read() if "HTTP_TRANSFER_ENCODING" in environ else read(length)
        content = json.dumps(said(path, environ[wsgi.ENVIRON_KEY], body, count)).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    return wsgi.OnBehalfOfMiddleware(plain, settings=settings)


def flask_app(settings: Settings) -> flask.Flask:
    count = Tally()
    obo = OnBehalfOf()
    app = flask.Flask("wire")
    app.url_map.merge_slashes = False
    obo.init_app(app, settings)

    @app.before_request
    def counted() -> None:
        if flask.request.path != REACHED:
            count.add()

    def view(path: str) -> Any:
        return said(f"/{path}", obo.context, flask.request.get_data(), count)

    app.add_url_rule("/", "root", view, defaults={"path": ""}, methods=METHODS)
    app.add_url_rule("/<path:path>", "view", view, methods=METHODS)
    return app


MAKE: dict[str, Callable[[Settings], Any]] = {
    "asgi": asgi_app,
    "fastapi": fastapi_app,
    "wsgi": wsgi_app,
    "flask": flask_app,
}


def close(kind: str, app: Any) -> None:
    """Close what an app of WSGI holds; those of ASGI close at the end of their lifespan."""
    if kind == "wsgi":
        app.runtime.close()
    elif kind == "flask":
        app.extensions["obo_middleware"].close()
