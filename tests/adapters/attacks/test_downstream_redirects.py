"""Redirects, hooks, transports and `auth=`: nothing brings a token to another origin, and nobody replaces it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from obo_middleware import DownstreamApi
from obo_middleware.errors import RefusedRequestError, WrongOriginError
from obo_middleware.testing._tls import ThrowAwayCa
from tests.adapters.attacks.conftest import Recorder
from tests.adapters.attacks.handlers import WAYS, Call, ClientOf, Context, Deed, Sent, Way, desk, said_by, serve_way
from tests.adapters.harness import check_problem
from tests.adapters.outcomes import OURS
from tests.adapters.world import World
from tests.core.hostile import Answer, Scripted
from tests.marks import showing

FOLLOW = {"follow_redirects": True}


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status, b"", [("Location", to)])


def check_refused(way: Way, world: World, deed: Deed, kind: type[Exception]) -> None:
    desk.errors.clear()
    check_problem(way.do(deed, world.token("alice")), 500, OURS)
    assert [type(error) for error in desk.errors] == [kind]


@pytest.mark.attack(162)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_like_any_other(
    way: Way, world: World, api: Scripted, evil: Recorder, status: int
) -> None:
    api.say("/v1/move", redirect(f"{evil.url}/v1/me", status))
    answer = way.do(Call("/move"), world.token("alice")).json()
    assert answer == {"status": status, "body": "", "location": f"{evil.url}/v1/me"}
    assert (api.paths, evil.connections) == (["/v1/move"], 0)


# Each leads away from the base path of the API, which is http://127.0.0.1:{own}/v1.
TARGETS = (
    *("http://127.0.0.1:{evil}/v1/me", "//127.0.0.1:{evil}/v1/me", "http://localhost:{evil}/v1/me"),
    *("http://127.0.0.1:{own}@127.0.0.1:{evil}/v1/me", "http://127.0.0.1:{own}\\@127.0.0.1:{evil}/v1/me"),
    "https://127.0.0.1:{own}/v1/me",
)
ABOVE = ("/admin", "../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin", "/v1/%252e%252e/admin")


def follow(
    way: Way, world: World, api: Scripted, evil: Recorder, *, to: str, change: Callable[[Any], object] | None = None
) -> None:
    """Have a handler follow a redirect, and check that it is not followed."""
    api.asked.clear()
    api.say("/v1/move", redirect(to.format(own=api.url.rpartition(":")[2], evil=evil.port)))
    check_refused(way, world, Call("/move", hook=change, options=FOLLOW), WrongOriginError)
    assert (api.paths, evil.connections) == (["/v1/move"], 0)


@pytest.mark.parametrize(
    "targets", [*showing([161, 163], [*TARGETS]), *showing([163, 168], [*ABOVE])], ids=["away", "above"]
)
def test_a_redirect_is_not_followed_out_of_the_api(
    way: Way, world: World, api: Scripted, evil: Recorder, targets: list[str]
) -> None:
    for to in targets:
        follow(way, world, api, evil, to=to)


class Reinserting:
    """A hook that puts the token back on the request of a redirect, from where the HTTP library had taken it."""

    def __init__(self) -> None:
        self.kept = ""

    def __call__(self, request: httpx.Request) -> None:
        self.kept = request.headers.get("authorization", self.kept)
        assert self.kept.startswith("Bearer ")
        request.headers["authorization"] = self.kept


@pytest.mark.attack(163)
def test_a_hook_that_puts_the_token_on_the_redirects_request_does_not_help_it(
    way: Way, world: World, api: Scripted, evil: Recorder
) -> None:
    follow(way, world, api, evil, to=TARGETS[0], change=Reinserting())


@pytest.mark.attack(163)
def test_a_redirect_within_the_api_is_followed_with_the_token(way: Way, world: World, api: Scripted) -> None:
    api.say("/v1/move", redirect("/v1/me"))
    assert way.do(Call("/move", options=FOLLOW), world.token("alice")).json()["status"] == 200
    first, second = api.asked
    assert first.headers["authorization"] == second.headers["authorization"]


class WithOwnClient:
    """Give the injected client's ``auth`` to a client of the handler's own, over a transport mounted there.

    That one follows the API's redirect to somebody else, or goes there at once.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def awaitable(self, context: Any) -> Any:
        mounts = {"all://": httpx.AsyncHTTPTransport(verify=_NOBODY)}
        own = httpx.AsyncClient(auth=context.client("api").auth, mounts=mounts, **_OWN)
        async with own:
            return said_by(await own.get(self._url))

    def blocking(self, context: Context, client: ClientOf) -> Any:
        mounts = {"all://": httpx.HTTPTransport(verify=_NOBODY)}
        with httpx.Client(auth=client("api").auth, mounts=mounts, **_OWN) as own:
            return said_by(own.get(self._url))


_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_OWN: dict[str, Any] = {"follow_redirects": True, "verify": _NOBODY, "trust_env": False}


@pytest.mark.attack(163)
def test_the_clients_auth_gives_no_token_to_another_origin_by_whatever_client_and_transport(
    way: Way, world: World, api: Scripted, evil: Recorder
) -> None:
    check_refused(way, world, WithOwnClient(f"{evil.url}/v1/me"), WrongOriginError)
    assert evil.connections == 0
    api.say("/v1/move", redirect(f"{evil.url}/v1/me"))
    assert way.do(WithOwnClient(f"{api.url}/v1/move"), world.token("alice")).json()["status"] == 200
    assert evil.connections == 1, "the handler's own client goes where it likes"
    assert b"authorization" not in evil.received.lower()
    assert b"eyJ" not in evil.received


# The token of the client is the only one


def _hooked(change: Callable[[httpx.Headers], object]) -> Callable[[], Deed]:
    return lambda: Call(hook=lambda request: change(request.headers))


REPLACED: dict[str, Callable[[], Deed]] = {
    "header": lambda: Call(options={"headers": {"Authorization": "Bearer mine"}}),
    "header in other case": lambda: Call(options={"headers": {"aUTHORIZATION": "Bearer mine"}}),
    "empty header": lambda: Call(options={"headers": {"Authorization": ""}}),
    "header of the client": lambda: Call(prepare=lambda one: one.headers.update({"Authorization": "Bearer mine"})),
    "header of a request": lambda: Sent(lambda one: one.build_request("GET", "/me", headers={"Authorization": "x"})),
    "header in a hook": _hooked(lambda headers: headers.update({"Authorization": "Bearer mine"})),
    "header taken away": _hooked(lambda headers: headers.pop("Authorization")),
    "auth": lambda: Call(options={"auth": ("user", "password")}),
    "auth None": lambda: Call(options={"auth": None}),
    "auth function": lambda: Call(options={"auth": lambda request: request}),
    "auth of httpx": lambda: Call(options={"auth": httpx.DigestAuth("user", "password")}),
    "auth of the client": lambda: Call(prepare=lambda one: setattr(one, "auth", ("user", "password"))),
    "auth of the client None": lambda: Call(prepare=lambda one: setattr(one, "auth", None)),
    "auth of a sent request": lambda: Sent(lambda one: one.build_request("GET", "/me"), options={"auth": None}),
}


@pytest.mark.attack(169)
def test_a_handler_cannot_replace_the_token(way: Way, world: World, api: Scripted) -> None:
    assert way.do(Call(), world.token("alice")).json()["status"] == 200
    for make in REPLACED.values():
        check_refused(way, world, make(), RefusedRequestError)
    assert len(api.asked) == 1


# From https to http


@contextmanager
def over_tls(ca: ThrowAwayCa) -> Iterator[Scripted]:
    """Serve an API over TLS."""
    api = Scripted()
    api._server.socket = ca.server_context().wrap_socket(api._server.socket, server_side=True)
    with api:
        yield api


@pytest.fixture(scope="module")
def ca() -> Iterator[ThrowAwayCa]:
    made = ThrowAwayCa("127.0.0.1")
    yield made
    made.remove()


@pytest.mark.attack(164)
@pytest.mark.parametrize("name", WAYS)
def test_no_token_leaves_tls(name: str, world: World, ca: ThrowAwayCa, evil: Recorder) -> None:
    desk.clear()
    with over_tls(ca) as api:
        port = api.url.rpartition(":")[2]
        there = DownstreamApi(f"https://127.0.0.1:{port}/v1", scopes=["User.Read"])
        way = serve_way(name, world.settings(downstream_apis={"api": there}, ssl_context=ca.client_context()))
        try:
            api.say("/v1/me", Answer())
            assert way.do(Call(), world.token("alice")).json()["status"] == 200
            for to in (f"http://127.0.0.1:{port}/v1/me", f"http://127.0.0.1:{evil.port}/v1/me", "http://127.0.0.1/v1"):
                check_refused(way, world, Call(to), WrongOriginError)
                api.say("/v1/move", redirect(to))
                check_refused(way, world, Call("/move", options=FOLLOW), WrongOriginError)
        finally:
            way.served.stop()
        assert api.paths == ["/v1/me", *["/v1/move"] * 3]
        assert evil.connections == 0
