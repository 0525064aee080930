"""The four clients that a handler can get, awaitable and blocking, of httpx and of httpx2, behind one face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import httpx2

from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware.testing import LocalEntra
from tests.core.hostile import Scripted
from tests.core.kit import World, api, settings_for

LIBRARIES: list[ModuleType] = [httpx, httpx2]
Change = Callable[[Any], object]


@dataclass
class Face(World):
    """An application with one API named ``api``, and one of the four ways to call it."""

    server: Scripted
    library: ModuleType
    blocking: bool

    def call(
        self,
        context: AsyncContext,
        url: str,
        method: str = "GET",
        *,
        change: Change | None = None,
        prepare: Change | None = None,
        as_app: bool = False,
        **options: Any,
    ) -> Any:
        """Send one request; ``prepare`` changes the client, ``change`` the request in an event hook."""
        if self.blocking:
            client = (context.blocking_app_client if as_app else context.blocking_client)("api")
            return self._prepared(client, change, prepare).request(method, url, **options)
        awaitable = (context.app_client if as_app else context.client)("api")
        return self.run(lambda: self._prepared(awaitable, change, prepare).request(method, url, **options))

    def _prepared(self, client: Any, change: Change | None, prepare: Change | None) -> Any:
        if prepare is not None:
            prepare(client)
        if change is not None:
            client.event_hooks = {"request": [change if self.blocking else _awaitable(change)]}
        return client

    def get(self, user: str = "alice", url: str = "/me", **options: Any) -> Any:
        return self.call(self.context(user), url, **options)

    @property
    def tokens(self) -> list[str]:
        """The bearer tokens that the API got."""
        return [asked.headers["authorization"].removeprefix("Bearer ") for asked in self.server.asked]

    def body(self, size: int) -> Any:
        """Return a body that can be read only once."""
        return _once(size) if self.blocking else _once_awaitable(size)


def _awaitable(change: Change) -> Any:
    async def hook(request: Any) -> None:
        change(request)

    return hook


def _once(size: int) -> Iterator[bytes]:
    yield b"x" * size


async def _once_awaitable(size: int) -> Any:
    yield b"x" * size


def make_face(entra: LocalEntra, server: Scripted, library: ModuleType, *, blocking: bool, **changes: Any) -> Face:
    given = {"http": library, "downstream_apis": {"api": api(server.url + "/v1")}}
    runtime = Runtime(settings_for(entra, **given | changes))
    return Face(entra, runtime, server, library, blocking)
