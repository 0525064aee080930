"""An app behind uvicorn whose requests end where a test sees it, and an API behind it whose answer never ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse

from obo_middleware.asgi import Message, OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.errors import RequestEndedError
from tests.adapters.harness import Served, bearer
from tests.adapters.servers import UvicornServer
from tests.adapters.world import NO_TLS, PATIENCE, Tally, World


class Site(Served):
    """An app behind uvicorn that counts the requests and WebSockets which are over, with all that belonged to them."""

    def __init__(self, app: Any) -> None:
        self.over = Tally()

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                if scope["type"] != "lifespan":
                    self.over.add()

        super().__init__("fastapi", UvicornServer(counting, ws="wsproto"))

    @contextmanager
    def stream(self, path: str, token: str) -> Iterator[httpx.Response]:
        """Ask for an answer in parts, on a connection of its own; leave at the end of the block."""
        address = f"http://{self.host}:{self.port}{path}"
        client = httpx.Client(verify=NO_TLS, trust_env=False, timeout=PATIENCE)
        with client, client.stream("GET", address, headers=bearer(token)) as response:
            yield response


def serve(app: FastAPI | Starlette, world: World, **changes: Any) -> Site:
    app.add_middleware(OnBehalfOfMiddleware, settings=world.settings(**changes))
    return Site(app)


async def name_of(client: Any) -> str:
    return str((await client.get("/me")).raise_for_status().json()["id"])


def blocking_name_of(client: Any) -> str:
    return str(client.get("/me").raise_for_status().json()["id"])


def refuses(client: Any) -> bool:
    """Tell whether a client refuses, because its request is over."""
    with pytest.raises(RequestEndedError):
        blocking_name_of(client) if isinstance(client, httpx.Client) else asyncio.run(name_of(client))
    return True


def fastapis_task(work: Callable[[Any], Any], client: Any) -> Any:
    tasks = BackgroundTasks()
    tasks.add_task(work, client)
    return JSONResponse("accepted", background=tasks)


def starlettes_task(work: Callable[[Any], Any], client: Any) -> Any:
    return JSONResponse("accepted", background=BackgroundTask(work, client))


TASKS = (fastapis_task, starlettes_task)


class Endless:
    """An API whose answer never ends, and that knows when its client has left."""

    def __init__(self, *, floods: bool) -> None:
        self._floods = floods
        self.left = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        part: Message = {"type": "http.response.body", "body": b"begin" * 1000, "more_body": True}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(part)
        leaving = asyncio.ensure_future(self._leaving(receive))
        while self._floods and not leaving.done():
            await send(part)
            await asyncio.sleep(0)
        await leaving
        self.left.set()

    async def _leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
