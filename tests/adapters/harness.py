"""Serve the app through one adapter, send requests to it, and compare what comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self
from wsgiref.validate import validator

import httpx
from fastapi import FastAPI

from obo_middleware import Settings, asgi
from obo_middleware._runtime import Runtime
from tests.adapters.apps import asgi_app, fastapi_app, flask_app, wsgi_middleware
from tests.adapters.servers import Server, UvicornServer, WsgiServer
from tests.adapters.world import NO_TLS, PATIENCE, SECRET

KINDS = ("asgi", "fastapi", "wsgi", "flask")
DJANGO = ("django-wsgi", "django-asgi")
"""Two more, for the tests that test_django.py takes over from those of the four."""
# A signed token in any text; the claims of a challenge are base64 JSON too, but of one segment.
LEAK = re.compile(rf"eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}|{SECRET}|client_secret=|requested_token_use")


class Canary(logging.Handler):
    """A log handler that keeps every record in which a token or a secret can be read."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records = 0
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        text = f"{self.format(record)} {vars(record)!r}"
        if LEAK.search(text):
            self.leaks.append(f"{record.name}: {text[:500]}")


CLOSE = {"Connection": "close"}
"""Said with a request that fails in its handler: uvicorn hangs up a moment after the whole answer to it, and what is
asked on the same connection then may find it closed."""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def check_no_leak(response: httpx.Response) -> None:
    """Fail for a response in which a token or a secret can be read."""
    response.read()
    assert not LEAK.search(f"{response.headers.raw!r} {response.text}"), response.url.path


def wait_for_the_end_of(context: Any) -> None:
    """Wait until a request is over, which it is a moment after its client has the whole answer."""
    deadline = time.monotonic() + PATIENCE
    while not context._lease.ended:
        assert time.monotonic() < deadline, "the request does not end"
        time.sleep(0.001)


class Served:
    """An app served by a real server, and a client for it."""

    def __init__(self, kind: str, server: Server, close: Callable[[], None] = lambda: None, *, app: Any = None) -> None:
        self.kind = kind
        self._app = app
        self._server = server
        self._close = close
        self.host, self.port = server.address
        self.client = httpx.Client(
            base_url=f"http://{self.host}:{self.port}",
            event_hooks={"response": [check_no_leak]},
            timeout=30.0,
            trust_env=False,
            verify=NO_TLS,
        )

    @property
    def blocking(self) -> bool:
        return self.kind in ("wsgi", "flask", "django-wsgi")

    @property
    def runtime(self) -> Runtime:
        """What the app's middleware shares between its requests."""
        layer = self._app
        if isinstance(layer, FastAPI):
            layer = layer.middleware_stack
        while not isinstance(layer, (asgi.OnBehalfOfMiddleware, Runtime)):
            layer = layer.app
        return layer if isinstance(layer, Runtime) else layer._runtime

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        return self.client.get(path, headers={} if token is None else bearer(token))

    def raw(self, *lines: bytes, path: bytes = b"/whoami", method: bytes = b"GET") -> bytes:
        """Return the bytes of the answer to a request with these header lines."""
        head = [b"%b %b HTTP/1.1" % (method, path), b"Host: api.example", b"Connection: close", *lines]
        with socket.create_connection((self.host, self.port), timeout=20) as connection:
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    def crowd(self, requests: Sequence[tuple[str, str]]) -> list[Answer]:
        """Send requests, each a path and a token, all at once; return their answers in the same order."""
        return asyncio.run(_crowd(self.host, self.port, requests))

    def stop(self) -> None:
        self.client.close()
        self._server.stop()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


def serve(kind: str, settings: Settings, **options: Any) -> Served:
    """Serve the app through an adapter, by a server of this process."""
    if kind == "asgi":
        app: Any = asgi_app(settings)
        return Served(kind, UvicornServer(app, **({"http": "h11"} | options)), app=app)
    if kind == "fastapi":
        app = fastapi_app(settings)
        return Served(kind, UvicornServer(app, **options), app=app)
    if kind in DJANGO:
        return _serve_django(kind, settings)
    if kind == "wsgi":
        middleware = wsgi_middleware(settings)
        runtime = middleware.runtime
        return Served(kind, WsgiServer(validator(middleware)), runtime.close, app=runtime)
    app = flask_app(settings)
    runtime = app.extensions["obo_middleware"]
    return Served(kind, WsgiServer(app, werkzeugs=True), runtime.close, app=runtime)


def _serve_django(kind: str, settings: Settings) -> Served:
    from tests.adapters import django_project  # a project is configured once, and only where it is wanted

    if kind == "django-asgi":
        return Served(kind, UvicornServer(django_project.asgi_app(settings)))
    app, obo = django_project.wsgi_app(settings)
    return Served(kind, WsgiServer(app), obo.close)


@dataclass(frozen=True)
class Answer:
    """An answer read from a socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def parse_answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(body.split(b"\r\n")[1::2])
    return Answer(int(first.split()[1]), headers, body)


async def _crowd(host: str, port: int, requests: Iterable[tuple[str, str]]) -> list[Answer]:
    return await asyncio.gather(*(_ask(host, port, path, token) for path, token in requests))


async def _ask(host: str, port: int, path: str, token: str) -> Answer:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        answer = parse_answer(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()
    assert not LEAK.search(f"{answer}")
    return answer


class OnTheWire(Protocol):
    """An answer as a socket gave it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> dict[str, str]: ...

    def json(self) -> Any: ...


def check_problem(
    response: httpx.Response | OnTheWire,
    status: int,
    body: dict[str, Any],
    *,
    challenge: str | None = None,
    retry_after: str | None = None,
) -> None:
    """Check a whole answer of the middleware, header by header."""
    headers = response.headers
    given = response.status_code if isinstance(response, httpx.Response) else response.status
    assert (given, response.json()) == (status, body)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers.get("www-authenticate") == challenge
    assert headers.get("retry-after") == retry_after
