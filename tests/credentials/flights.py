"""Work that many share, and the crowd of threads and tasks that waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from credentials._cache import key_of
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Flow, call
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, FlightTable

KEY = key_of("one")


class Work:
    """An exchange that counts itself, waits until it is let go, and stores what it got."""

    def __init__(self, table: FlightTable[str], *, error: Exception | None = None) -> None:
        self.table, self.error = table, error
        self.count, self.store = 0, dict[bytes, str]()
        self.begun, self.go = threading.Event(), threading.Event()

    def exchange(self) -> Flow[str]:
        self.count += 1
        mine = self.count
        self.begun.set()
        yield from call(self._wait)
        if self.error is not None:
            raise self.error
        self.store[KEY] = f"token {mine}"
        return self.store[KEY]

    def _wait(self) -> str:
        assert self.go.wait(20), "never let go"
        return ""

    def flow(self) -> Flow[str]:
        return self.table.fly_flow(KEY, lambda: self.store.get(KEY), self.exchange)


def waiting(flight: Flight[str] | None, count: int) -> bool:
    """Tell whether so many wait for a flight: threads are waiters of its future, tasks are callbacks."""
    if flight is None:
        return False
    future: Any = flight.future
    return len(future._waiters) + len(future._done_callbacks) >= count


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it does not come true")


class Crowd:
    """Threads, and a loop in a thread of its own with tasks, that run flows at once."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self.outcomes: list[object] = []
        self._threads: list[threading.Thread] = []

    def threads(self, count: int, flow: Callable[[], Flow[str]]) -> None:
        self._start(*[lambda: BlockingDriver(self.pool).run(flow())] * count)

    def tasks(self, count: int, flow: Callable[[], Flow[str]]) -> None:
        async def main() -> list[str | BaseException]:
            runs = [AsyncDriver(self.pool).run(flow()) for _ in range(count)]
            return await asyncio.gather(*runs, return_exceptions=True)

        self._start(lambda: asyncio.run(main()))

    def _start(self, *works: Callable[[], object]) -> None:
        for work in works:
            thread = threading.Thread(target=self._run, args=(work,))
            thread.start()
            self._threads.append(thread)

    def _run(self, work: Callable[[], object]) -> None:
        try:
            outcome = work()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            outcome = error
        self.outcomes.extend(outcome if isinstance(outcome, list) else [outcome])

    def join(self) -> list[object]:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a thread hangs"
        return self.outcomes


def play_never(name: str) -> Flow[str]:
    yield from ()
    raise AssertionError(f"{name} must not be called")
