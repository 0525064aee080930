"""What is Flask's own: the extension's ways to be set up, its decorator, and its place among error handlers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask
import pytest

from obo_middleware import ConfigurationError, DownstreamApi
from obo_middleware.errors import ConsentNeededError, OboError
from obo_middleware.flask import OnBehalfOf
from tests.adapters.harness import bearer
from tests.adapters.outcomes import NO_SCOPE
from tests.adapters.world import SECRET, World


@contextmanager
def protected(app: flask.Flask) -> Iterator[Any]:
    """Give a client for an app, and close the app's connections."""
    try:
        yield app.test_client()
    finally:
        app.extensions["obo_middleware"].close()


def config_of(world: World) -> dict[str, Any]:
    return {
        "OBO_TENANT_ID": world.entra.tenant_id,
        "OBO_CLIENT_ID": world.client_id,
        "OBO_CLIENT_CREDENTIAL": SECRET,
        "OBO_AUTHORITY": world.entra.authority,
        "OBO_ALLOW_LOCAL_ISSUER": True,
        "OBO_DOWNSTREAM_APIS": {"graph": DownstreamApi(world.graph.base_url, scopes=["User.Read"])},
        "OBO_CLOCK": world.clock,
        "SECRET_KEY": "another extension's",
    }


def test_settings_come_from_the_apps_configuration(world: World) -> None:
    app, obo = flask.Flask("configured"), OnBehalfOf()
    app.config.update(config_of(world))
    obo.init_app(app)
    app.add_url_rule("/me", "me", lambda: obo.client("graph").get("/me").json())
    with protected(app) as client:
        assert client.get("/me", headers=bearer(world.token("alice"))).json["id"] == world.object_id("alice")


def test_an_api_in_the_configuration_may_be_a_mapping(world: World) -> None:
    app, obo = flask.Flask("configured"), OnBehalfOf()
    graph = {"base_url": world.graph.base_url, "scopes": ["User.Read"], "timeout": 7.0}
    app.config.update(config_of(world) | {"OBO_DOWNSTREAM_APIS": {"graph": graph}})
    obo.init_app(app)
    runtime = app.extensions["obo_middleware"]
    expected = DownstreamApi(world.graph.base_url, scopes=["User.Read"], timeout=7.0)
    assert runtime.settings.downstream_apis["graph"] == expected
    runtime.close()


@pytest.mark.parametrize("api", [{"base_url": "https://a.example"}, {"scopes": ["a"]}, {"base_url": "x", "secret": 1}])
def test_a_mapping_that_is_no_api_is_refused(world: World, api: dict[str, Any]) -> None:
    app = flask.Flask("configured")
    app.config.update(config_of(world) | {"OBO_DOWNSTREAM_APIS": {"graph": api}})
    with pytest.raises(ConfigurationError, match=r"downstream_apis\['graph'\] has fields"):
        OnBehalfOf(app)


def test_what_the_configuration_lacks_comes_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(world)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", config.pop("OBO_CLIENT_CREDENTIAL"))
    monkeypatch.setenv("AZURE_TENANT_ID", config.pop("OBO_TENANT_ID"))
    app = flask.Flask("configured")
    app.config.update(config)
    OnBehalfOf(app)
    with protected(app) as client:
        assert client.get("/", headers=bearer(world.token())).status_code == 404


def test_a_configuration_that_cannot_work_is_refused_when_the_app_is_made(world: World) -> None:
    app = flask.Flask("configured")
    app.config.update(config_of(world) | {"OBO_TENANT": "contoso"})
    with pytest.raises(ConfigurationError, match=r"there is no such setting.*tenant"):
        OnBehalfOf().init_app(app)
    with pytest.raises(ConfigurationError, match="AZURE_TENANT_ID"):
        OnBehalfOf().init_app(flask.Flask("empty"))


def test_a_second_init_app_is_an_error(world: World) -> None:
    app, obo = flask.Flask("twice"), OnBehalfOf()
    obo.init_app(app, world.settings())
    with pytest.raises(ConfigurationError, match="init_app was called twice"):
        obo.init_app(app, world.settings())


def test_one_extension_serves_the_apps_of_a_factory(world: World) -> None:
    obo = OnBehalfOf()
    blueprint = flask.Blueprint("orders", "orders", url_prefix="/orders")

    @blueprint.get("/")
    @obo.require_scopes("orders.read")
    def orders() -> Any:
        return {"user": None if obo.user is None else obo.user.object_id, "app": flask.current_app.name}

    def create_app(name: str) -> flask.Flask:
        app = flask.Flask(name)
        obo.init_app(app, world.settings())
        app.register_blueprint(blueprint)
        return app

    token = world.token("bob", scopes=["orders.read"])
    for name in ("first", "second"):
        with protected(create_app(name)) as client:
            answer = client.get("/orders/", headers=bearer(token))
            assert answer.json == {"user": world.object_id("bob"), "app": name}
            refused = client.get("/orders/", headers=bearer(world.token()))
            assert (refused.status_code, refused.json) == (403, NO_SCOPE | {"scope": "orders.read"})


def test_the_decorator_keeps_the_views_name_and_arguments(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("decorated")

    @obo.require_scopes("access_as_user")
    def item(number: int) -> str:
        """Return an item."""
        return str(number)

    assert (item.__name__, item.__doc__) == ("item", "Return an item.")
    obo.init_app(app, world.settings())
    app.add_url_rule("/items/<int:number>", view_func=item)
    with protected(app) as client:
        assert client.get("/items/7", headers=bearer(world.token())).text == "7"


def test_views_that_are_coroutines_can_be_guarded_too(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("awaited")
    obo.init_app(app, world.settings())
    guards: dict[str, Any] = {
        "scopes": obo.require_scopes("orders.read"),
        "authentication": obo.require_authentication(acr_values=["phr"]),
        "context": obo.require_authentication_context("c1"),
    }

    async def me(number: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"number": number, "id": obo.client("graph").get("/me").json()["id"]}

    for name, guard in guards.items():
        app.add_url_rule(f"/{name}/<int:number>", name, guard(me))
    app.add_url_rule("/all/<int:number>", "all", functools.reduce(lambda view, guard: guard(view), guards.values(), me))
    strong = world.token("bob", scopes=["orders.read"], acr="phr", acrs=["c1"])
    with protected(app) as client:
        for name in (*guards, "all"):
            answer = client.get(f"/{name}/7", headers=bearer(strong))
            assert (answer.status_code, answer.json) == (200, {"number": 7, "id": world.object_id("bob")}), name
            assert client.get(f"/{name}/7", headers=bearer(world.token())).status_code in (401, 403), name


def test_without_init_app_the_error_says_so() -> None:
    obo, app = OnBehalfOf(), flask.Flask("unprotected")
    with app.test_request_context("/"), pytest.raises(ConfigurationError, match=r"call init_app\(app, settings\)"):
        _ = obo.user


def test_the_apps_own_error_handler_for_a_kind_of_error_goes_first(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("handled")
    obo.init_app(app, world.settings())
    app.register_error_handler(ConsentNeededError, lambda error: ({"ask for": error.scopes}, 418))
    app.add_url_rule("/me", "me", lambda: obo.client("graph").get("/me").json())
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    with protected(app) as client:
        answer = client.get("/me", headers=bearer(world.token(name)))
    assert (answer.status_code, answer.json) == (418, {"ask for": ["User.Read", "Mail.Read"]})


def test_an_error_of_a_before_request_function_is_answered_too(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("before")
    obo.init_app(app, world.settings())

    @app.before_request
    def check() -> None:
        obo.context.require("orders.read")

    with protected(app) as client:
        assert client.get("/", headers=bearer(world.token())).status_code == 403


def test_an_error_of_a_credential_that_a_view_lets_through_is_answered(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("credential")
    obo.init_app(app, world.settings())
    app.add_url_rule("/", "index", lambda: obo.credential.get_token("https://graph.microsoft.com/User.Read").token[:0])
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    with protected(app) as client:
        answer = client.get("/", headers=bearer(world.token(name)))
    assert answer.status_code == 403
    assert answer.json["error"] == "insufficient_scope"


def test_in_debug_mode_the_answer_is_the_same(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("debug")
    app.debug = app.testing = True
    obo.init_app(app, world.settings())
    app.add_url_rule("/", "index", lambda: str(obo.client("nowhere")))
    with protected(app) as client:
        assert client.get("/", headers=bearer(world.token())).json == {"title": OboError.title, "status": 500}
