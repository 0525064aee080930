"""Loopback servers that say what a test tells them to, byte for byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request that a server got; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets, and the second would wait 40 ms
    server: Loopback

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.command, self.path, headers, body))
        self.server.respond(self)

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815  # the names that the base class looks for

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Answer at once; `_` in the names of headers stands for `-`."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Send byte by byte, slowly, until the client or the test has had enough."""
        self.close_connection = True
        try:
            for position in range(len(data)):
                if self.server.stopping.wait(0.05):
                    return
                self.wfile.write(data[position : position + 1])
        except OSError:
            return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class Loopback(ThreadingHTTPServer):
    """An HTTP server on a free port of this machine; `respond` answers each request."""

    daemon_threads = True
    request_queue_size = 256  # a crowd that finds no room knocks again after a second only

    def __init__(self, respond: Callable[[Exchange], None], context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.respond = respond
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._open: list[socket.socket] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests hang up whenever they like."""

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.server_close()


@contextmanager
def loopback(respond: Callable[[Exchange], None], context: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve while the block runs."""
    server = Loopback(respond, context)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)


@contextmanager
def closed_port() -> Iterator[str]:
    """Give the URL of a port on which nobody listens: bound, so that nobody else takes it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"
