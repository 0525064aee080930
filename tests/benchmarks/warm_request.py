"""The processor time that the middleware adds to a warm request: no server, no network, no downstream call.

32 tasks stand for 32 connections, each with a user of its own. Runs of the bare app and of each subject take
turns; what is reported is the median of their differences.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jwt
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.testing import LocalEntra
from tests.benchmarks.measure import settled
from tests.benchmarks.stage import alive, inbound_token, provider, settings, signing_key
from tests.benchmarks.table import Row, micro

CONNECTIONS = 32
BUDGET = 25e-6
# As a browser behind a reverse proxy sends them, without the one that matters here.
_HEADERS = [
    (b"host", b"api.contoso.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"origin", b"https://app.contoso.example"),
    (b"referer", b"https://app.contoso.example/"),
    (b"sec-fetch-dest", b"empty"),
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-site", b"same-site"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"connection", b"keep-alive"),
]


class Added(NamedTuple):
    """Processor seconds for a request: of the bare app, and what a subject takes on top."""

    bare: float
    more: float


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def _app(*middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/hello", _hello)], middleware=list(middleware))


class _Lookup:
    """The floor: take the token from its header, look it up, check its end, hand its user on."""

    def __init__(self, app: ASGIApp, users: dict[bytes, tuple[float, object]]) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"authorization":
                    until, user = self._users[value[7:]]
                    assert time.time() < until
                    scope["state"]["user"] = user
        await self._app(scope, receive, send)


class _PyJwt:
    """A peer: PyJWT on every request, as most handwritten middleware does."""

    def __init__(self, app: ASGIApp, key: Any, audience: str, issuer: str) -> None:
        self._app = app
        self._key, self._audience, self._issuer = key, audience, issuer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = dict(scope["headers"])[b"authorization"][7:].decode()
            scope["state"]["user"] = jwt.decode(
                token, self._key, algorithms=["RS256"], audience=self._audience, issuer=self._issuer
            )
        await self._app(scope, receive, send)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    return None


def _scope(token: bytes) -> Scope:
    """Return what a server makes of a request: all of it new, the token's bytes too."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/hello",
        "raw_path": b"/hello",
        "query_string": b"",
        "root_path": "",
        "headers": [*_HEADERS, (b"authorization", b"Bearer " + token)],
        "client": ("203.0.113.7", 50_000),
        "server": ("127.0.0.1", 8_000),
        "state": {},
        "extensions": {},
    }


async def _connection(app: ASGIApp, token: bytes, requests: int) -> None:
    for _ in range(requests):
        await app(_scope(token), _receive, _send)
        await asyncio.sleep(0)


async def _load(app: ASGIApp, tokens: Sequence[bytes], requests: int) -> float:
    started = time.thread_time()
    await asyncio.gather(*(_connection(app, token, requests) for token in tokens))
    return (time.thread_time() - started) / (len(tokens) * requests)


async def added(bare: ASGIApp, subject: ASGIApp, tokens: Sequence[bytes], requests: int, rounds: int) -> Added:
    """Return what the subject adds to the bare app."""
    async with alive(subject):
        await _load(subject, tokens, 1)
        with settled():
            pairs = [
                (await _load(bare, tokens, requests), await _load(subject, tokens, requests)) for _ in range(rounds)
            ]
    return Added(statistics.median(a for a, _ in pairs), statistics.median(b - a for a, b in pairs))


def _subjects(entra: LocalEntra, tokens: Sequence[str]) -> dict[str, Starlette]:
    users: dict[bytes, tuple[float, object]] = {token.encode(): (2**40, object()) for token in tokens}
    key = signing_key(entra, tokens[0])
    return {
        "ours": _app(Middleware(OnBehalfOfMiddleware, settings=settings(entra))),
        "floor": _app(Middleware(_Lookup, users=users)),
        "PyJWT": _app(Middleware(_PyJwt, key=key, audience=entra.api.client_id, issuer=entra.issuer)),
    }


def run(*, quick: bool) -> list[Row]:
    """Measure, and return the row."""
    requests, rounds = (5, 2) if quick else (60, 25)
    with provider() as entra:
        tokens = [inbound_token(entra, f"user-{number}") for number in range(CONNECTIONS)]
        data, bare = [token.encode() for token in tokens], _app()
        found = {
            name: asyncio.run(added(bare, subject, data, requests, rounds))
            for name, subject in _subjects(entra, tokens).items()
        }
    ours = found["ours"]
    return [
        Row(
            what=f"CPU a warm request adds to a bare Starlette app ({micro(ours.bare)}), {CONNECTIONS} connections",
            ours=micro(ours.more),
            budget=f"<= {micro(BUDGET)}",
            floor=f"{micro(found['floor'].more)} (dict lookup of the token)",
            peers=f"PyJWT on each request {micro(found['PyJWT'].more)}",
            within=ours.more <= BUDGET,
        )
    ]
