"""What other processes tell: that an entry was made or given up, and who was forgotten.

Rules of this file:

1. One thread listens for a process; it starts with the first operation, and ends when the store is closed.
2. What was said while nobody listened is caught up on: those who were forgotten stand in a log, and who waits for an
   entry looks again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from credentials.kernel import Flight, Landing, event
from obo_middleware._redis_commands import FORGOTTEN, TOLD, Keys
from obo_middleware.errors import ConfigurationError

_logger = logging.getLogger("obo_middleware")

_ALIVE = 10.0
"""Seconds after which a silent connection is asked whether it is still there."""
_PAUSES = (0.1, 5.0)
"""Seconds between two tries to connect: at first, and at most."""
_OVERLAP = 60.0
"""Seconds before the last news of which the log is read again: the clocks of processes differ."""

Hearer = Callable[[bytes], None]


class News:
    """Listen on a thread of its own, and tell who waits for an entry, and who wants to know of the forgotten.

    ``connect`` returns a patient blocking client, ``check`` is called once at the start.
    """

    def __init__(self, keys: Keys, connect: Callable[[], Any], check: Callable[[], object]) -> None:
        self._keys = keys
        self._connect = connect
        self._check = check
        self._hearers: list[Hearer] = []
        self.begin()

    def begin(self) -> None:
        """Start anew, in a process that has no thread yet."""
        self._lock = threading.Lock()
        self._expected: dict[str, list[Flight[None]]] = {}
        self._ended = threading.Event()
        self._heard_until = 0.0
        self.started = False
        self.listening = False

    def start(self) -> None:
        """Start to listen, unless that was done."""
        with self._lock:
            if self.started:
                return
            self.started, ended = True, self._ended
        threading.Thread(target=self._listen, args=(ended,), name="obo-store-news", daemon=True).start()

    def end(self) -> None:
        """Listen no more, until :meth:`start` is called again."""
        with self._lock:
            self._ended.set()
            self._ended, self.started = threading.Event(), False

    def add(self, hear: Hearer) -> None:
        """Have ``hear`` called with all news of the forgotten from now on."""
        self._hearers.append(hear)

    def expect(self, entry: str) -> Flight[None]:
        """Return what lands when something happened to the entry of that name."""
        flight = Flight[None]()
        with self._lock:
            self._expected.setdefault(entry, []).append(flight)
        return flight

    def expect_no_more(self, entry: str, flight: Flight[None]) -> None:
        """Let go of it."""
        with self._lock:
            flights = self._expected.get(entry, [])
            if flight in flights:
                flights.remove(flight)
            if not flights:
                self._expected.pop(entry, None)

    def wake(self) -> None:
        """Have everybody who waits look again."""
        with self._lock:
            flights = [flight for flights in self._expected.values() for flight in flights]
            self._expected.clear()
        _land(flights)

    def _listen(self, ended: threading.Event) -> None:
        try:
            self._check()
        except ConfigurationError as error:
            _logger.error("%s", error, extra=event("obo.shared_cache.refused"))
        pause, longest = _PAUSES
        while not ended.is_set():
            try:
                self._hear(ended)
            except Exception as error:  # noqa: BLE001  # whatever the client library makes of a hostile answer
                extra = event("obo.shared_cache.news_interrupted")
                _logger.debug("the news of the shared cache are interrupted: %s", type(error).__name__, extra=extra)
            pause = _PAUSES[0] if self.listening else min(2 * pause, longest)
            self.listening = False
            ended.wait(pause)

    def _hear(self, ended: threading.Event) -> None:
        client = self._connect()
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        try:
            pubsub.subscribe(self._keys.channel)
            pubsub.get_message(timeout=_ALIVE)  # the server's word that it will tell; None here
            self._catch_up(client)
            self.listening = True
            self.wake()
            heard_at = time.monotonic()
            while not ended.is_set():
                message = pubsub.get_message(timeout=1.0)
                silent = time.monotonic() - heard_at
                if message is not None:
                    heard_at = time.monotonic()
                    self._tell(message)
                elif silent > 2 * _ALIVE:
                    raise TimeoutError
                elif silent > _ALIVE:
                    pubsub.ping()
        finally:
            pubsub.close()

    def _catch_up(self, client: Any) -> None:
        """Hear who was forgotten while nobody listened, at first of everybody whom the log has."""
        now = time.time()
        for news in client.zrangebyscore(self._keys.log, f"{self._heard_until - _OVERLAP:.3f}", "+inf"):
            self._pass_on(news)
        self._heard_until = now

    def _tell(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message["type"] != "message" or not isinstance(data, bytes):
            return
        if data.startswith(TOLD):
            with self._lock:
                flights = self._expected.pop(data[1:].decode("ascii", "replace"), [])
            _land(flights)
        elif data.startswith(FORGOTTEN):
            self._heard_until = time.time()
            self._pass_on(data[1:])

    def _pass_on(self, news: bytes) -> None:
        for hear in self._hearers:
            hear(news)


def _land(flights: Iterable[Flight[None]]) -> None:
    for flight in flights:
        flight.future.set_result(Landing())
