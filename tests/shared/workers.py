"""Four workers of uvicorn and four of gunicorn in processes of their own, and crowds of clients for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.adapters.conftest import environment_of
from tests.adapters.servers import ROOT, GunicornServer
from tests.adapters.world import PATIENCE, World

WORKERS = 4
Address = tuple[str, int]


class UvicornWorkers:
    """uvicorn with several workers; what they say goes to a file."""

    def __init__(self, app: str, output: Path, environment: dict[str, str]) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
        self.address: Address = listener.getsockname()
        command = [sys.executable, "-m", "uvicorn", app, "--fd", str(listener.fileno()), "--workers", str(WORKERS)]
        command += ["--no-access-log", "--timeout-graceful-shutdown", "1"]
        with output.open("wb") as log, listener:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
            )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Ask:
    """One request: where to, for what, and with whose token."""

    address: Address
    path: str
    token: str = ""


class Workers:
    """Four workers of each server over one provider and one store."""

    def __init__(
        self,
        world: World,
        store: str,
        folder: Path,
        *,
        lead_seconds: float,
        kinds: Sequence[str] = ("uvicorn", "gunicorn"),
        **variables: str,
    ) -> None:
        given = {"SHARED_GRAPH": world.graph.base_url, "SHARED_STORE": store, "SHARED_LEAD_SECONDS": str(lead_seconds)}
        environment = {**environment_of(world), **given, **variables}
        self._servers = [_serve(kind, folder / kind, environment) for kind in kinds]

    @property
    def addresses(self) -> list[Address]:
        return [server.address for server in self._servers]

    def wait(self) -> None:
        """Wait until all of them answer."""
        seen: set[int] = set()
        pause = threading.Event()
        for _ in range(600):
            seen |= {said["pid"] for said in crowd([Ask(address, "/pid") for address in self.addresses] * 8)}
            if len(seen) >= len(self._servers) * WORKERS:
                return
            pause.wait(0.1)
        raise TimeoutError(f"only {len(seen)} workers answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self._servers:
            server.stop()


def _serve(kind: str, output: Path, environment: dict[str, str]) -> UvicornWorkers | GunicornServer:
    if kind == "uvicorn":
        return UvicornWorkers("tests.shared.worker_app:in_asgi", output, environment)
    options = ("--backlog", "2048")
    return GunicornServer("tests.shared.worker_app:in_wsgi", output, environment, *options, workers=WORKERS)


def crowd(asks: Sequence[Ask], *, at_once: int = 400) -> list[dict[str, Any]]:
    """Send requests, so many at a time, and return what is answered, in the same order.

    A request whose connection breaks off is sent again, as clients do whose server's worker was killed.
    """
    return asyncio.run(_crowd(asks, at_once))


async def _crowd(asks: Iterable[Ask], at_once: int) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(at_once)

    async def one(ask: Ask) -> dict[str, Any]:
        async with slots:
            for _ in range(200):
                answer = await _answer(ask)
                if answer is not None:
                    return answer
                await asyncio.sleep(0.05)
            raise TimeoutError("nobody answers")

    return await asyncio.gather(*(one(ask) for ask in asks))


async def _answer(ask: Ask) -> dict[str, Any] | None:
    authorization = f"Authorization: Bearer {ask.token}\r\n" if ask.token else ""
    head = f"GET {ask.path} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n{authorization}\r\n"
    try:
        reader, writer = await asyncio.open_connection(*ask.address)
        try:
            writer.write(head.encode())
            answer = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    except OSError:
        return None
    first, _, rest = answer.partition(b"\r\n")
    if not rest:
        return None
    body = rest.partition(b"\r\n\r\n")[2]
    assert b" 200 " in first, answer
    said: dict[str, Any] = json.loads(body)
    return said
