"""The cache that several processes share: what one caller does with one entry of it, over any store.

Rules of this file:

1. Nothing here raises. Where the store fails the caller makes its own exchange: two operations, of a bounded wait each,
   stand between a caller and that; while keys are being replaced, one more for each further key.
2. What is loaded counts only if it opens under its own name, and is a token.
3. Of several processes one makes the entry, for as long as its lead lasts. The others wait to be told, and look again.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
import os
import secrets
import struct
import time
from collections.abc import Callable
from typing import Protocol, cast

from credentials import AccessTokenInfo
from credentials.kernel import (
    Clock,
    Flight,
    Flow,
    Forget,
    Found,
    Lead,
    Load,
    Name,
    Operation,
    Release,
    Save,
    Store,
    StoreError,
    WouldDeadlockError,
    event,
    parse_object,
    use,
    wait_for,
)
from obo_middleware._sealing import Sealer
from obo_middleware._urls import wrong

_logger = logging.getLogger("obo_middleware")

LOOK_AGAIN = 0.25
"""Seconds after which a waiting caller looks again, should it not have been told."""
_NEWS = Name("news", "news")
_MARGIN = 0.05
_LEADS = 2
"""How many leads of others a caller waits for: the second one may have begun where the first one ended dead."""


class TellingStore(Store, Protocol):
    """Describe a store that tells when an entry was made, and does things later."""

    lead_seconds: float

    def expect(self, entry: str) -> Flight[None]:
        """Return what lands when something happened to the entry of that name."""

    def expect_no_more(self, entry: str, flight: Flight[None]) -> None:
        """Let go of it."""

    def later(self, operation: Operation) -> None:
        """Do something without anybody waiting for it."""


class TokenStore(TellingStore, Protocol):
    """Describe what may be given as ``Settings(token_store=...)``."""

    sealer: Sealer

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Have ``hear`` called with all news, those of the last day first."""

    def check(self) -> str:
        """Connect, blocking, and return why the store is down now, or an empty text.

        Raises :class:`ConfigurationError` for a password or a key that is refused.
        """

    def close(self) -> None:
        """Close the blocking connections."""

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the blocking ones."""


def token_store_of(value: object) -> TokenStore | None:
    """Return the store that a setting means; a text is the URL of one in Redis. Raises :class:`ConfigurationError`."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            # Not by a name of this file: redis-py is needed only where there is a URL.
            store: TokenStore = importlib.import_module("obo_middleware.redis").RedisTokenStore(value)
        except ImportError as error:
            raise wrong("token_store", "needs redis-py", "pip install 'obo-middleware[redis]'") from error
        return store
    if not all(hasattr(value, name) for name in ("perform", "perform_async", "sealer", "listen")):
        kind = type(value).__name__
        raise wrong("token_store", f"is a {kind}", "give an obo_middleware.redis.RedisTokenStore, or its URL")
    return cast(TokenStore, value)


class SharedTokenCache:
    """Keep tokens in a store that other processes use too."""

    def __init__(
        self,
        store: TokenStore,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        new_owner: Callable[[], str] = lambda: f"{os.getpid()}.{secrets.token_urlsafe(16)}",
    ) -> None:
        self.store = store
        self.sealer = store.sealer
        self.clock = clock
        self.monotonic = monotonic
        self.new_owner = new_owner
        self._warned = False

    def visit(self, key: bytes) -> EntryVisit:
        """Return a caller's dealings with the entry of that cache key."""
        return EntryVisit(self, self.sealer.names(key))

    def told(self, group: bytes) -> Forget:
        """Return the operation that forgets a user everywhere, or without a group everybody."""
        at = self.clock()
        news = json.dumps({"group": group.hex(), "at": at}).encode()
        groups = self.sealer.group_names(group) if group else ()
        # By real time in the store's log, whatever clock the tokens go by.
        return Forget(groups, self.sealer.seal(_NEWS, news), time.time())

    def heard(self, sealed: bytes) -> tuple[bytes, float] | None:
        """Return the group that some news tell to forget, and since when; None for what is no news of ours."""
        data = self.sealer.open(_NEWS, sealed)
        try:
            news = {} if data is None else parse_object(data)
            return bytes.fromhex(news["group"]), float(news["at"])
        except (ValueError, KeyError, TypeError):
            return None

    def opened(self, name: Name, value: object) -> Found | None:
        """Return the token in a value, or None; what cannot be opened is said once."""
        if not isinstance(value, bytes):
            return None
        data = self.sealer.open(name, value)
        found = None if data is None else decoded(data)
        if found is None and not self._warned:
            self._warned = True
            _logger.warning(
                "an entry of the shared cache cannot be opened and counts as absent: it was made with a key that is "
                "not among the keys here, or it was changed. This is said once.",
                extra=event("obo.shared_cache.unreadable_entry"),
            )
        return found


class EntryVisit:
    """One caller's dealings with one entry."""

    def __init__(self, cache: SharedTokenCache, names: tuple[Name, ...]) -> None:
        self._cache = cache
        self._name, self._former = names[0], names[1:]
        self._owner = ""
        self.busy = False

    def load_flow(self) -> Flow[Found | None]:
        """Return what is kept, under the name of today or a former one, or None."""
        for name in (self._name, *self._former):
            try:
                value = yield from use(self._cache.store, Load(name))
            except StoreError as error:
                _say_useless(error)
                return None
            found = self._cache.opened(name, value)
            if found is not None:
                return found
        return None

    def lead_flow(self, *, wait: bool, anew: bool) -> Flow[Found | None]:
        """Become the one that makes the entry, or return what another process made meanwhile."""
        cache, owner = self._cache, self._cache.new_owner()
        end = cache.monotonic() + _LEADS * cache.store.lead_seconds
        flight = cache.store.expect(self._name.entry)
        try:
            while True:
                self._owner = owner
                answer = yield from use(cache.store, Lead(self._name, owner, cache.store.lead_seconds, anew))
                if answer == 0.0:
                    return None
                self._owner = ""
                if not isinstance(answer, float):
                    found = cache.opened(self._name, answer)
                    if found is not None or anew:
                        return found
                    anew = True  # of what is there nobody has any use
                    continue
                self.busy = not wait
                if self.busy or cache.monotonic() >= end or not (yield from _told_flow(flight, answer)):
                    return None
                flight, anew = expected_again(cache.store, self._name.entry, flight), False
        except StoreError as error:
            # Only the answer may be missing. So the owner stays: if it leads after all, its token is taken from it.
            _say_useless(error)
            return None
        except BaseException:
            self.abandon()
            raise
        finally:
            cache.store.expect_no_more(self._name.entry, flight)

    def save(self, info: AccessTokenInfo, asked_at: float) -> None:
        """Have a token kept, and the lead ended, without a wait for it."""
        cache, seconds = self._cache, info.expires_on - self._cache.clock()
        if seconds > 0:
            sealed = cache.sealer.seal(self._name, encoded(info, asked_at))
            cache.store.later(Save(self._name, sealed, seconds, self._owner))
            self._owner = ""
        self.abandon()

    def abandon(self) -> None:
        """Have the lead ended, if there is one, without a token."""
        if self._owner:
            self._cache.store.later(Release(self._name, self._owner))
            self._owner = ""


def expected_again(store: TellingStore, entry: str, flight: Flight[None]) -> Flight[None]:
    """Return what lands the next time; to be made before the next look, so that nothing is missed in between."""
    return store.expect(entry) if flight.future.done() else flight


def _say_useless(error: StoreError) -> None:
    _logger.debug("the shared cache is of no help to a request: %s", error, extra=event("obo.shared_cache.no_help"))


def _told_flow(flight: Flight[None], seconds: float) -> Flow[bool]:
    """Wait to be told, or until the lead of another process ends; False if this thread must not wait."""
    try:
        yield from wait_for(flight, timeout=min(seconds + _MARGIN, LOOK_AGAIN))
    except TimeoutError:
        return True
    except WouldDeadlockError:
        return False
    return True


# A token's record: when it was asked for, when it ends, when to ask again (0: not told), how many bytes its type has;
# then the type and the token. The store's own expiry is a convenience; this one counts.
_RECORD = struct.Struct(">ddqB")
_VISIBLE = bytes(range(0x21, 0x7F))
"""What a token in an HTTP header may have: all of ASCII that can be seen."""


def encoded(info: AccessTokenInfo, asked_at: float) -> bytes:
    """Return a token as the bytes to seal."""
    kind = info.token_type.encode()
    head = _RECORD.pack(asked_at, info.expires_on, 0 if info.refresh_on is None else info.refresh_on, len(kind))
    return head + kind + info.token.encode()


def decoded(data: bytes) -> Found | None:
    """Return the token in opened bytes, or None if there is none."""
    try:
        asked_at, expires_on, refresh_on, length = _RECORD.unpack_from(data)
        start = _RECORD.size + length
        kind, token = data[_RECORD.size : start].decode("ascii"), data[start:]
        if not token or token.translate(None, _VISIBLE) or not math.isfinite(asked_at):
            return None
        return Found(AccessTokenInfo(token.decode(), int(expires_on), kind, refresh_on or None), asked_at)
    except (struct.error, ValueError, OverflowError):
        return None
