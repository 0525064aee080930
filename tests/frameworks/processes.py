"""The servers that people run, each in a process of its own with an app from a page; what it says goes to a file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from example_apps.local import ROOT
from tests.adapters.conftest import environment_of
from tests.adapters.wire.servers import reserved, wait_until_open
from tests.adapters.world import PATIENCE, World

Command = Callable[[str, int, int], list[str]]
"""Makes a command of an app's name, the number of a listening socket, and a port."""

_UVICORN_WORKERS = ["--worker-class", "uvicorn_worker.UvicornWorker"]
_GTHREAD = ["--worker-class", "gthread", "--threads", "8"]


def _gunicorn(*options: str) -> Command:
    return lambda app, listener, _port: [
        *("gunicorn", app, "--bind", f"fd://{listener}", "--graceful-timeout", "5", "--no-control-socket", *options)
    ]


ASGI: dict[str, Command] = {
    "uvicorn": lambda app, listener, _port: ["uvicorn", app, "--fd", str(listener), "--timeout-graceful-shutdown", "5"],
    "hypercorn": lambda app, listener, _port: [
        "hypercorn",
        app,
        "--bind",
        f"fd://{listener}",
        "--graceful-timeout",
        "5",
    ],
    "granian": lambda app, _listener, port: ["granian", app, "--interface", "asgi", "--port", str(port)],
    "gunicorn with uvicorn workers": _gunicorn(*_UVICORN_WORKERS),
}
WSGI: dict[str, Command] = {
    "gunicorn sync": _gunicorn("--workers", "2"),
    "gunicorn gthread": _gunicorn(*_GTHREAD),
    "gunicorn preload": _gunicorn(*_GTHREAD, "--preload", "--workers", "2"),
    "waitress": lambda app, listener, _port: ["tests.frameworks.waitress_main", app, str(listener)],
}

_WATCHED = {"PYTHONWARNINGS": "default::ResourceWarning", "PYTHONASYNCIODEBUG": "1"}
"""Of Python's development mode what tells of things left open and of calls from wrong threads; the rest is slow."""
# What Python says when something was left open or left undone, whoever left it.
_LEFT = re.compile(r"ResourceWarning|Task was destroyed|was never (?:awaited|retrieved)|Exception ignored|^Traceback")


class Process:
    """A server with an app, which tells of what is left open; give it the folder with ``app.py``."""

    def __init__(
        self, command: Command, app: str, folder: Path, world: World, variables: Mapping[str, str] | None = None
    ) -> None:
        self._output = folder / "output"
        self._holder = reserved()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        words = command(app, self._listener.fileno(), self._holder.getsockname()[1])
        given = environment_of(world) | {"GRAPH_BASE_URL": world.graph.base_url, **_WATCHED}
        given |= {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))} | dict(variables or {})
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=folder,
                env={**os.environ, **given},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[self._listener.fileno()],
            )
        # granian shares a port and not a socket.
        by_port = str(self._holder.getsockname()[1]) in words
        self.address: tuple[str, int] = (self._holder if by_port else self._listener).getsockname()
        if by_port:
            wait_until_open(self.address)

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def left(self) -> list[str]:
        """The lines that tell of something left open or undone, but for the socket at which the server listens."""
        lines = (line for line in self.said.splitlines() if _LEFT.search(line))
        return [line for line in lines if f"laddr={self.address}" not in line and "Enable tracemalloc" not in line]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to stop, if it has not yet, and return how it ended; kill it if it does not."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.close()
            self._holder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
