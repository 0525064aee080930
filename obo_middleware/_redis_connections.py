"""The connections of one process to a store, and how long a caller waits for them.

Rules of this file:

1. Blocking connections are one process's, awaitable ones one event loop's; a forked child makes its own.
2. A wait that is given up closes its connection: nobody may read an answer that was meant for somebody else. redis-py's
   connections see to that themselves, whatever ends the sending of a command or the reading of its reply.
3. A command goes by a connection of the client's pool where it has one, and not through the client, whose bookkeeping
   takes as long as all that is done here with the entry. Replies are as the server gives them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from obo_middleware._redis_clients import Address, all_of, awaitable_client, blocking_client, nodes_of, pool_of
from obo_middleware._redis_commands import Command

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for what no request waits for."""
_TICKS = 10
"""How many a wait lasts: so it ends a tenth early at most, for it begins between two of them."""
_AT_ONCE = 64
"""Awaitable operations under way at once, and so connections, of one event loop."""
_BATCH = 1_000


class _Home(NamedTuple):
    """What one event loop has."""

    client: Any
    pool: Any
    """None for a cluster's client, which loses connections if it is used at once by many before it knows its nodes."""
    slots: asyncio.Semaphore
    patience: Patience


class Connections:
    """Make clients when they are needed, and close them together."""

    def __init__(self, address: Address, options: Mapping[str, Any], wait: float) -> None:
        self._address = address
        self._options = options
        self._wait = wait
        self.begin()

    def begin(self) -> None:
        """Start anew, in a process that has no connection yet."""
        self._lock = threading.Lock()
        self._clients: dict[float, Any] = {}
        self._homes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Home]
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
        first, *_ = [_reply(client, command) for command in commands]
        return first

    def run_async(self, command: Command, check: Callable[[], None]) -> Awaitable[Any]:
        """Send a command and return its reply, within the seconds of ``wait``.

        ``check`` is called once there is a connection to send by, and may raise. To wait for one is part of the wait.
        """
        home = self._home()
        return home.patience.wait(_reply_async(home, command, check))

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
            for one in all_of(home.client):
                await one.aclose()
            for node in nodes_of(home.client):
                await node.disconnect()  # which a cluster's client leaves open after an error

    def _home(self) -> _Home:
        import asyncio  # late, since the start of an app should not wait for it

        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            client = awaitable_client(self._address, self._options)
            home = _Home(client, pool_of(client), asyncio.Semaphore(_AT_ONCE), Patience(self._wait))
            self._homes[loop] = home
        return home


def _reply(client: Any, command: Command) -> Any:
    pool = pool_of(client)
    if pool is None:
        return client.execute_command(*command)
    connection = pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response()
    finally:
        pool.release(connection)


async def _reply_async(home: _Home, command: Command, check: Callable[[], None]) -> Any:
    async with home.slots:
        check()
        if home.pool is None:
            await home.client.initialize()
            return await home.client.execute_command(*command)
        connection = await home.pool.get_connection()
        try:
            await connection.send_command(*command)
            return await connection.read_response()
        finally:
            await home.pool.release(connection)


def _delete(client: Any, keys: Sequence[Any]) -> None:
    pipeline = client.pipeline(transaction=False)  # key by key: in a cluster they are in many places
    for key in keys:
        pipeline.unlink(key)
    pipeline.execute()


class Patience:
    """Bound the waits on one event loop: each to so many seconds of a loop that has time.

    A loop that is late finds its timers expired together with the answer. So a clock ticks for all waits while there
    are any, each tick counts once, however late it comes, and the answer goes first: a busy process does not take its
    own slowness for the store's. One timer for all costs a wait less than one of its own.
    """

    def __init__(self, seconds: float) -> None:
        self._tick_seconds = seconds / (_TICKS + 1)
        self._waits: dict[asyncio.Timeout, int] = {}
        self._ticking = False
        self._due = 0.0

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for work; raises ``TimeoutError``."""
        import asyncio

        async with asyncio.timeout(None) as limit:
            self._waits[limit] = 0
            if not self._ticking:
                loop = asyncio.get_running_loop()
                self._ticking, self._due = True, loop.time()
                self._tick_next(loop)
            try:
                return await work
            finally:
                del self._waits[limit]

    def _tick(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        for limit, ticks in self._waits.items():
            self._waits[limit] = ticks + 1
            if ticks == _TICKS:
                limit.reschedule(loop.time())
        self._ticking = bool(self._waits)
        if self._ticking:
            self._tick_next(loop)

    def _tick_next(self, loop: asyncio.AbstractEventLoop) -> None:
        # Timers come up to a millisecond late, which must not add up; ticks that a late loop missed are not made up.
        now, due = loop.time(), self._due + self._tick_seconds
        self._due = due if due > now else now + self._tick_seconds
        loop.call_at(self._due, self._tick)
