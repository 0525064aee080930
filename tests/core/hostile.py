"""A tiny HTTP server on loopback that says whatever a test wants, down to single bytes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One answer; with ``drip`` its body comes one byte at a time, that many seconds apart."""

    status: int = 200
    body: bytes = b"{}"
    headers: Iterable[tuple[str, str]] = ()
    drip: float = 0.0


Say = Callable[[Asked], Answer]


class Scripted:
    """Answer each path as told, and 404 elsewhere."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._answers: dict[str, Say] = {}
        self._stopping = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def say(self, path: str, answer: Say | Answer | Mapping[str, Any]) -> None:
        """Answer a path so from now on."""
        if isinstance(answer, Answer | Mapping):
            fixed = answer if isinstance(answer, Answer) else Answer(body=json.dumps(answer).encode())
            self._answers[path] = lambda _asked: fixed
        else:
            self._answers[path] = answer

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        chunked = "chunked" in handler.headers.get("transfer-encoding", "")
        body = _chunks(handler) if chunked else handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, body)
        self.asked.append(asked)
        say: Say = self._answers.get(handler.path.partition("?")[0], lambda _asked: Answer(404))
        self._write(handler, say(asked))

    def _write(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        if not answer.drip:
            handler.wfile.write(answer.body)
            return
        for byte in answer.body:
            if self._stopping.wait(answer.drip):
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()


def _chunks(handler: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while True:
        size = int(handler.rfile.readline(), 16)
        body += handler.rfile.read(size)
        handler.rfile.readline()
        if not size:
            return body


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, script: Scripted) -> None:
        self._script = script
        super().__init__(("127.0.0.1", 0), _handler(script))

    def get_request(self) -> tuple[Any, Any]:
        connection = super().get_request()
        self._script.connections += 1
        return connection

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests hang up early."""


def _handler(script: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _reply(self) -> None:
            script.reply(self)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _reply  # noqa: N815  # names that the library asks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    return Handler
