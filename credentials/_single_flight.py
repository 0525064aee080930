"""Single flight: one exchange for each key, however many threads and tasks wait for it.

Rules of this file:

1. The leader looks into the cache again after it became the leader, and stores **before** it lands; otherwise
   a second exchange slips in between.
2. A flight's future is marked as running, so that a follower who gives up cannot cancel it for everybody.
3. A leader that is cancelled has no result to give: its followers elect a new one. A leader's error goes to
   every follower, to each as a fresh object.
4. A leader that is a task may need the very threads that wait for it. A thread that has waited a while leads anew:
   that is one exchange more, whoever else waits.
5. The lock guards the table only. Every wait is bounded. Nothing in flight is shared with a forked child.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from credentials._errors import AuthenticationError, ProviderUnavailableError
from credentials._flow import Flow, wait_for
from credentials._fork import renew_in_children

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

PATIENCE = 200.0
"""Seconds a follower waits for its leader: more than the slowest exchange with all its retries can take.

That is one that proves itself by a managed identity: 135 s for a metadata service that is being updated, 44 s after it.
"""
_ELECTIONS = 20


class WouldDeadlockError(Exception):
    """Say that waiting on this thread could hold up the leader: an event loop runs here, and would stand still."""


class LeaderStalledError(Exception):
    """Say that a task has led for a while: this thread may be one that its event loop needs for going on."""


class LeaderGoneError(Exception):
    """Say that the leader was cancelled before it had a result."""


class Landing(NamedTuple, Generic[T]):
    """What came of a flight. An error is a value here: a future's own would be logged when nobody waits for it."""

    result: T | None = None
    error: Exception | None = None


class Flight(Generic[T]):
    """One exchange under way; ``by_task`` says whether it is led on a thread whose event loop runs."""

    __slots__ = ("by_task", "future")

    def __init__(self) -> None:
        self.by_task = running_loop() is not None
        self.future: Future[Landing[T]] = Future()
        self.future.set_running_or_notify_cancel()


class FlightTable(Generic[T]):
    """Know the flights under way in this process, by key."""

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_in_children(self)

    def __len__(self) -> int:
        return len(self._flights)

    def renew_after_fork(self) -> None:
        """Forget every flight: its leader did not come along into this process."""
        # Reentrant: a garbage collection may close an abandoned leader, which lands, while this very thread is in here.
        self._lock = threading.RLock()
        self._flights: dict[bytes, Flight[T]] = {}

    def lead(self, key: bytes) -> Flight[T] | None:
        """Return a new flight for the caller to lead, or None if one is under way."""
        flight = Flight[T]()
        with self._lock:
            return flight if self._flights.setdefault(key, flight) is flight else None

    def find(self, key: bytes) -> Flight[T] | None:
        """Return the flight under way, if there is one."""
        return self._flights.get(key)

    def lead_flow(self, key: bytes, flight: Flight[T], exchange: Callable[[], Flow[T]]) -> Flow[T]:
        """Run the exchange as the flight's leader and land it, whatever happens."""
        try:
            result = yield from exchange()
        except BaseException as error:
            self._land(key, flight, Landing(error=error if isinstance(error, Exception) else LeaderGoneError()))
            raise
        self._land(key, flight, Landing(result))
        return result

    def fly_flow(
        self,
        key: bytes,
        lookup: Callable[[], T | None],
        exchange: Callable[[], Flow[T]],
        joined: Callable[[], None] | None = None,
    ) -> Flow[T]:
        """Return the result of one exchange for the key: lead it, or wait for whoever does.

        ``lookup`` reads the cache, and ``exchange`` stores what it got there before it returns. ``joined`` is called
        when somebody else's exchange has given a result, or an error. Raises what the exchange raises, and
        :class:`ProviderUnavailableError` when the leader takes too long.
        """
        for _ in range(_ELECTIONS):
            found = lookup()
            if found is not None:
                return found
            flight = self.lead(key)
            if flight is not None:
                return (yield from self.lead_flow(key, flight, lambda: _unless_found_flow(lookup, exchange)))
            under_way = self.find(key)
            if under_way is not None:
                try:
                    return (yield from self._follow_flow(key, under_way, joined))
                except WouldDeadlockError:
                    break
                except LeaderStalledError:
                    self._take_off_the_table(key, under_way)
                except LeaderGoneError:
                    continue
        return (yield from exchange())

    def _follow_flow(self, key: bytes, flight: Flight[T], joined: Callable[[], None] | None) -> Flow[T]:
        try:
            yield from wait_for(flight, timeout=PATIENCE)
        except TimeoutError as error:
            # Whoever led it may be gone without a trace; the next caller must not wait for it too.
            self._take_off_the_table(key, flight)
            raise ProviderUnavailableError(f"the token request took more than {PATIENCE:.0f} seconds") from error
        landing = flight.future.result()
        if joined is not None and not isinstance(landing.error, LeaderGoneError):
            joined()
        if landing.error is not None:
            raise _fresh(landing.error) from landing.error
        return cast(T, landing.result)

    def _land(self, key: bytes, flight: Flight[T], landing: Landing[T]) -> None:
        self._take_off_the_table(key, flight)
        flight.future.set_result(landing)

    def _take_off_the_table(self, key: bytes, flight: Flight[T]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]


def _unless_found_flow(lookup: Callable[[], T | None], exchange: Callable[[], Flow[T]]) -> Flow[T]:
    found = lookup()
    return found if found is not None else (yield from exchange())


def _fresh(error: Exception) -> Exception:
    """Return an equal error with a traceback of its own: one object must not be raised in several threads."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001  # a foreign error class whose constructor wants more than `args`
        return AuthenticationError(f"the token request failed with {type(error).__name__}")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs on this thread, or None."""
    if "asyncio" not in sys.modules:
        return None
    import asyncio  # see the rules of _drivers

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
