"""Which servers serve which adapters, and one app behind one server: a site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.adapters.conftest import environment_of
from tests.adapters.servers import GunicornServer, Server, UvicornServer
from tests.adapters.wire.apps import MAKE, REACHED, close
from tests.adapters.wire.client import Answer, Wire, bearer, request
from tests.adapters.wire.servers import GranianProcess, GranianServer, HypercornServer, WaitressServer
from tests.adapters.wire.variants import VARIANTS
from tests.adapters.world import World

THREADS: dict[str, Callable[[Any], Server]] = {
    "h11": lambda app: UvicornServer(app, http="h11", ws="wsproto"),
    "httptools": lambda app: UvicornServer(app, http="httptools", ws="wsproto"),
    "hypercorn": HypercornServer,
    "granian": GranianServer,
    "waitress": WaitressServer,
}
"""Servers on threads of this process; h11 and httptools are uvicorn's."""
PROCESSES: dict[str, Callable[[str, Path, dict[str, str]], Any]] = {
    "gthread": lambda *given: GunicornServer(*given, threads=4),
    "sync": lambda *given: GunicornServer(*given, "--worker-class", "sync", threads=1),
    "granian": GranianProcess,
}
"""Servers in a process of their own, for WSGI; gthread and sync are gunicorn's."""

ASGI = [f"{server}-{kind}" for server in ("h11", "httptools", "hypercorn", "granian") for kind in ("asgi", "fastapi")]
WSGI = [f"{server}-{kind}" for server in ("gthread", "sync", "waitress", "granian") for kind in ("wsgi", "flask")]
MATRIX = [*ASGI, *WSGI]
"""Names of sites: a server and an adapter."""


@dataclass(frozen=True)
class Site:
    """An app behind a server."""

    server: str
    kind: str
    variant: str
    running: Server
    world: World

    @property
    def name(self) -> str:
        return f"{self.server}-{self.kind}"

    @property
    def lines(self) -> list[bytes]:
        """The header by which a server with several apps knows which one a request is for."""
        return [f"X-App: {self.kind}-{self.variant}".encode()]

    def connect(self) -> Wire:
        return Wire(self.running.address)

    def request(self, *lines: bytes, **given: Any) -> bytes:
        return request(*self.lines, *lines, **given)

    def say(self, *lines: bytes, method: str = "GET", **given: Any) -> Answer | None:
        """Return the one answer to one request, or None if the server hangs up on it."""
        with self.connect() as wire:
            wire.send(self.request(*lines, method=method, **given))
            answer = wire.answer(to=method)
            assert answer is None or wire.read(1) == b"", "more than one answer came"
        return answer

    def hear(self, *lines: bytes, **given: Any) -> Answer:
        """Return the answer to a request that no server hangs up on."""
        answer = self.say(*lines, **given)
        assert answer is not None
        return answer

    def user(self, token: str) -> str:
        """Return whom the app takes the bearer of a token for."""
        user: str = self.hear(bearer(token)).json()["user"]
        return user

    @property
    def reached(self) -> int:
        count: int = self.hear(path=REACHED.encode()).json()["reached"]
        return count

    @contextmanager
    def unreached(self, times: int = 0) -> Iterator[None]:
        """Check that the block's requests do not reach the app, or only so many."""
        before = self.reached
        yield
        assert self.reached - before == times, "the app was called"


class Farm:
    """Start each server when it is first asked for; stop all of them at the end."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder = world, folder
        self._running: dict[str, Server] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def site(self, name: str, variant: str) -> Site:
        server, kind = name.split("-")
        own_process = name in WSGI and server in PROCESSES
        key = server if own_process else f"{name}-{variant}"
        if key not in self._running:
            self._running[key] = self._process(server) if own_process else self.serve(THREADS[server], kind, variant)
        return Site(server, kind, variant, self._running[key], self._world)

    def serve(self, make: Callable[[Any], Server], kind: str, variant: str) -> Server:
        """Serve an app on a thread of this process."""
        app = MAKE[kind](self._world.settings(**VARIANTS[variant]))
        self._stack.callback(close, kind, app)
        running = make(app)
        self._stack.callback(running.stop)
        return running

    def _process(self, server: str) -> Server:
        environment = environment_of(self._world)
        running: Server = PROCESSES[server]("tests.adapters.wire.process_app:app", self._folder / server, environment)
        self._stack.callback(running.stop)
        if isinstance(running, GranianProcess):
            running.wait()
        return running
