"""A proxy of bytes on loopback before a server: with TLS, slow, or silent; it counts what passes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import Self

from tests.shared.servers import PATIENCE


class Proxy:
    """Pass bytes on, each answer only after ``delay`` seconds, and none at all while ``silent``."""

    def __init__(self, target: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = target, tls
        self.delay = 0.0
        self.silent = False
        self.accepted = 0
        self.open = 0
        self.sent = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy", daemon=True)
        self._thread.start()
        assert self._started.wait(PATIENCE), "the proxy does not start"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def _main(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._told.wait()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.02)  # in which what was aborted is closed, handshakes under way too

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self.open -= 1
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(*self._target)
        try:
            there = asyncio.create_task(self._pass(reader, inner_writer, answers=False))
            back = asyncio.create_task(self._pass(inner_reader, writer, answers=True))
            try:
                await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (there, back):
                    task.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            for one in (writer, inner_writer):
                one.transport.abort()  # no farewell of TLS, for which the other side might make us wait

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await reader.read(65_536):
            if answers:
                await asyncio.sleep(self.delay)
                if self.silent:
                    continue
            else:
                self.sent += len(data)
            writer.write(data)
            await writer.drain()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
