"""One app four times: plain ASGI, FastAPI, plain WSGI, Flask. The routes are those of ``actions``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any
from wsgiref.validate import validator

import flask
import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from obo_middleware import OboError, Settings, wsgi
from obo_middleware._context import AsyncContext
from obo_middleware.asgi import Message, OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.fastapi import (
    CurrentContext,
    CurrentUser,
    downstream,
    require_authentication,
    require_authentication_context,
    require_scopes,
)
from obo_middleware.flask import OnBehalfOf
from tests.adapters import actions

JSON = "application/json"

# Plain ASGI


async def plain_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    actions.reached.add()
    context: AsyncContext = scope["state"]["obo"]
    path = scope["path"]
    if path in actions.ASYNC_STREAMS:
        await send(_start("text/plain"))
        async for chunk in actions.ASYNC_STREAMS[path](context):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    body = json.dumps(await actions.ASYNC[path](context)).encode()
    await send(_start(JSON, ("content-length", str(len(body)))))
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _start(kind: str, *headers: tuple[str, str]) -> Message:
    pairs = [("content-type", kind), *headers]
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }


def asgi_app(settings: Settings) -> Any:
    return OnBehalfOfMiddleware(plain_asgi, settings=settings)


# FastAPI, as its users write it

Graph = Annotated[httpx.AsyncClient, downstream("graph")]
BlockingGraph = Annotated[httpx.Client, downstream("graph", blocking=True)]
GraphAsApp = Annotated[httpx.AsyncClient, downstream("graph", as_app=True)]
BlockingGraphAsApp = Annotated[httpx.Client, downstream("graph", blocking=True, as_app=True)]


async def _me(graph: Graph, user: CurrentUser) -> Any:
    actions.entered.add()
    profile = (await graph.get("/me")).raise_for_status().json()
    assert profile["id"] == user.object_id
    return profile


def _blocking_me(graph: BlockingGraph, user: CurrentUser) -> Any:
    actions.entered.add()
    profile = graph.get("/me").raise_for_status().json()
    assert profile["id"] == user.object_id
    return profile


async def _users(graph: GraphAsApp) -> Any:
    return (await graph.get("/users")).raise_for_status().json()


def _blocking_users(graph: BlockingGraphAsApp) -> Any:
    return graph.get("/users").raise_for_status().json()


async def _person(user: CurrentUser) -> Any:
    return actions.person(user)


async def _catch(graph: Graph) -> Any:
    try:
        return (await graph.get("/me")).json()
    except OboError as error:
        return {"caught": type(error).__name__, "status": error.status}


def _endpoint(action: actions.AsyncAction) -> Callable[..., Any]:
    async def endpoint(context: CurrentContext) -> Any:
        return await action(context)

    return endpoint


def _streaming(stream: Callable[[AsyncContext], Any]) -> Callable[..., Any]:
    async def endpoint(context: CurrentContext) -> Any:
        return StreamingResponse(stream(context), media_type="text/plain")

    return endpoint


class _Counted:
    """Count the requests that reach the app itself, be there a route for them or not."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            actions.reached.add()
        await self._app(scope, receive, send)


def fastapi_app(settings: Settings | None, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.add_middleware(_Counted)
    if settings is not None:
        app.add_middleware(OnBehalfOfMiddleware, settings=settings)
    app.get("/me")(_me)
    app.get("/blocking-me")(_blocking_me)
    app.get("/users")(_users)
    app.get("/blocking-users")(_blocking_users)
    app.get("/catch")(_catch)
    app.get("/scope", dependencies=[require_scopes("orders.read")])(_person)
    app.get("/step", dependencies=[require_authentication(acr_values=["phr", "phrh"], max_age=300)])(_person)
    app.get("/context", dependencies=[require_authentication_context("c1")])(_person)
    for path in ("/messages", "/whoami", "/claims", "/public", "/nowhere", "/broken", "/keep", "/credential"):
        app.get(path)(_endpoint(actions.ASYNC[path]))
    app.get("/elsewhere")(_endpoint(actions.elsewhere))
    for path, stream in actions.ASYNC_STREAMS.items():
        app.get(path)(_streaming(stream))
    return app


# Plain WSGI


def plain_wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    actions.reached.add()
    context = environ[wsgi.ENVIRON_KEY]
    path = environ["PATH_INFO"]
    if path in actions.BLOCKING_STREAMS:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return actions.BLOCKING_STREAMS[path](context)
    body = json.dumps(actions.BLOCKING[path](context)).encode()
    start_response("200 OK", [("Content-Type", JSON), ("Content-Length", str(len(body)))])
    return [body]


def wsgi_middleware(settings: Settings) -> wsgi.OnBehalfOfMiddleware:
    """Return the app with the middleware, and between them the standard library's referee of PEP 3333."""
    app: Any = validator(plain_wsgi)  # typed for wsgiref's own names of the same things
    return wsgi.OnBehalfOfMiddleware(app, settings=settings)


# Flask


def _guarded_views(obo: OnBehalfOf) -> dict[str, Callable[[], Any]]:
    @obo.require_scopes("orders.read")
    def scope() -> Any:
        return actions.person(obo.user)

    @obo.require_authentication(acr_values=["phr", "phrh"], max_age=300)
    def step() -> Any:
        return actions.person(obo.user)

    @obo.require_authentication_context("c1")
    def strong_context() -> Any:
        return actions.person(obo.user)

    return {"/scope": scope, "/step": step, "/context": strong_context}


def flask_app(settings: Settings | None = None) -> flask.Flask:
    obo = OnBehalfOf()
    app = flask.Flask("adapters")
    obo.init_app(app, settings)
    app.before_request(actions.reached.add)

    def me() -> Any:
        actions.entered.add()
        return obo.client("graph").get("/me").raise_for_status().json()

    def users() -> Any:
        return obo.app_client("graph").get("/users").raise_for_status().json()

    def credential() -> Any:
        token, of_app = obo.credential.get_token(actions.USER_READ), obo.app_credential.get_token(actions.DEFAULT)
        return {"user": token.expires_on, "app": getattr(of_app, "expires_on", None)}

    own = {"/me": me, "/users": users, "/credential": credential, **_guarded_views(obo)}
    for path, view in own.items():
        app.add_url_rule(path, path, view)
    for path, action in actions.BLOCKING.items():
        if path not in own:
            app.add_url_rule(path, path, lambda action=action: action(obo.context))
    for path, stream in actions.BLOCKING_STREAMS.items():
        app.add_url_rule(path, path, lambda stream=stream: flask.Response(stream(obo.context), mimetype="text/plain"))
    return app
