"""What is ASGI's own: WebSocket handshakes, lifespan, unknown scopes, groups of errors."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from obo_middleware import ConfigurationError, OboError, _validation
from obo_middleware.asgi import OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.errors import InsufficientScopeError
from tests.adapters.apps import asgi_app, fastapi_app, plain_asgi
from tests.adapters.by_hand import Exchange, living
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import DOWN, INVALID, MALFORMED, NO_SCOPE, invalid, realm
from tests.adapters.servers import UvicornServer
from tests.adapters.world import World
from tests.marks import showing

DENIAL = "websocket.http.response"


class SocketApp:
    """An app of WebSockets that remembers if it was called."""

    def __init__(self, *, reads_first: bool = False, needs: str = "access_as_user") -> None:
        self.calls = 0
        self._reads_first, self._needs = reads_first, needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await plain_asgi(scope, receive, send)
            return
        self.calls += 1
        if self._reads_first:
            await receive()
        context = scope["state"]["obo"]
        context.require(self._needs)
        await send({"type": "websocket.accept"})
        profile = (await context.client("graph").get("/me")).json()
        await send({"type": "websocket.send", "text": json.dumps(profile)})
        context.require("orders.read")


def shake_hands(
    world: World, app: SocketApp, token: str | None, *extensions: str, **changes: Any
) -> tuple[Exchange, OboError | None]:
    """Open a WebSocket at an app behind the middleware; return it, and the error that came through."""

    async def run() -> tuple[Exchange, OboError | None]:
        protected = OnBehalfOfMiddleware(app, settings=world.settings(**changes))
        opened = Exchange(protected, "/socket", token, kind="websocket", extensions=extensions)
        async with living(protected):
            try:
                await opened.run()
            except OboError as error:
                return opened, error
        return opened, None

    return asyncio.run(run())


@pytest.mark.parametrize("token", [*showing(18, None), *showing(22, "an-opaque-token")])
def test_a_handshake_without_a_valid_token_is_refused_before_it_is_accepted(world: World, token: str | None) -> None:
    app = SocketApp()
    refused, error = shake_hands(world, app, token)
    assert refused.sent == [{"type": "websocket.close", "code": 1008}]
    assert (app.calls, error) == (0, None)


@pytest.mark.attack(22)
def test_a_server_that_can_deny_a_handshake_gets_the_whole_answer(world: World) -> None:
    app = SocketApp()
    refused, _ = shake_hands(world, app, "an-opaque-token", DENIAL)
    assert refused.types == [f"{DENIAL}.start", f"{DENIAL}.body"]
    assert (refused.status, refused.json()) == (401, INVALID)
    assert refused.headers["www-authenticate"] == invalid(world)
    assert app.calls == 0


def test_a_handshake_with_a_token_opens_with_the_users_context(world: World) -> None:
    opened, error = shake_hands(world, SocketApp(), world.token("alice", scopes=["access_as_user", "orders.read"]))
    assert error is None
    assert opened.types == ["websocket.accept", "websocket.send"]
    assert json.loads(opened.sent[1]["text"])["id"] == world.object_id("alice")


def test_an_error_after_the_handshake_is_the_servers(world: World) -> None:
    opened, error = shake_hands(world, SocketApp(), world.token())
    assert opened.types == ["websocket.accept", "websocket.send"]
    assert type(error).__name__ == "InsufficientScopeError"


@pytest.mark.parametrize("reads_first", [False, True])
def test_an_error_that_an_app_lets_through_before_it_accepts_refuses_the_handshake(
    world: World, reads_first: bool
) -> None:
    app = SocketApp(reads_first=reads_first, needs="orders.read")
    refused, error = shake_hands(world, app, world.token(), DENIAL)
    assert error is None
    assert (refused.status, refused.json()) == (403, NO_SCOPE | {"scope": "orders.read"})


def test_a_handshake_without_a_token_may_pass_where_none_is_required(world: World) -> None:
    app = SocketApp()
    refused, _ = shake_hands(world, app, None, required=False)
    assert app.calls == 1
    assert refused.types == ["websocket.close"]


@pytest.mark.attack(21)
def test_an_unknown_kind_of_scope_passes_without_a_user(world: World) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    protected: Any = OnBehalfOfMiddleware(app, settings=world.settings())
    scope = {"type": "telepathy", "headers": [(b"authorization", f"Bearer {world.token()}".encode())]}
    asyncio.run(protected(dict(scope), None, None))
    assert seen == [scope]


# Lifespan


@pytest.mark.attack(21)
def test_metadata_and_keys_are_there_before_the_first_request(world: World) -> None:
    for make in (asgi_app, fastapi_app):
        world.entra.reset_counts()
        with Served("asgi", UvicornServer(make(world.settings()))) as served:
            counts = [world.entra.requests_to(name) for name in ("metadata", "jwks")]
            assert counts == [2, 2], "one for each token version"
            assert served.get("/whoami", world.token()).status_code == 200
            assert [world.entra.requests_to(name) for name in ("metadata", "jwks")] == counts


@pytest.mark.attack(108)
def test_a_provider_that_is_down_at_the_start_does_not_stop_the_app(
    world: World, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    world.entra.outage(endpoints=("metadata",))
    served = start("fastapi")
    assert "the provider is not available at start" in caplog.text
    token = world.token()
    check_problem(served.get("/whoami", token), 503, DOWN, retry_after="5")
    assert served.get("/public").status_code == 200
    world.entra.forget_faults()
    world.clock.advance(6)
    assert served.get("/whoami", token).status_code == 200


@pytest.mark.attack(112)
@pytest.mark.parametrize("make", [asgi_app, fastapi_app])
def test_a_wrong_issuer_stops_the_app_at_the_start(make: Any, world: World, caplog: pytest.LogCaptureFixture) -> None:
    keys = f"{world.entra.authority}/keys"
    document = {"issuer": "https://issuer.example/v2.0", "jwks_uri": keys}
    world.entra.answer_once(body=json.dumps(document).encode(), endpoint="metadata")
    server = UvicornServer(make(world.settings()))
    started = server.started
    server.stop()
    assert not started
    assert "the authority's issuer 'https://issuer.example/v2.0' is not that of tenant_id" in caplog.text


@pytest.mark.attack(112)
def test_a_wrong_issuer_is_said_to_the_server_in_its_own_terms(world: World) -> None:
    world.entra.answer_once(body=b'{"issuer": "x", "jwks_uri": "y"}', endpoint="metadata")

    async def run() -> None:
        async with living(asgi_app(world.settings())) as said:
            assert [message["type"] for message in said] == ["lifespan.startup.failed"]
            assert "check both settings" in said[0]["message"]

    with pytest.raises(ConfigurationError):
        asyncio.run(run())


def test_the_end_of_the_app_closes_its_connections(world: World) -> None:
    before = sockets_to(world)
    with Served("fastapi", UvicornServer(fastapi_app(world.settings()))) as served:
        token = world.token()
        for path in ("/me", "/blocking-me", "/users", "/blocking-users"):
            assert served.get(path, token).status_code == 200
        assert len(sockets_to(world) - before) == 3, "awaitable: provider and downstream; blocking: downstream"
    assert not sockets_to(world) - before


def test_a_start_that_fails_closes_the_connections_of_the_warm_up(world: World) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the app's own reason"})

    async def run() -> None:
        async with living(OnBehalfOfMiddleware(fails, settings=world.settings())) as said:
            assert said[0]["message"] == "the app's own reason"
            assert not sockets_to(world) - before

    before = sockets_to(world)
    asyncio.run(run())
    assert world.entra.requests_to("metadata") == 2


def sockets_to(world: World) -> set[str]:
    """Return this process's sockets whose other end is the provider or the downstream API, in Linux's own table."""
    ports = (urllib.parse.urlsplit(url).port or 0 for url in (world.entra.authority, world.graph.base_url))
    ends = {f"0100007F:{port:04X}" for port in ports}
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    table = {f"socket:[{row[9]}]" for row in rows if row[2] in ends}
    mine = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return table & mine


@pytest.mark.attack(6)
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_both_parsers_of_uvicorn_show_the_middleware_a_doubled_header(world: World, http: str) -> None:
    with Served("asgi", UvicornServer(asgi_app(world.settings()), http=http)) as served:
        line = f"Authorization: Bearer {world.token()}".encode()
        for lines in ((line, line), (b"Authorization: Basic YTpi", line), (line, b"AUTHORIZATION: Basic YTpi")):
            answer = parse_answer(served.raw(*lines))
            check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')
        assert parse_answer(served.raw(line)).status == 200


@pytest.mark.attack(189)
def test_a_bug_in_validation_lets_nobody_in(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_claims: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(_validation, "check_shape", fail)
    app = SocketApp()

    async def run() -> Exchange:
        protected = OnBehalfOfMiddleware(app, settings=world.settings())
        one = Exchange(protected, "/", world.token())
        async with living(protected):
            await one.run()
        return one

    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(run())
    assert (answer.status, answer.json(), app.calls) == (500, {"title": "Internal Server Error", "status": 500}, 0)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("nested", [False, True])
def test_an_error_in_a_group_of_errors_is_answered(world: World, nested: bool) -> None:
    errors: list[Exception] = [InsufficientScopeError("one", scopes=["orders.read"]), InsufficientScopeError("two")]
    group = ExceptionGroup("a task group's", [ExceptionGroup("inner", errors), errors[1]] if nested else errors)
    answer = asyncio.run(raising(world, group))
    assert (answer.status, answer.json()) == (403, NO_SCOPE | {"scope": "orders.read"})


def test_a_group_with_an_error_of_another_kind_is_left_to_the_framework(world: World) -> None:
    group = ExceptionGroup("a task group's", [InsufficientScopeError("one"), ZeroDivisionError()])
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(raising(world, group))
    assert caught.value is group


async def raising(world: World, error: Exception) -> Exchange:
    """Send a request to an app that raises the error; return it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise error
        await plain_asgi(scope, receive, send)

    protected = OnBehalfOfMiddleware(app, settings=world.settings())
    one = Exchange(protected, "/", world.token())
    async with living(protected):
        await one.run()
    return one
