"""Stand-ins for whoever gives tokens: a provider, an endpoint of this machine, a tool; each fails when told to.

A stand-in that is *held* lets the next request wait, that one only, until it is let go.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import shlex
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from obo_middleware.testing import LocalEntra
from tests.credentials.developer_tools import Kind
from tests.credentials.helpers import Clock
from tests.credentials.servers import Exchange, Loopback
from tests.credentials.tools import Tool

LIFE = 3600
"""Seconds that each token lives; it is to be refreshed before it is ``AGED`` seconds old."""
AGED = 3400
GARBAGE = b"\x00\xff<html>{{garbage"
REFUSAL = {
    "error": "unauthorized_client",
    "error_description": "AADSTS700016: no such application.",
    "error_codes": [700016],
    "correlation_id": "the-correlation",
    "trace_id": "the-trace",
}


class StandIn(ABC):
    """Give tokens, count the requests, and fail when told to."""

    clock: Clock

    @property
    @abstractmethod
    def count(self) -> int:
        """The requests so far, or the runs."""

    @abstractmethod
    def recover(self) -> None:
        """Give tokens that are new by the clock."""

    @abstractmethod
    def fail(self) -> None:
        """Fail at each request."""

    @abstractmethod
    def be_gone(self) -> None:
        """Be there no longer: refuse connections, or do not start."""

    @abstractmethod
    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer each request so."""

    @abstractmethod
    def hold(self) -> None:
        """Let the next request wait."""

    @abstractmethod
    def wait_until_asked(self) -> None:
        """Return when the request that is held has come."""

    @abstractmethod
    def let_go(self) -> None:
        """Let the request that is held go on."""

    def talk_garbage(self) -> None:
        self.answer(200, {}, GARBAGE)

    def refuse(self) -> None:
        self.answer(401, {"Content-Type": "application/json"}, json.dumps(REFUSAL).encode())


class Door:
    """Hold one visitor up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._arrived, self._go = threading.Event(), threading.Event()

    def hold(self) -> None:
        self._closed = True

    def pass_through(self) -> None:
        with self._lock:
            first, self._closed = self._closed, False
        if first:
            self._arrived.set()
            assert self._go.wait(30), "never let go"

    def wait_until_asked(self) -> None:
        assert self._arrived.wait(30), "nobody came"

    def let_go(self) -> None:
        self._go.set()


class BehindADoor(StandIn):
    """Be held by a door."""

    def __init__(self) -> None:
        self.door = Door()

    def hold(self) -> None:
        self.door.hold()

    def wait_until_asked(self) -> None:
        self.door.wait_until_asked()

    def let_go(self) -> None:
        self.door.let_go()


class EntraStandIn(BehindADoor):
    """Be a local provider, in front of which is a door."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self._count = 0
        self.entra = LocalEntra(clock=self.clock, token_lifetime=LIFE, refresh_in=LIFE // 2)

    @contextmanager
    def serve(self) -> Iterator[None]:
        with self.entra:
            self._app: Any = self.entra.server._app
            self.entra.server._app = self._through_the_door
            try:
                yield
            finally:
                self.let_go()

    async def _through_the_door(self, *call: Any) -> None:
        self._count += 1
        await asyncio.to_thread(self.door.pass_through)
        await self._app(*call)

    @property
    def count(self) -> int:
        return self._count

    def recover(self) -> None:
        self.entra.forget_faults()

    def fail(self) -> None:
        self.entra.outage(503)

    def be_gone(self) -> None:
        self.entra.stop()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.entra.forget_faults()
        for _ in range(3):
            self.entra.answer_once(status, headers, body)


class EndpointStandIn(BehindADoor):
    """Be a token endpoint of this machine, behind a door."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self._answer: tuple[int, Mapping[str, str], bytes] | None = None
        self.server = Loopback(self._respond)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    @contextmanager
    def serve(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.let_go()
            self.be_gone()

    def _respond(self, exchange: Exchange) -> None:
        mine = self.count
        self.door.pass_through()
        status, headers, body = self._answer or (200, {}, self._token(mine))
        exchange.reply(status, body, **headers)

    def _token(self, number: int) -> bytes:
        end = int(self.clock()) + LIFE
        return f'{{"access_token":"token-{number}","expires_on":"{end}","token_type":"Bearer"}}'.encode()

    @property
    def count(self) -> int:
        return len(self.server.asked)

    def recover(self) -> None:
        self._answer = None

    def fail(self) -> None:
        self.answer(500, {}, b'{"error":{"code":"server_error","message":"no"}}')

    def be_gone(self) -> None:
        self.server.stop()
        self._thread.join(10)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._answer = (status, headers, body)


class ToolStandIn(StandIn):
    """Be a tool on the path; two named pipes are its door."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.clock = Clock()
        self.tool = Tool(folder, kind.program)
        self._kind, self._folder = kind, folder
        self._pipes: dict[str, int] = {}

    @contextmanager
    def serve(self) -> Iterator[None]:
        for name in ("asked", "go"):
            os.mkfifo(self._folder / name)
            # For both, so that neither side waits for the other to open it.
            self._pipes[name] = os.open(self._folder / name, os.O_RDWR)
        try:
            self.recover()
            yield
        finally:
            for pipe in self._pipes.values():
                os.close(pipe)

    @property
    def count(self) -> int:
        return len(self.tool.runs)

    def recover(self) -> None:
        self.tool.says(self._good())

    def _good(self) -> str:
        return self._kind.output("the-token", int(self.clock()) + LIFE)

    def fail(self) -> None:
        self.tool.says(errors="AADSTS90033: a transient error", status=1)

    def refuse(self) -> None:
        self.tool.says(errors=f"ERROR: {REFUSAL['error_description']}", status=1)

    def be_gone(self) -> None:
        self.tool.does("").path.write_bytes(b"\x7fno program")

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write the body, or with another status than 200 end with 1 and write it as an error."""
        path = self._folder / "answer"
        path.write_bytes(body)
        words = f"cat {shlex.quote(str(path))}"
        self.tool.does(f"{words}\n" if status == 200 else f"{words} >&2\nexit 1\n")

    def hold(self) -> None:
        asked, go, first = (shlex.quote(str(self._folder / name)) for name in ("asked", "go", "first"))
        door = f"if mkdir {first} 2>/dev/null; then echo >{asked}; read line <{go}; fi\n"
        self.tool.does(f"{door}printf %s {shlex.quote(self._good())}\n")

    def wait_until_asked(self) -> None:
        poll = select.poll()
        poll.register(self._pipes["asked"], select.POLLIN)
        assert poll.poll(30_000), "nobody came"

    def let_go(self) -> None:
        os.write(self._pipes["go"], b"\n")
