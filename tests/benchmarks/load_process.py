"""A load generator that costs little: connections that are kept, one request at a time on each, for some seconds.

Says how many requests were answered in a second, how long half of them and 99 of 100 took at most (seconds), and how
many were answered in all.
"""

from __future__ import annotations

import asyncio
import functools
import time

from tests.benchmarks.measure import percentile
from tests.benchmarks.processes import options, say

_REQUEST = (
    "GET /me HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: load/1.0\r\naccept: application/json\r\n"
    "accept-encoding: gzip, deflate\r\nauthorization: Bearer {token}\r\n\r\n"
)
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_CHUNKED = b"\r\ntransfer-encoding: chunked"


class _Client(asyncio.Protocol):
    """One connection: sends its request again as soon as it is answered, and notes when that was."""

    def __init__(self, token: str) -> None:
        self.answered = asyncio.Event()
        self.ending = False
        self._request = _REQUEST.format(token=token).encode()
        self._read = b""
        self._started = 0.0
        self.answers: list[tuple[float, float]] = []
        self.failure = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(_END)
        if not end or not _whole(head.lower(), body):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.failure = self._read.decode(errors="replace")
        now = time.perf_counter()
        self.answers.append((now, now - self._started))
        self._read = b""
        self.answered.set()
        if self.ending:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ending:
            self.failure = self.failure or f"the connection was lost: {error}"
        self.answered.set()

    async def end(self) -> None:
        """Take the last answer, so that the app has nothing left to do when the next round begins."""
        self.ending = True
        self.answered.clear()
        if not self.failure:
            await self.answered.wait()


def _whole(head: bytes, body: bytes) -> bool:
    """Return whether all of an answer has come: as many bytes as it says, or its last chunk (RFC 9112, section 7.1)."""
    if _CHUNKED in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    at = head.index(_LENGTH) + len(_LENGTH)
    return len(body) >= int(head[at:].split(b"\r\n", 1)[0])


async def main() -> None:
    """Warm up, load, and say what came of it."""
    given = options()
    loop = asyncio.get_running_loop()
    clients = []
    for token in given["tokens"]:
        _, client = await loop.create_connection(functools.partial(_Client, token), "127.0.0.1", given["port"])
        clients.append(client)
    for client in clients:
        await client.answered.wait()
    started = time.perf_counter()
    await asyncio.sleep(given["seconds"])
    elapsed = time.perf_counter() - started
    await asyncio.gather(*(client.end() for client in clients))
    times = [took for client in clients for at, took in client.answers if started < at <= started + elapsed]
    say(
        rate=len(times) / elapsed,
        answered=sum(len(client.answers) for client in clients),
        p50=percentile(times, 0.5) if times else elapsed,
        p99=percentile(times, 0.99) if times else elapsed,
        failure=next((client.failure for client in clients if client.failure), ""),
    )


if __name__ == "__main__":
    asyncio.run(main())
