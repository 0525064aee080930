"""The apps of these attacks, the API that they may call, and a server of somebody else's that must get nothing."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest

from obo_middleware import DownstreamApi
from tests.adapters.attacks.handlers import WAYS, Way, desk, serve_way
from tests.adapters.world import GRAPH_SCOPES, World
from tests.core.hostile import Answer, Scripted

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Recorder:
    """Keep every byte that comes in, and answer all the same."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        self.received, self.connections = b"", 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever notices that this is no TLS hangs up."""


def _handler(recorder: Recorder) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            recorder.connections += 1
            head = b""
            while b"\r\n\r\n" not in head and (data := self.request.recv(65_536)):
                recorder.received += data
                head += data
            self.request.sendall(ANSWER)

    return Handler


@pytest.fixture(scope="session")
def shared_api() -> Iterator[Scripted]:
    with Scripted() as api:
        yield api


@pytest.fixture
def api(shared_api: Scripted) -> Scripted:
    """Give the API that handlers may call; it answers ``/v1/me`` until a test tells it otherwise."""
    shared_api.asked.clear()
    shared_api._answers.clear()
    shared_api.say("/v1/me", Answer(body=b'{"ok": true}'))
    return shared_api


@pytest.fixture(scope="session")
def shared_evil() -> Iterator[Recorder]:
    with Recorder() as evil:
        yield evil


@pytest.fixture
def evil(shared_evil: Recorder) -> Recorder:
    """Give a server of somebody else's."""
    shared_evil.forget()
    return shared_evil


@pytest.fixture(scope="session", params=WAYS)
def shared_way(request: pytest.FixtureRequest, shared_world: World, shared_api: Scripted) -> Iterator[Way]:
    urls = {"api": f"{shared_api.url}/v1", "real": "https://graph.microsoft.com/v1.0"}
    apis = {name: DownstreamApi(url, scopes=list(GRAPH_SCOPES), timeout=60) for name, url in urls.items()}
    graph = DownstreamApi(shared_world.graph.base_url, scopes=list(GRAPH_SCOPES), timeout=60)
    way = serve_way(request.param, shared_world.settings(downstream_apis={**apis, "graph": graph}))
    yield way
    way.served.stop()


@pytest.fixture
def way(shared_way: Way, world: World, api: Scripted, evil: Recorder) -> Way:
    """Give one adapter in one colour, whose handlers do what the test tells them."""
    desk.clear()
    return shared_way
