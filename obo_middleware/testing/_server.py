"""Run an ASGI application with uvicorn on a thread of its own, and stop it leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Coroutine
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

_GRACE = 2.0
_TICK = 0.01


class _Connections(set[Any]):
    """The open connections of a uvicorn server, which counts those it had since the last reset."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._counted: set[Any] = set()

    def add(self, connection: Any) -> None:
        self.count += 1
        self._counted.add(connection)
        super().add(connection)

    def discard(self, connection: Any) -> None:
        self._counted.discard(connection)
        super().discard(connection)

    def reset(self) -> None:
        self.count = 0
        self._counted.clear()

    def leave_out(self, connection: Any) -> None:
        if connection in self._counted:
            self.count -= 1
            self._counted.discard(connection)


class _Server(uvicorn.Server):
    """uvicorn, told to stop by an event and not by a flag it looks at ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepted = _Connections()
        self.server_state.connections = self.accepted
        self.ready = threading.Event()
        self.stopping = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    async def main_loop(self) -> None:
        self.ready.set()
        while not self.stopping.is_set():
            await self.on_tick(0)
            await _wait(self.stopping, 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, let requests end, then cut what is left.

        uvicorn would wait for the client of an idle TLS connection to say goodbye, which a client blocked
        in the same thread never does.
        """
        for server in self.servers:
            server.close()
        for connection in list(self.accepted):
            connection.shutdown()
        for _ in range(int(_GRACE / _TICK)):
            if not self.server_state.tasks:
                break
            await asyncio.sleep(_TICK)
        for connection in list(self.accepted):
            connection.transport.abort()
        await asyncio.sleep(_TICK)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _listen(host: str, port: int) -> socket.socket:
    """Bind a socket that says it is TCP: only then does asyncio switch Nagle's algorithm off.

    With it on, an answer sent in two parts waits 40 ms for the client's delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError):  # the second is Python's, for a number that is no port
        listener.close()
        raise
    listener.listen(2048)
    return listener


class BackgroundServer:
    """An ASGI application served over HTTP/1.1 with keep-alive from a daemon thread.

    Parameters: `host` and `port` (0: any free port), `tls` a server context or None, `name` of the thread.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, tls: ssl.SSLContext | None, name: str) -> None:
        self._app = app
        self._socket = _listen(host, port)
        self._name = name
        bound = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{bound}"
        self._config = uvicorn.Config(
            self._serve,
            log_config=None,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            ws="none",
            server_header=False,
            timeout_keep_alive=75,
        )
        self._config.load()
        self._config.ssl = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["local.server"] = self
        with contextlib.suppress(ClientDisconnect):  # a client may leave in the middle of what it sends
            await self._app(scope, receive, send)

    def start(self) -> None:
        """Serve, from a thread that has begun to listen when this returns."""
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name=self._name, daemon=True)
        self._thread.start()
        started.wait()
        self._running.ready.wait()

    def _run(self, started: threading.Event) -> None:
        asyncio.run(self._main(started))

    async def _main(self, started: threading.Event) -> None:
        self._server = _Server(self._config)
        started.set()
        await self._server.serve(sockets=[self._socket])

    @property
    def _running(self) -> _Server:
        if self._server is None:
            raise RuntimeError("the server has not been started")
        return self._server

    def stop(self) -> None:
        """Stop serving; return when thread and sockets are gone."""
        if self._thread is not None:
            self._running.loop.call_soon_threadsafe(self._running.stopping.set)
            self._thread.join()
        self._socket.close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the server's loop to its end."""
        asyncio.run_coroutine_threadsafe(work, self._running.loop).result()

    @property
    def connections(self) -> int:
        """Return how many connections were accepted since the start or the last reset."""
        return self._running.accepted.count

    def reset_connections(self) -> None:
        """Count connections from 0 again."""
        self._running.accepted.reset()

    def leave_out(self, scope: Scope) -> None:
        """Do not count the connection of a request: one by this package itself."""
        for connection in self._connections_of(scope):
            self._running.accepted.leave_out(connection)

    def _connections_of(self, scope: Scope) -> list[Any]:
        return [one for one in list(self._running.accepted) if one.client == scope["client"]]

    async def pause(self, seconds: float) -> None:
        """Wait, no longer than until the server stops."""
        if seconds > 0:
            await _wait(self._running.stopping, seconds)

    async def drop(self, scope: Scope, receive: Receive) -> None:
        """Cut the connection of a request without a word."""
        for connection in self._connections_of(scope):
            connection.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass
