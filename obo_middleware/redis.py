"""The shared token cache in Redis or Valkey: one server, a service behind Sentinels, or a cluster.

Rules of this file:

1. Every wait is bounded. A store that does not answer is a store that has nothing; it is left alone for a while then.
2. Nothing of an error of the client library goes further than its class: its text may quote a command.
3. Connections, threads and locks are of one process and are made anew in a forked child; awaitable connections are of
   one event loop.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from credentials.kernel import (
    Flight,
    Forget,
    Landing,
    Load,
    Name,
    Operation,
    StoreError,
    renew_in_children,
)
from obo_middleware._breaker import CircuitBreaker, State
from obo_middleware._redis_clients import REFUSED, REPLIED, Address, awaitable_client, blocking_client
from obo_middleware._redis_commands import FORGOTTEN, LOGGED, TOLD, Command, Keys, answer_of, commands_of
from obo_middleware._sealing import PlainSealer, Sealer, SecretKey, SecretSealer
from obo_middleware._urls import wrong
from obo_middleware.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio

__all__ = ["RedisTokenStore", "SecretKey", "StoreStatistics"]

_logger = logging.getLogger("obo_middleware")
T = TypeVar("T")

KEYS_VARIABLE = "OBO_CACHE_KEYS"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+")
_OPERATIONS = 3
"""How many operations stand between a request and its own exchange; they share ``max_wait``."""
_PATIENCE = 5.0
"""Seconds for what no request waits for."""
_SLICES = 5
_AT_ONCE = 32
"""Awaitable operations under way at once, and so connections, of one event loop."""
_LATER_AT_ONCE = 8
_ALIVE = 10.0
"""Seconds after which a silent connection is asked whether it is still there."""
_CANARY = Name("canary", "canary")


@dataclass(frozen=True, slots=True, eq=False)
class _Home:
    """An event loop's own connections."""

    client: Any
    slots: asyncio.Semaphore

    async def run(self, commands: Sequence[Command]) -> Any:
        replies = [await self.client.execute_command(*command) for command in commands]
        return replies[0]


class StoreStatistics(NamedTuple):
    """Hold what a store has done in this process; ``state`` is that of its circuit breaker."""

    state: State
    loads: int
    hits: int
    failures: int
    opened: int
    listening: bool


class RedisTokenStore:
    """Keep tokens where several workers and machines find them; give it as ``Settings(token_store=...)``.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``, with user and
            password where they are needed.
        keys: The secrets that entries are sealed with: the first one seals, all of them open. Default those in
            ``OBO_CACHE_KEYS``, separated by commas.
        plain_text: Keep tokens unsealed. For a store that nobody else can read.
        prefix: How all keys begin; apps with different prefixes share nothing.
        max_wait: The most seconds that a slow store adds to a request.
        lead_seconds: For how long other workers wait for the one that exchanges; what a dead one costs at most.
        options: Further arguments for the clients of redis-py, such as ``ssl_ca_certs``.

    Raises:
        ConfigurationError: There is no key, or a value is malformed.
    """

    def __init__(
        self,
        url: str,
        *,
        keys: Sequence[SecretKey | str] | SecretKey | str | None = None,
        plain_text: bool = False,
        prefix: str = "obo",
        max_wait: float = 0.05,
        lead_seconds: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self._address = Address.parse(url)
        self.sealer: Sealer = PlainSealer() if plain_text else SecretSealer(_secret_keys(keys))
        if plain_text and keys:
            raise wrong("plain_text", "is True although there are keys", "give one of them")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise wrong("prefix", f"is {prefix!r}", "write letters, digits, '.', '_' and '-'")
        for name, value in (("max_wait", max_wait), ("lead_seconds", lead_seconds)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 3_600:
                raise wrong(name, f"is {value!r}", "give seconds, more than 0")
        self._keys = Keys(prefix)
        self._wait = max_wait / _OPERATIONS
        self.lead_seconds = float(lead_seconds)
        self._options = options
        self._monotonic = monotonic
        self._hearers: list[Callable[[bytes, float], None]] = []
        self._loads = self._hits = self._failures = self._opened = 0
        self._begin()
        renew_in_children(self)

    def __repr__(self) -> str:
        return f"RedisTokenStore(<{self._address.kind}>)"

    def _begin(self) -> None:
        self._breaker = CircuitBreaker(monotonic=self._monotonic, changed=self._became)
        self._lock = threading.Lock()
        self._expected: dict[str, list[Flight[None]]] = {}
        self._clients: dict[float, Any] = {}
        self._homes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Home] = weakref.WeakKeyDictionary()
        self._later = threading.BoundedSemaphore(_LATER_AT_ONCE)
        self._ended = threading.Event()
        self._listener: threading.Thread | None = None
        self._listening = False
        self._heard_until = 0.0

    def renew_after_fork(self) -> None:
        """Begin anew: connections and threads are the parent's."""
        self._begin()

    @property
    def statistics(self) -> StoreStatistics:
        """What happened in this process so far."""
        counts = (self._loads, self._hits, self._failures, self._opened)
        return StoreStatistics(self._breaker.state, *counts, self._listening)

    # What is asked.

    def perform(self, operation: Operation) -> Any:
        """Do what is asked, blocking; raises :class:`StoreError`."""
        self._enter()
        seconds = self._seconds_for(operation)
        try:
            if isinstance(operation, Forget) and not operation.groups:
                self._delete_tokens()
            replies = [
                self._client(seconds).execute_command(*command) for command in commands_of(operation, self._keys)
            ]
        except Exception as error:  # noqa: BLE001  # whatever the client library makes of a hostile answer
            raise self._failure(error) from None
        except BaseException:
            self._breaker.gave_up()
            raise
        return self._success(operation, replies[0])

    async def perform_async(self, operation: Operation) -> Any:
        """Do what is asked; raises :class:`StoreError`."""
        import asyncio

        if isinstance(operation, Forget):
            return await asyncio.to_thread(self.perform, operation)  # rare, and it may take its time
        self._enter()
        home = self._home()
        try:
            async with home.slots:
                self._check_open()  # again, since it may have opened while this one waited for a connection
                reply = await _patiently(home.run(commands_of(operation, self._keys)), self._wait)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # see above
            raise self._failure(error) from None
        except BaseException:
            self._breaker.gave_up()
            raise
        return self._success(operation, reply)

    def later(self, operation: Operation) -> None:
        """Do something on a thread of its own, if the store is well and few such threads are under way."""
        if self._breaker.state == "open" or not self._later.acquire(blocking=False):
            return
        free = self._later.release

        def work() -> None:
            try:
                self.perform(operation)
            except StoreError as error:
                _logger.debug("the shared cache was not told: %s", error)
            finally:
                free()

        threading.Thread(target=work, name="obo-store-later", daemon=True).start()

    # What is told.

    def listen(self, hear: Callable[[bytes, float], None]) -> None:
        """Have ``hear`` called with all news from now on, and when they are from (seconds since the epoch)."""
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

    # Start and end.

    def check(self) -> str:
        """Connect, and raise :class:`ConfigurationError` for a wrong password or key; a store may be down now."""
        try:
            client = self._client(_PATIENCE)
            client.ping()
            canary = client.get(self._keys.canary)
            if canary is None:
                client.set(self._keys.canary, self.sealer.seal(_CANARY, b"canary"), ex=LOGGED, nx=True)
        except REFUSED as error:
            raise ConfigurationError(
                f"token_store refuses our user or password ({type(error).__name__}): correct the URL or the options."
            ) from None
        except Exception as error:  # noqa: BLE001  # it may be up later; requests do without
            _logger.warning("the shared cache is not available at start: %s", type(error).__name__)
            return ""
        if canary is not None and self.sealer.open(_CANARY, canary) is None:
            raise ConfigurationError(
                "token_store has entries of other keys than those given: all workers need the same keys, the newest "
                "one first. Give the others' keys too, or another prefix."
            )
        return ""

    def close(self) -> None:
        """Close the blocking connections, and listen no more."""
        self._ended.set()
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the blocking ones."""
        import asyncio

        home = self._homes.pop(asyncio.get_running_loop(), None)
        if home is not None:
            await home.client.aclose()
        self.close()

    # How.

    def _enter(self) -> None:
        if self._listener is None:
            self._start()
        if not self._breaker.admits():
            raise StoreError("the store is left alone for a while")

    def _check_open(self) -> None:
        if self._breaker.state == "open":
            raise StoreError("the store is left alone for a while")

    def _start(self) -> None:
        with self._lock:
            if self._listener is None and not self._ended.is_set():
                self._listener = threading.Thread(target=self._listen, name="obo-store-news", daemon=True)
                self._listener.start()

    def _seconds_for(self, operation: Operation) -> float:
        return _PATIENCE if isinstance(operation, Forget) else self._wait

    def _client(self, seconds: float) -> Any:
        client = self._clients.get(seconds)
        if client is None:
            client = blocking_client(self._address, self._options, seconds)
            with self._lock:
                client = self._clients.setdefault(seconds, client)
        return client

    def _home(self) -> _Home:
        import asyncio

        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None:
            client = awaitable_client(self._address, self._options)
            home = self._homes[loop] = _Home(client, asyncio.Semaphore(_AT_ONCE))
        return home

    def _success(self, operation: Operation, reply: Any) -> Any:
        self._breaker.succeeded()
        answer = answer_of(operation, reply)
        if isinstance(operation, Load):
            self._loads += 1
            self._hits += answer is not None
        return answer

    def _failure(self, error: Exception) -> StoreError:
        self._failures += 1
        if isinstance(error, REPLIED):
            self._breaker.succeeded()  # full, loading or read-only, but there: what it has can still be read
        else:
            self._breaker.failed()
        return StoreError(type(error).__name__)

    def _became(self, state: State) -> None:
        self._opened += state == "open"
        _logger.log(
            logging.WARNING if state == "open" else logging.INFO, "the circuit breaker of the shared cache is %s", state
        )

    def _delete_tokens(self) -> None:
        client = self._client(_PATIENCE)
        batch: list[Any] = []
        for key in client.scan_iter(match=self._keys.every_token, count=1_000):
            batch.append(key)
            if len(batch) == 1_000:
                _delete(client, batch)
                batch = []
        _delete(client, batch)

    # The thread that listens.

    def _listen(self) -> None:
        ended = self._ended
        try:
            self.check()
        except ConfigurationError as error:
            _logger.error("%s", error)
        pause = 0.1
        while not ended.is_set():
            try:
                self._hear_news(ended)
                pause = 0.1
            except Exception as error:  # noqa: BLE001  # whatever the client library makes of a hostile answer
                _logger.debug("the news of the shared cache are interrupted: %s", type(error).__name__)
            self._listening = False
            ended.wait(pause)
            pause = min(2 * pause, _PATIENCE)

    def _hear_news(self, ended: threading.Event) -> None:
        pubsub = self._client(_PATIENCE).pubsub(ignore_subscribe_messages=True)
        try:
            pubsub.subscribe(self._keys.channel)
            self._catch_up()
            self._listening = True
            silent_since = self._monotonic()
            while not ended.is_set():
                message = pubsub.get_message(timeout=1.0)
                if message is not None and message["type"] == "message":
                    self._tell(message["data"])
                if message is not None:
                    silent_since = self._monotonic()
                elif self._monotonic() - silent_since > 2 * _ALIVE:
                    raise TimeoutError
                elif self._monotonic() - silent_since > _ALIVE:
                    pubsub.ping()
        finally:
            pubsub.close()

    def _catch_up(self) -> None:
        """Hear who was forgotten while nobody listened."""
        now = time.time()
        if self._heard_until:
            since = f"{self._heard_until - 60:.3f}"
            for news, at in self._client(_PATIENCE).zrangebyscore(self._keys.log, since, "+inf", withscores=True):
                self._heard(news, at)
        self._heard_until = now

    def _tell(self, data: bytes) -> None:
        if data.startswith(TOLD):
            with self._lock:
                flights = self._expected.pop(data[1:].decode("ascii", "replace"), [])
            for flight in flights:
                flight.future.set_result(Landing())
        elif data.startswith(FORGOTTEN):
            self._heard_until = time.time()
            self._heard(data[1:], self._heard_until)

    def _heard(self, news: bytes, at: float) -> None:
        for hear in self._hearers:
            hear(news, at)


async def _patiently(work: Awaitable[T], seconds: float) -> T:
    """Wait for work, but not longer than so many seconds of a loop that has time; raises ``TimeoutError``.

    A loop that is late finds its timers expired together with the answer. Each slice counts once, however late it ends,
    and the answer goes first, so that a busy process does not take its own slowness for the store's.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    ticking: list[asyncio.TimerHandle] = []

    def tick() -> None:
        if len(ticking) < _SLICES:
            ticking.append(loop.call_later(seconds / _SLICES, tick))
        else:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        tick()
        try:
            return await work
        finally:
            ticking[-1].cancel()


def _secret_keys(keys: Sequence[SecretKey | str] | SecretKey | str | None) -> Sequence[SecretKey]:
    """Return the keys that are given, or those of the environment."""
    if keys is None:
        keys = [text for text in os.environ.get(KEYS_VARIABLE, "").split(",") if text.strip()]
    given = [keys] if isinstance(keys, (SecretKey, str)) else list(keys)
    if not given:
        raise wrong(
            "keys",
            "is missing, and tokens are not kept unsealed",
            "make a secret with `openssl rand -base64 32`, and give it to all workers as keys=[...] or in "
            f"{KEYS_VARIABLE}",
        )
    try:
        return [key if isinstance(key, SecretKey) else SecretKey(key) for key in given]
    except ValueError as error:
        raise wrong("keys", "has a text that is no key", str(error)) from error


def _delete(client: Any, keys: Sequence[Any]) -> None:
    pipeline = client.pipeline(transaction=False)  # one by one: in a cluster they are in many places
    for key in keys:
        pipeline.unlink(key)
    pipeline.execute()
