"""What is WSGI's own: apps that are generators, closing, and environments with a context from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from obo_middleware import ConfigurationError
from obo_middleware._lease import _at_hand
from obo_middleware.errors import InsufficientScopeError, RefusedRequestError, RequestEndedError
from obo_middleware.wsgi import ENVIRON_KEY, OnBehalfOfMiddleware
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import NO_SCOPE, realm
from tests.adapters.servers import WsgiServer
from tests.adapters.world import World

Respond = Callable[..., Any]


def environment(token: str | None = None, **more: Any) -> dict[str, Any]:
    environ: dict[str, Any] = dict(more)
    setup_testing_defaults(environ)
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return environ


class Started:
    """A server's ``start_response`` that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.calls.append((status, exc_info is not None))


def protect(app: Any, world: World, **changes: Any) -> OnBehalfOfMiddleware:
    return OnBehalfOfMiddleware(app, settings=world.settings(**changes))


def generator(environ: dict[str, Any], start_response: Respond) -> Iterator[bytes]:
    environ[ENVIRON_KEY].require("orders.read")
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"orders"


def test_an_error_of_an_app_that_is_a_generator_is_answered(world: World) -> None:
    middleware = protect(generator, world)
    with Served("wsgi", WsgiServer(middleware), middleware.runtime.close) as served:
        challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
        refused = served.get("/", world.token())
        check_problem(refused, 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
        assert served.get("/", world.token(scopes=["orders.read"])).text == "orders"
        assert parse_answer(served.raw()).status == 401


def test_an_error_after_start_response_replaces_what_was_started(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        raise InsufficientScopeError("too little", scopes=["orders.read"])

    middleware, started = protect(app, world), Started()
    body = b"".join(middleware(environment(world.token()), started))
    assert started.calls == [("200 OK", False), ("403 Forbidden", True)]
    assert b"insufficient_scope" in body
    middleware.runtime.close()


def test_closing_the_answer_closes_the_apps_and_ends_the_request(world: World) -> None:
    closed: list[str] = []

    class Parts(list[bytes]):
        def close(self) -> None:
            closed.append("closed")
            raise OSError("a file that could not be closed")

    def app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Parts([b"a", b"b"])

    middleware = protect(app, world)
    environ = environment(world.token())
    answer: Any = middleware(environ, Started())
    client = environ[ENVIRON_KEY].client("graph")
    assert list(answer) == [b"a", b"b"]
    assert client.get("/me").status_code == 200, "the request lasts until its answer is closed"
    with pytest.raises(OSError, match="could not be closed"):
        answer.close()
    assert closed == ["closed"]
    with pytest.raises(RequestEndedError):
        client.get("/me")
    middleware.runtime.close()


def streaming(environ: dict[str, Any], start_response: Respond) -> Iterator[bytes]:
    """Ask the API for each part."""
    start_response("200 OK", [])
    client = environ[ENVIRON_KEY].client("graph")
    while True:
        yield client.get("/me").json()["id"].encode()


@pytest.mark.attack(172, 173)
def test_answers_whose_parts_are_asked_for_by_turns_in_one_thread_are_each_their_own_users(world: World) -> None:
    middleware = protect(streaming, world)
    answers: list[Any] = [middleware(environment(world.token(name)), Started()) for name in ("alice", "bob")]
    parts = [iter(answer) for answer in answers]
    for _ in range(3):
        assert [next(part).decode() for part in parts] == [world.object_id("alice"), world.object_id("bob")]
    answers[0].close()
    assert list(parts[0]) == []
    assert next(parts[1]).decode() == world.object_id("bob")
    middleware.runtime.close()


@pytest.mark.attack(172)
def test_no_part_of_an_answer_uses_another_requests_client(world: World) -> None:
    lent: list[Any] = []

    class Borrowing(list[bytes]):
        def close(self) -> None:
            lent[0].get("/me")

    def app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        lent.append(environ[ENVIRON_KEY].client("graph"))
        start_response("200 OK", [])
        return (client.get("/me").content for client in lent[:1]) if environ["PATH_INFO"] == "/parts" else Borrowing()

    middleware = protect(app, world)
    middleware(environment(world.token("alice")), Started())
    answers: list[Any] = [
        middleware(environment(world.token("bob"), PATH_INFO=path), Started()) for path in ("/parts", "/")
    ]
    assert b"".join(answers[0]) == b'{"title": "Internal Server Error", "status": 500}'
    with pytest.raises(RefusedRequestError):
        answers[1].close()
    assert lent[0].get("/me").status_code == 200, "outside of all requests it works on"
    middleware.runtime.close()


@pytest.mark.attack(173)
def test_an_answer_that_is_closed_in_another_thread_leaves_nothing_at_hand(world: World) -> None:
    middleware, before = protect(streaming, world), _at_hand.get()
    answer: Any = middleware(environment(world.token()), Started())
    next(iter(answer))
    thread = threading.Thread(target=answer.close, daemon=True)
    thread.start()
    thread.join()
    assert _at_hand.get() is before
    middleware.runtime.close()


def test_a_context_that_a_server_or_an_outer_app_left_behind_is_not_believed(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        raise AssertionError("must not be called")

    environ = environment(**{ENVIRON_KEY: "somebody"})
    assert b"A bearer token is required" in b"".join(protect(app, world)(environ, Started()))
    assert ENVIRON_KEY not in environ


@pytest.mark.attack(16)
def test_the_path_is_the_whole_one_with_the_mount_point(world: World) -> None:
    def app(environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"in"]

    def status(script: str, path: str) -> str:
        started = Started()
        answer: Any = protect(app, world, public_paths=["/health"])(
            environment(SCRIPT_NAME=script, PATH_INFO=path), started
        )
        list(answer)
        getattr(answer, "close", lambda: None)()
        return started.calls[0][0]

    assert status("", "/health") == "200 OK"
    assert status("/mounted", "/health") == "401 Unauthorized"
    assert status("/health", "") == "200 OK"
    assert status("/health", "/../admin") == "401 Unauthorized"


def test_settings_of_another_kind_are_refused_when_the_app_is_made() -> None:
    settings: Any = {"tenant_id": "x"}
    with pytest.raises(ConfigurationError, match="settings is a dict"):
        OnBehalfOfMiddleware(generator, settings=settings)
