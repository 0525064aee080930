"""What a context does for apps whose framework, or whose background work, needs more than a client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import flask
import pytest

import obo_middleware as application
from credentials import InteractionRequiredError
from obo_middleware import ConfigurationError, wsgi
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware.asgi import App, OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.errors import InsufficientScopeError, OboError, RequestEndedError
from obo_middleware.flask import OnBehalfOf
from tests.adapters import actions
from tests.adapters.by_hand import Exchange, living
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, bearer, wait_for_the_end_of
from tests.adapters.outcomes import NO_SCOPE
from tests.adapters.world import World

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def traces(world: World) -> list[str | None]:
    """Return the traces that the calls of the downstream API belonged to."""
    return [one.headers.get("traceparent") for one in world.graph.requests]


def test_the_trace_of_a_request_goes_on_with_its_calls(adapter: Served, world: World) -> None:
    for path in ("/me", "/users"):
        given = bearer(world.token("alice")) | {"traceparent": TRACE}
        assert adapter.client.get(path, headers=given).status_code == 200
    assert traces(world) == [TRACE, TRACE]
    assert all("traceparent" not in request.headers for request in world.entra.token_requests)


@pytest.mark.attack(170)
@pytest.mark.parametrize("value", ["c4n4ry", TRACE + "-c4n4ry", TRACE.upper()])
def test_what_is_no_trace_does_not(adapter: Served, world: World, value: str) -> None:
    given = bearer(world.token("alice")) | {"traceparent": value, "tracestate": "a=c4n4ry", "baggage": "b=c4n4ry"}
    assert adapter.client.get("/me", headers=given).status_code == 200
    assert traces(world) == [None]


@pytest.mark.attack(172)
def test_nothing_is_detached_from_a_real_request_that_is_over(start: Start, world: World) -> None:
    for kind in ("asgi", "wsgi"):
        assert start(kind).get("/keep", world.token("alice")).status_code == 200
        context, _client, _credential = actions.kept[-3:]
        wait_for_the_end_of(context)
        with pytest.raises(RequestEndedError):
            context.detach()


def test_background_work_of_an_asgi_app_goes_on(world: World) -> None:
    calls: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        context = scope["state"]["obo"]

        async def work(mine: Any) -> None:
            await over.wait()
            with mine:
                calls.append((await mine.client("graph").get("/me")).json()["id"])

        tasks.append(asyncio.create_task(work(context.detach())))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def main() -> None:
        protected = OnBehalfOfMiddleware(app, settings=world.settings())
        async with living(protected):
            await Exchange(protected, "/", world.token("alice")).run()
            over.set()
            await asyncio.gather(*tasks)

    tasks: list[asyncio.Task[None]] = []
    over = asyncio.Event()
    asyncio.run(main())
    assert calls == [world.object_id("alice")]


def test_background_work_of_a_flask_app_goes_on(world: World) -> None:
    obo, app, calls, over = OnBehalfOf(), flask.Flask("background"), list[str](), threading.Event()
    obo.init_app(app, world.settings())
    threads: list[threading.Thread] = []

    @app.post("/work")
    def begin() -> Any:
        mine = obo.context.detach()

        def work() -> None:
            over.wait(20)
            with mine:
                calls.append(mine.client("graph").get("/me").json()["id"])

        threads.append(threading.Thread(target=work))
        threads[0].start()
        return "", 204

    with app.test_client() as client:
        assert client.post("/work", headers=bearer(world.token("alice"))).status_code == 204
    over.set()
    threads[0].join()
    app.extensions["obo_middleware"].close()
    assert calls == [world.object_id("alice")]


def swallowing(scope: Scope) -> Any:
    """Be a framework that answers every error itself."""
    context = scope["state"]["obo"]
    try:
        context.require("orders.read")
    except InsufficientScopeError as error:
        context.answer_with(error)


async def _swallows(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    swallowing(scope)
    if scope["path"] != "/late":
        await send({"type": "http.response.start", "status": 500, "headers": [(b"x-framework", b"1")]})
    await send({"type": "http.response.body", "body": b"the framework's own"})


def said(world: World, path: str, app: App = _swallows) -> list[Any]:
    async def main() -> list[Any]:
        protected = OnBehalfOfMiddleware(app, settings=world.settings())
        exchange = Exchange(protected, path, world.token("alice"))
        await exchange.run()
        await protected._runtime.aclose()
        return exchange.sent

    return asyncio.run(main())


def test_an_app_that_answers_its_errors_itself_can_have_the_middleware_answer(world: World) -> None:
    start, body = said(world, "/")
    assert start["status"] == 403
    names = [name for name, _ in start["headers"]]
    assert b"www-authenticate" in names
    assert b"x-framework" not in names
    assert b"insufficient_scope" in body["body"]


async def _answers(scope: Scope, receive: Receive, send: Send) -> None:
    with scope["state"]["obo"].answering() as context:
        if scope["path"] == "/credentials":
            raise InteractionRequiredError("a text for the log")
        context.require("orders.read")


@pytest.mark.parametrize(("path", "status"), [("/", 403), ("/credentials", 403)])
def test_an_error_that_leaves_an_answering_block_is_the_answer(world: World, path: str, status: int) -> None:
    start, body = said(world, path, _answers)
    assert start["status"] == status
    assert b"for the log" not in body["body"]


def test_what_leaves_an_answering_block_says_what_clients_may_read(world: World) -> None:
    context = AsyncContext(Runtime(world.settings()), None)
    with pytest.raises(OboError, match="The access token does not grant"), context.answering():
        raise InsufficientScopeError("a text for the log")
    assert isinstance(context.refusal, InsufficientScopeError)
    with pytest.raises(OboError, match="More is needed to call"), context.answering():
        raise InteractionRequiredError("a text for the log")
    with pytest.raises(RuntimeError, match="a bug"), context.answering():
        raise RuntimeError("a bug")


def test_an_answer_that_has_begun_stays_as_it_is(world: World) -> None:
    start, body = said(world, "/late")
    assert (start["status"], body["body"]) == (200, b"the framework's own")


def test_the_answer_to_an_error_can_be_had(world: World) -> None:
    replies: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        context = environ[wsgi.ENVIRON_KEY]
        reply = context.answer_to(InsufficientScopeError("no", scopes=["orders.read"]))
        replies.append(context.answer_to(RuntimeError("a secret text")))
        start_response(f"{reply.status} Said by the app", list(reply.headers))
        return [reply.body]

    middleware = wsgi.OnBehalfOfMiddleware(app, settings=world.settings())
    with flask.Flask("none").test_client() as client:
        client.application.wsgi_app = middleware  # type: ignore[method-assign]  # any WSGI app
        response = client.get("/", headers=bearer(world.token("alice")))
    middleware.runtime.close()
    assert (response.status_code, response.json) == (403, NO_SCOPE | {"scope": "orders.read"})
    assert replies[0].status == 500
    assert b"secret" not in replies[0].body


def test_an_application_calls_as_itself_in_no_request(world: World) -> None:
    blocking, awaitable = application.OnBehalfOf(world.settings()), application.OnBehalfOf(world.settings())
    with blocking:
        found = blocking.blocking_app_client("graph").get("/users").json()["value"]

    async def main() -> Any:
        async with awaitable:
            return (await awaitable.app_client("graph").get("/users")).json()["value"]

    assert found == asyncio.run(main())
    assert {one["id"] for one in found} <= {user.object_id for user in world.entra.users.values()}
    assert traces(world) == [None, None]
    with pytest.raises(ConfigurationError, match="has no API 'nowhere'"):
        blocking.blocking_app_client("nowhere")


def test_flask_calls_as_the_application_in_no_request_too(world: World) -> None:
    obo, app = OnBehalfOf(), flask.Flask("commands")
    obo.init_app(app, world.settings())

    @app.cli.command("count")
    def count() -> None:
        print(len(obo.app_client("graph").get("/users").json()["value"]))

    result = app.test_cli_runner().invoke(args=["count"])
    app.extensions["obo_middleware"].close()
    assert result.exit_code == 0
    assert int(result.output) > 1
