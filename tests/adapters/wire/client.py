"""Bytes to a server and bytes from it: what HTTP libraries would not send, and would not show."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from tests.adapters.world import PATIENCE

Pair = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """One answer as it stood on the wire."""

    status: int
    pairs: Sequence[Pair]
    body: bytes
    raw: bytes
    """The whole of it."""

    def values(self, name: str) -> list[str]:
        return [value for other, value in self.pairs if other == name]

    @property
    def headers(self) -> dict[str, str]:
        """The headers, each of which stands once."""
        headers = dict(self.pairs)
        assert len(headers) == len(self.pairs), self.pairs
        return headers

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def constant(self) -> bytes:
        """All of it but the lines that tell the time."""
        lines = self.raw.split(b"\r\n")
        return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


class Wire:
    """A connection to a server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, PATIENCE)
        self._file: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes; a server that hangs up meanwhile has perhaps answered before."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def answer(self, *, to: str = "GET") -> Answer | None:
        """Read one answer to a request of that method, or None if there is none more."""
        try:
            return self._answer(to)
        except ConnectionResetError:
            return None

    def read(self, size: int) -> bytes:
        """Read bytes, fewer only at the end of the connection, which a server may have cut off."""
        try:
            return self._file.read(size)
        except ConnectionResetError:
            return b""

    def _answer(self, method: str) -> Answer | None:
        first = self._file.readline()
        if not first:
            return None
        head = [first, *iter(self._file.readline, b"\r\n")]
        assert all(line.endswith(b"\r\n") for line in head), head
        pairs = [pair(line) for line in head[1:]]
        raw, status = b"".join(head) + b"\r\n", int(first.split()[1])
        body, read = (b"", b"") if method == "HEAD" or status in (101, 204, 304) else self._body(dict(pairs))
        return Answer(status, pairs, body, raw + read)

    def _body(self, headers: dict[str, str]) -> tuple[bytes, bytes]:
        if headers.get("transfer-encoding") == "chunked":
            chunks = list(self._chunks())
            return b"".join(chunks), b"\r\n".join(chunks)
        length = headers.get("content-length")
        body = self._file.read() if length is None else self._file.read(int(length))
        return body, body

    def _chunks(self) -> Iterable[bytes]:
        while True:
            size = int(self._file.readline(), 16)
            chunk = self._file.read(size + 2)[:-2]
            if not size:
                return
            yield chunk


def pair(line: bytes) -> Pair:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()


def request(
    *lines: bytes, method: str = "GET", path: bytes = b"/whoami", body: bytes = b"", last: bool = True
) -> bytes:
    """Return the bytes of a request; ``last`` asks for the end of the connection after it."""
    head = [b"%s %s HTTP/1.1" % (method.encode(), path), b"Host: api.example", *lines]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    if last:
        head.append(b"Connection: close")
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def bearer(token: str) -> bytes:
    return b"Authorization: Bearer " + token.encode("latin-1")
