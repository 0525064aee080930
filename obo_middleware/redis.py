"""The shared token cache in Redis or Valkey: one server, a service behind Sentinels, or a cluster.

Rules of this file:

1. Every wait is bounded. A store that does not answer is a store that has nothing; it is left alone for a while then.
2. Nothing of an error of the client library goes further than its class: its text may quote a command.
3. Connections, threads and locks are of one process, and are made anew in a forked child.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from credentials.kernel import Flight, Forget, Load, Name, Operation, StoreError, event, renew_in_children
from obo_middleware._breaker import CircuitBreaker, State
from obo_middleware._outbox import Outbox
from obo_middleware._redis_clients import REFUSED, REPLIED, Address
from obo_middleware._redis_commands import LOGGED, Keys, answer_of, commands_of
from obo_middleware._redis_connections import PATIENCE, Connections
from obo_middleware._redis_news import News
from obo_middleware._sealing import PlainSealer, Sealer, SecretKey, SecretSealer
from obo_middleware._urls import wrong
from obo_middleware.errors import ConfigurationError

__all__ = ["RedisTokenStore", "SecretKey", "StoreStatistics"]

_logger = logging.getLogger("obo_middleware")

KEYS_VARIABLE = "OBO_CACHE_KEYS"
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+")
_CANARY = Name("canary", "canary")


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
        address = Address.parse(url)
        if plain_text and keys:
            raise wrong("plain_text", "is True although there are keys", "give one of them")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise wrong("prefix", f"is {prefix!r}", "write letters, digits, '.', '_' and '-'")
        for name, value in (("max_wait", max_wait), ("lead_seconds", lead_seconds)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 3_600:
                raise wrong(name, f"is {value!r}", "give seconds, more than 0")
        self.sealer: Sealer = PlainSealer() if plain_text else SecretSealer(_secret_keys(keys))
        self.lead_seconds = float(lead_seconds)
        self._kind = address.kind
        self._keys = Keys(prefix)
        # A look under each name, and the question who leads, stand between a request and its own exchange.
        self._wait = max_wait / (len(self.sealer.group_names(b"")) + 1)
        self._monotonic = monotonic
        self._connections = Connections(address, options, self._wait)
        self._news = News(self._keys, self._connections.client, self.check)
        self._outbox = Outbox(self._perform_patiently)
        self._loads = self._hits = self._failures = self._opened = 0
        self._begin()
        renew_in_children(self)

    def __repr__(self) -> str:
        return f"RedisTokenStore(<{self._kind}>)"

    def _begin(self) -> None:
        self._out = False
        self._breaker = CircuitBreaker(monotonic=self._monotonic, changed=self._became)

    def renew_after_fork(self) -> None:
        """Begin anew: connections and threads are the parent's."""
        self._connections.begin()
        self._news.begin()
        self._outbox.begin()
        self._begin()

    @property
    def statistics(self) -> StoreStatistics:
        """What happened in this process so far."""
        counts = (self._loads, self._hits, self._failures, self._opened)
        return StoreStatistics(self._breaker.state, *counts, self._news.listening)

    # What is asked.

    def perform(self, operation: Operation) -> Any:
        """Do what is asked, blocking; raises :class:`StoreError`."""
        self._news.start()
        return self._perform(operation, PATIENCE if isinstance(operation, Forget) else self._wait)

    def _perform_patiently(self, operation: Operation) -> Any:
        return self._perform(operation, PATIENCE)

    def _perform(self, operation: Operation, seconds: float) -> Any:
        self._enter()
        try:
            if isinstance(operation, Forget) and not operation.groups:
                self._connections.delete_matching(self._keys.every_token)
            reply = self._connections.run(commands_of(operation, self._keys), seconds)
            answer = answer_of(operation, reply)
        except Exception as error:  # noqa: BLE001  # whatever the client library makes of a hostile answer
            failure = self._failure(error)
        except BaseException:
            self._breaker.gave_up()
            raise
        else:
            return self._success(operation, answer)
        raise failure  # not where it was caught: the library's error would be its context

    async def perform_async(self, operation: Operation) -> Any:
        """Do what is asked; raises :class:`StoreError`."""
        if isinstance(operation, Forget):
            import asyncio

            return await asyncio.to_thread(self.perform, operation)  # rare, and it may take its time
        self._news.start()
        self._enter()
        (command,) = commands_of(operation, self._keys)
        try:
            reply = await self._connections.run_async(command, self._check_open)
            answer = answer_of(operation, reply)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # see above
            failure = self._failure(error)
        except BaseException:
            self._breaker.gave_up()
            raise
        else:
            return self._success(operation, answer)
        raise failure

    def later(self, operation: Operation) -> None:
        """Do something without anybody waiting for it, in the order in which it was asked."""
        self._outbox.put(operation)

    # What is told.

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Have ``hear`` called with all news, those of the last day first."""
        self._news.add(hear)

    def expect(self, entry: str) -> Flight[None]:
        """Return what lands when something happened to the entry of that name."""
        return self._news.expect(entry)

    def expect_no_more(self, entry: str, flight: Flight[None]) -> None:
        """Let go of it."""
        self._news.expect_no_more(entry, flight)

    # Start and end.

    def check(self) -> str:
        """Connect, and return why the store is down now, or an empty text.

        Raises :class:`ConfigurationError` for a wrong password or key.
        """
        known, refused = True, ""
        try:
            client = self._connections.client(PATIENCE)
            canary = client.get(self._keys.canary)
            known = canary is None or self.sealer.open(_CANARY, canary) is not None
            if known:  # and sealed with the first key from now on, so that an old one can go
                client.set(self._keys.canary, self.sealer.seal(_CANARY, b"canary"), ex=LOGGED)
        except REFUSED as error:
            refused = type(error).__name__
        except Exception as error:  # noqa: BLE001  # it may be up later; requests do without
            extra = event("obo.shared_cache.unavailable_at_start")
            _logger.warning("the shared cache is not available at start: %s", type(error).__name__, extra=extra)
            return type(error).__name__
        if refused:
            raise wrong("token_store", f"refuses our user or password ({refused})", "correct the URL or the options")
        if not known:
            raise ConfigurationError(
                "token_store has entries of other keys than those given: all workers need the same keys, the newest "
                "one first. Give the others' keys too, or another prefix."
            )
        return ""

    def close(self) -> None:
        """Do what was left for later, close the blocking connections, and listen no more."""
        self._outbox.end()
        self._news.end()
        self._connections.close()

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the blocking ones."""
        import asyncio

        await self._connections.aclose()
        await asyncio.to_thread(self.close)  # which may have to wait for what was left for later

    # How.

    def _enter(self) -> None:
        if not self._breaker.admits():
            raise StoreError("the store is left alone for a while")

    def _check_open(self) -> None:
        if self._breaker.state == "open":
            raise StoreError("the store is left alone for a while")

    def _success(self, operation: Operation, answer: Any) -> Any:
        self._breaker.succeeded()
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
        if state == "open":
            self._opened += 1
            self._news.wake()  # nobody is told any more
        out = state != "closed"
        if out != self._out:  # an outage is said when it begins and when it ends, and not with every try
            self._out = out
            level, extra = logging.WARNING if out else logging.INFO, event("obo.shared_cache.breaker")
            _logger.log(level, "the circuit breaker of the shared cache is %s", state, extra=extra)


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
