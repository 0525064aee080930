"""A proxy of bytes on loopback before a server: with TLS, slow, or silent; it counts what passes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
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
        # Without a server of asyncio's, for which a handshake under way, or a connection just accepted, is nobody's
        # when it ends.
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            listener.setblocking(False)
            self.port: int = listener.getsockname()[1]
            self._loop.add_reader(listener, self._accept, listener)
            self._started.set()
            await self._told.wait()
            self._loop.remove_reader(listener)
        await asyncio.sleep(0)  # in which the task of whoever was just accepted begins
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            task = self._loop.create_task(self._admit(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _admit(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
            self.accepted += 1
            self.open += 1
            try:
                await self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))
            finally:
                transport.abort()  # no farewell of TLS, for which the other side might make us wait
                self.open -= 1

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
            inner_writer.transport.abort()

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
