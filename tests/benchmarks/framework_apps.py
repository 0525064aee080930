"""The floor of each framework: its app with one downstream call, a static token on a shared client, no authentication.

A server in another process imports one of them by its name here; ``GRAPH_BASE_URL`` says what to call.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import httpx

from tests.benchmarks import stage


def _client(kind: Any) -> Any:
    """Return a shared client that keeps as many connections as our pool does."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=60.0)
    headers = {"Authorization": f"Bearer {stage.opaque_token(stage.DOWNSTREAM)}"}
    return kind(base_url=os.environ["GRAPH_BASE_URL"], headers=headers, limits=limits, trust_env=False)


def _profile() -> Callable[[], Any]:
    graph: httpx.Client = _client(httpx.Client)
    return lambda: graph.get("/me").raise_for_status().json()


def _profile_async() -> Callable[[], Any]:
    graph: httpx.AsyncClient = _client(httpx.AsyncClient)

    async def profile() -> Any:
        return (await graph.get("/me")).raise_for_status().json()

    return profile


def _starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    profile = _profile_async()

    async def me(request: Any) -> JSONResponse:
        return JSONResponse(await profile())

    return Starlette(routes=[Route("/me", me)])


def _fastapi() -> Any:
    from fastapi import FastAPI

    app, profile = FastAPI(), _profile_async()

    @app.get("/me")
    async def me() -> Any:
        return await profile()

    return app


def _litestar() -> Any:
    from litestar import Litestar, get

    profile = _profile_async()

    async def me() -> dict[str, Any]:
        found: dict[str, Any] = await profile()
        return found

    return Litestar([get("/me")(me)])


def _quart() -> Any:
    from quart import Quart

    app, profile = Quart("floor"), _profile_async()

    @app.get("/me")
    async def me() -> Any:
        return await profile()

    return app


def _configured() -> Any:
    from django.conf import settings

    settings.configure(SECRET_KEY="floor", ALLOWED_HOSTS=["*"], ROOT_URLCONF=[], MIDDLEWARE=[])
    return settings


def _django_async() -> Any:
    from django.core.asgi import get_asgi_application
    from django.http import JsonResponse
    from django.urls import path

    profile = _profile_async()

    async def me(request: Any) -> Any:
        return JsonResponse(await profile())

    _configured().ROOT_URLCONF = (path("me", me),)
    return get_asgi_application()


def _django() -> Any:
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.urls import path

    profile = _profile()
    _configured().ROOT_URLCONF = (path("me", lambda request: JsonResponse(profile())),)
    return get_wsgi_application()


def _flask() -> Any:
    from flask import Flask

    app = Flask("floor")
    app.add_url_rule("/me", "me", _profile())
    return app


def _bottle() -> Any:
    from bottle import Bottle

    app = Bottle()
    app.get("/me")(_profile())
    return app


def _pyramid() -> Any:
    from pyramid.config import Configurator

    profile = _profile()
    with Configurator() as config:
        config.add_route("me", "/me")
        config.add_view(lambda request: profile(), route_name="me", renderer="json")
        return config.make_wsgi_app()


_APPS: dict[str, Callable[[], Any]] = {
    "starlette": _starlette,
    "fastapi": _fastapi,
    "litestar": _litestar,
    "quart": _quart,
    "django_async": _django_async,
    "flask": _flask,
    "django": _django,
    "bottle": _bottle,
    "pyramid": _pyramid,
}


@functools.cache
def _made(name: str) -> Any:
    return _APPS[name]()


def __getattr__(name: str) -> Any:
    """Make an app when a server first asks for it; some ask twice."""
    if name not in _APPS:
        raise AttributeError(name)
    return _made(name)
