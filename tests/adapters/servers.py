"""Real servers for apps: uvicorn, wsgiref and Werkzeug on threads of this process, gunicorn in one of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn
import werkzeug.serving

ROOT = Path(__file__).parents[2]


class Server(Protocol):
    """Something that serves an app at an address."""

    @property
    def address(self) -> tuple[str, int]: ...

    def stop(self) -> None: ...


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def main_loop(self) -> None:
        """Wait to be told to stop, where uvicorn looks ten times a second."""
        self.loop, self.told = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self.told.wait()

    def stop(self) -> None:
        if self.started:
            self.loop.call_soon_threadsafe(self.told.set)


class UvicornServer:
    """uvicorn on a thread; ``started`` is False where the app's start failed."""

    def __init__(
        self, app: Any, *, http: str = "httptools", lifespan: str = "auto", ws: Any = "none", root_path: str = ""
    ) -> None:
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=http,
            ws=ws,
            root_path=root_path,
            lifespan=lifespan,  # type: ignore[arg-type]  # the same
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,  # longer than the clients keep a connection, so that they never meet a closed one
            timeout_graceful_shutdown=5,
        )
        self._server = _Uvicorn(config)
        self._thread = threading.Thread(target=self._run, name="uvicorn", daemon=True)
        self._thread.start()
        self._server.ready.wait()

    def _run(self) -> None:
        try:
            self._server.run()
        except SystemExit:
            assert not self._server.started, "uvicorn exits so when the app's start has failed"
        finally:
            self._server.ready.set()

    @property
    def started(self) -> bool:
        return self._server.started

    @property
    def address(self) -> tuple[str, int]:
        bound: tuple[str, int] = self._server.servers[0].sockets[0].getsockname()
        return bound

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()


class _WsgirefServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = False
    request_queue_size = 256


class _SilentWsgiref(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class _SilentWerkzeug(werkzeug.serving.WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class WsgiServer:
    """A WSGI server on threads of this process, or on a single one: wsgiref's, or Werkzeug's for Flask."""

    def __init__(self, app: Any, *, werkzeugs: bool = False, threaded: bool = True) -> None:
        self._server: Any
        if werkzeugs:
            handler = _SilentWerkzeug
            self._server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=threaded, request_handler=handler)
        else:
            kind = _WsgirefServer if threaded else WSGIServer
            self._server = make_server("127.0.0.1", 0, app, kind, _SilentWsgiref)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="wsgi", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_port

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class GunicornServer:
    """gunicorn with threads in a process of its own; what it says goes to a file."""

    def __init__(
        self, app: str, output: Path, environment: dict[str, str], *options: str, workers: int = 1, threads: int = 20
    ) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address: tuple[str, int] = listener.getsockname()
        self._output = output
        command = [sys.executable, "-m", "gunicorn", app, "--bind", f"fd://{listener.fileno()}"]
        command += ["--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)]
        command += ["--log-level", "debug", "--graceful-timeout", "5", *options]
        with output.open("wb") as log, listener:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
