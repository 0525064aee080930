"""What an application does beside its requests: one object for the middleware and the rest, in every adapter."""

from __future__ import annotations

import asyncio
from typing import Any

import flask
import pytest
from fastapi import FastAPI

from obo_middleware import ConfigurationError, OnBehalfOf, Session, wsgi
from obo_middleware import flask as flask_adapter
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.errors import SessionEndedError
from obo_middleware.fastapi import CurrentContext
from tests.adapters.harness import Served
from tests.adapters.servers import UvicornServer, WsgiServer
from tests.adapters.world import World
from tests.shared.applications import KEY, Make, make, outside, server, whose, world
from tests.shared.by_hand import StoreByHand

__all__ = ["make", "outside", "server", "world"]


def served_fastapi(obo: OnBehalfOf) -> Served:
    app = FastAPI()
    app.add_middleware(OnBehalfOfMiddleware, obo=obo)

    @app.post("/jobs")
    async def begin(context: CurrentContext) -> Any:
        return (await context.start_session()).id

    @app.post("/blocking-jobs")
    def begin_blocking(context: CurrentContext) -> Any:
        return context.start_session_blocking().id

    @app.post("/logout")
    async def leave(context: CurrentContext) -> Any:
        await obo.forget(context.user)

    @app.get("/me")
    async def me(context: CurrentContext) -> Any:
        return (await context.client("graph").get("/me")).json()

    return Served("fastapi", UvicornServer(app), app=app)


def served_wsgi(obo: OnBehalfOf) -> Served:
    app = flask.Flask("jobs")
    app.wsgi_app = wsgi.OnBehalfOfMiddleware(app.wsgi_app, obo=obo)  # type: ignore[method-assign]  # Flask's own way

    @app.post("/jobs")
    def begin() -> Any:
        return flask.jsonify(flask.request.environ[wsgi.ENVIRON_KEY].start_session().id)

    @app.post("/logout")
    def leave() -> Any:
        obo.forget_blocking(flask.request.environ[wsgi.ENVIRON_KEY].user)
        return flask.jsonify(None)

    @app.get("/me")
    def me() -> Any:
        return flask.request.environ[wsgi.ENVIRON_KEY].client("graph").get("/me").json()

    return Served("wsgi", WsgiServer(app, werkzeugs=True))


def post(served: Served, path: str, token: str) -> Any:
    return served.client.post(path, headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()


@pytest.mark.parametrize(
    ("serve", "path"), [(served_fastapi, "/jobs"), (served_fastapi, "/blocking-jobs"), (served_wsgi, "/jobs")]
)
def test_a_route_starts_a_session_and_a_worker_goes_on(make: Make, world: World, serve: Any, path: str) -> None:
    with serve(make()) as served:
        session = post(served, path, world.token("alice"))
    assert whose(make(), session) == world.object_id("alice")


@pytest.mark.parametrize("serve", [served_fastapi, served_wsgi])
def test_who_is_forgotten_costs_a_new_exchange(make: Make, world: World, serve: Any) -> None:
    token = world.token()
    with serve(make()) as served:
        for exchanges in (1, 1):
            assert served.get("/me", token).status_code == 200
            assert world.entra.exchanges == exchanges
        post(served, "/logout", token)
        assert served.get("/me", token).status_code == 200
        assert world.entra.exchanges == 2


def test_flasks_own_object_does_it_all(make: Make, world: World) -> None:
    obo, app = flask_adapter.OnBehalfOf(), flask.Flask("jobs")
    settings = make().runtime.settings
    obo.init_app(app, settings)

    @app.post("/jobs")
    def begin() -> Any:
        return flask.jsonify(obo.context.start_session().id)

    close = app.extensions["obo_middleware"].close
    with Served("flask", WsgiServer(app, werkzeugs=True), close) as served, app.app_context():
        text, other = (post(served, "/jobs", world.token(name)) for name in ("alice", "bob"))
        context = obo.resume_session_blocking(text)
        assert context.client("graph").get("/me").json()["id"] == world.object_id("alice")
        obo.forget_all_blocking()
        obo.end_session_blocking(text)
        with pytest.raises(SessionEndedError):
            obo.resume_session_blocking(text)
        obo.forget_blocking(tenant_id=world.entra.tenant_id, object_id=world.object_id("bob").upper())
        with pytest.raises(SessionEndedError):
            obo.resume_session_blocking(other)


def test_without_a_store_users_are_forgotten_in_this_process(make: Make, world: World) -> None:
    token = world.token("alice")
    with served_fastapi(OnBehalfOf(world.settings())) as served:
        assert served.get("/me", token).status_code == 200
        post(served, "/logout", token)
        assert served.get("/me", token).status_code == 200
    assert world.entra.exchanges == 2


@pytest.mark.parametrize(
    "given",
    [{}, {"tenant_id": "t"}, {"object_id": "o"}, {"tenant_id": "t", "object_id": 5}, {"user": "alice"}, {"user": None}],
    ids=repr,
)
def test_nobody_is_forgotten_who_is_not_named(world: World, given: dict[str, Any]) -> None:
    obo = OnBehalfOf(world.settings())
    with pytest.raises(ConfigurationError, match="tenant_id and object_id"):
        obo.forget_blocking(**given)
    with pytest.raises(ConfigurationError, match="tenant_id and object_id"):
        asyncio.run(obo.forget(**given))


def test_a_middleware_takes_settings_or_the_application_and_not_both(world: World) -> None:
    obo = OnBehalfOf(world.settings())
    wrong: list[dict[str, Any]] = [{"settings": world.settings(), "obo": obo}, {"obo": world.settings()}, {}]
    for given in wrong:
        for middleware in (OnBehalfOfMiddleware, wsgi.OnBehalfOfMiddleware):
            with pytest.raises(ConfigurationError):
                middleware(lambda *_: None, **given)  # type: ignore[arg-type]  # never called


def test_it_closes_what_it_opened_in_either_colour(world: World) -> None:
    store = StoreByHand()
    with OnBehalfOf(world.settings(token_store=store)) as obo:
        assert obo.runtime.store is store

    async def main() -> None:
        async with OnBehalfOf(world.settings(token_store=store)) as awaitable:
            await awaitable.forget_all()

    with pytest.raises(AssertionError):  # the store of this test does nothing itself
        asyncio.run(main())


def test_a_session_is_a_text_and_hides_it_in_its_repr() -> None:
    session = Session("secret", 5.0)
    assert (str(session), repr(session)) == ("secret", "Session(id=<hidden>, expires_on=5.0)")
    assert KEY.text not in repr(KEY)
