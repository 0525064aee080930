"""The connections of one process to a store, and how long a caller waits for them.

Rules of this file:

1. Blocking connections are one process's, awaitable ones one event loop's; a forked child makes its own.
2. A wait that is given up closes its connection: nobody may read an answer that was meant for somebody else.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from obo_middleware._redis_clients import Address, all_of, awaitable_client, blocking_client, nodes_of
from obo_middleware._redis_commands import Command

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for what no request waits for."""
_SLICES = 5
_AT_ONCE = 64
"""Awaitable operations under way at once, and so connections, of one event loop."""
_BATCH = 1_000


class Connections:
    """Make clients when they are needed, and close them together."""

    def __init__(self, address: Address, options: Mapping[str, Any]) -> None:
        self._address = address
        self._options = options
        self.begin()

    def begin(self) -> None:
        """Start anew, in a process that has no connection yet."""
        self._lock = threading.Lock()
        self._clients: dict[float, Any] = {}
        self._homes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, asyncio.Semaphore]]
        self._homes = weakref.WeakKeyDictionary()

    def client(self, seconds: float = PATIENCE) -> Any:
        """Return the blocking client each of whose waits is at most so many seconds."""
        client = self._clients.get(seconds)
        if client is None:
            made = blocking_client(self._address, self._options, seconds)
            with self._lock:
                client = self._clients.setdefault(seconds, made)
        return client

    def run(self, commands: Sequence[Command], seconds: float) -> Any:
        """Send commands one after the other, blocking, and return the first one's reply."""
        client = self.client(seconds)
        first, *_ = [client.execute_command(*command) for command in commands]
        return first

    async def run_async(self, commands: Sequence[Command], seconds: float, check: Callable[[], None]) -> Any:
        """Send commands one after the other and return the first one's reply.

        ``check`` is called once there is a connection to send by, and may raise. To wait for one is part of the wait.
        """
        client, slots = self._home()

        async def sent() -> Any:
            async with slots:
                check()
                return await _replies(client, commands)

        return await patiently(sent(), seconds)

    def delete_matching(self, pattern: str) -> None:
        """Delete all keys of a pattern, however many."""
        client = self.client()
        batch: list[Any] = []
        for key in client.scan_iter(match=pattern, count=_BATCH):
            batch.append(key)
            if len(batch) >= _BATCH:
                _delete(client, batch)
                batch.clear()
        _delete(client, batch)

    def close(self) -> None:
        """Close the blocking connections."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            for one in all_of(client):
                one.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        import asyncio

        home = self._homes.pop(asyncio.get_running_loop(), None)
        if home is not None:
            for one in all_of(home[0]):
                await one.aclose()
            for node in nodes_of(home[0]):
                await node.disconnect()  # which a cluster's client leaves open after an error

    def _home(self) -> tuple[Any, asyncio.Semaphore]:
        import asyncio  # late, since the start of an app should not wait for it

        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            client = awaitable_client(self._address, self._options)
            home = self._homes[loop] = (client, asyncio.Semaphore(_AT_ONCE))
        return home


async def _replies(client: Any, commands: Sequence[Command]) -> Any:
    # A cluster's client that is used at once by many before it knows its nodes loses connections; others do nothing.
    await client.initialize()
    first, *_ = [await client.execute_command(*command) for command in commands]
    return first


def _delete(client: Any, keys: Sequence[Any]) -> None:
    pipeline = client.pipeline(transaction=False)  # key by key: in a cluster they are in many places
    for key in keys:
        pipeline.unlink(key)
    pipeline.execute()


async def patiently(work: Awaitable[T], seconds: float) -> T:
    """Wait for work, but not longer than so many seconds of a loop that has time; raises ``TimeoutError``.

    A loop that is late finds its timers expired together with the answer. Each slice counts once, however late it ends,
    and the answer goes first, so that a busy process does not take its own slowness for the store's.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    ticks: list[asyncio.TimerHandle] = []

    def tick() -> None:
        if len(ticks) < _SLICES:
            ticks.append(loop.call_later(seconds / _SLICES, tick))
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        tick()
        try:
            return await work
        finally:
            ticks[-1].cancel()
