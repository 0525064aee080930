"""Servers beside those of ``tests.adapters.servers``: hypercorn, granian and waitress, on threads or in a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import granian.constants
import granian.server.embed
import hypercorn.asyncio
import hypercorn.config
import waitress.server
from waitress import wasyncore

from tests.adapters.servers import ROOT
from tests.adapters.world import PATIENCE


class _Loop:
    """A thread with an event loop, in which a server runs until it is told to stop."""

    def __init__(self, name: str) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self.serve()

    async def serve(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()


class HypercornServer(_Loop):
    """hypercorn on a thread; it takes connections from the start, and answers once the app's start is over."""

    def __init__(self, app: Any, *, root_path: str = "") -> None:
        self._app = app
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._config = hypercorn.config.Config()
        self._config.bind = [f"fd://{self._listener.detach()}"]
        self._config.root_path = root_path
        self._config.errorlog = None
        super().__init__("hypercorn")

    async def serve(self) -> None:
        await hypercorn.asyncio.serve(self._app, self._config, shutdown_trigger=self._told.wait, mode="asgi")


def reserved() -> socket.socket:
    """Return a socket that holds a free port, at which a server that shares ports may listen."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def wait_until_open(address: tuple[str, int], tries: int = 2_000) -> None:
    """Wait until something listens at an address."""
    pause = threading.Event()
    while tries:
        try:
            socket.create_connection(address, PATIENCE).close()
        except ConnectionRefusedError:
            pause.wait(0.01)
            tries -= 1
        else:
            return
    raise TimeoutError(f"nobody listens at {address}")


class GranianServer(_Loop):
    """granian's embedded server, on a thread."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._holder = reserved()
        self.address: tuple[str, int] = self._holder.getsockname()
        super().__init__("granian")
        wait_until_open(self.address)

    async def serve(self) -> None:
        server: Any = granian.server.embed.Server(
            self._app,
            port=self.address[1],
            interface=granian.constants.Interfaces.ASGI,
            log_enabled=False,
        )
        served = asyncio.ensure_future(server.serve())
        await self._told.wait()
        server.stop()
        await served

    def stop(self) -> None:
        super().stop()
        self._holder.close()


class GranianProcess:
    """granian for WSGI, which runs in processes only; what it says goes to a file."""

    def __init__(self, app: str, output: Path, environment: dict[str, str]) -> None:
        self._output = output
        self._holder = reserved()
        self.address: tuple[str, int] = self._holder.getsockname()
        command = [sys.executable, "-m", "granian", app, "--interface", "wsgi", "--port", str(self.address[1])]
        command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "debug", "--access-log"]
        with output.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
            )
        self.ready = threading.Event()

    def wait(self) -> None:
        """Wait until it listens, which it does once it has imported the app."""
        wait_until_open(self.address)

    @property
    def said(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._holder.close()


class WaitressServer:
    """waitress, whose loop runs on a thread."""

    def __init__(self, app: Any) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listener.getsockname()
        self._map: dict[int, Any] = {}
        self._server: Any = waitress.server.create_server(app, map=self._map, sockets=[listener], threads=4)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="waitress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            wasyncore.loop(timeout=PATIENCE, map=self._map, count=1)

    def stop(self) -> None:
        self._stopped = True
        self._server.pull_trigger()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._map)
