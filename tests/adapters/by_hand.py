"""An ASGI connection driven by hand: for what a server of this machine does not do, or not when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from obo_middleware.asgi import Message, Scope


class Exchange:
    """One HTTP request or WebSocket handshake; what the app sends is in ``sent``."""

    def __init__(
        self, app: Any, path: str, token: str | None = None, *, kind: str = "http", extensions: Iterable[str] = ()
    ) -> None:
        self._app = app
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self.scope: Scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
            "extensions": {name: {} for name in extensions},
            "state": {},
        }
        first = {"type": "http.request", "body": b""} if kind == "http" else {"type": "websocket.connect"}
        self._incoming: list[Message] = [first]
        self.sent: list[Message] = []

    async def _receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # the client says no more

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def begin(self) -> asyncio.Task[None]:
        """Run the app in a task."""
        return asyncio.get_running_loop().create_task(self.run())

    async def run(self) -> None:
        async with asyncio.timeout(20):
            await self._app(self.scope, self._receive, self._send)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    def json(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))


@asynccontextmanager
async def living(app: Any) -> AsyncIterator[list[Message]]:
    """Start an app as a server does, and shut it down at the end; what it says is in the list."""
    said: list[Message] = []
    events: asyncio.Queue[Message] = asyncio.Queue()
    started = asyncio.Event()

    async def send(message: Message) -> None:
        said.append(message)
        started.set()

    task = asyncio.get_running_loop().create_task(app({"type": "lifespan", "state": {}}, events.get, send))
    task.add_done_callback(lambda _: started.set())
    await events.put({"type": "lifespan.startup"})
    await started.wait()
    try:
        yield said
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await task
