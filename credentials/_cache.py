"""The token cache of one process: bounded by cachetools, keyed on a hash, each entry gone when its token is.

Rules of this file:

1. A key is a hash over length-prefixed fields, so that no two different lists of fields meet in one key.
2. The lock is held for dictionary work only.
3. An entry is served to ``SKEW`` seconds before its token's end and not longer.
4. Entries are exact tuples of plain values. Anything else would be visited by every full garbage collection, which
   100 000 tokens would stretch by 50 ms; so expiry has a heap of its own here instead of cachetools' one object
   for each entry.
"""

from __future__ import annotations

import hashlib
import heapq
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cachetools import Cache, LRUCache

from credentials._fork import renew_in_children
from credentials._types import Clock

K = TypeVar("K", bytes, str)
V = TypeVar("V")

Entry = tuple[str, int, str, int | None]
"""What is kept of a token: the fields of an ``AccessTokenInfo``, as an exact tuple."""
SKEW = 30.0
"""Seconds before its end from which a token counts as expired: clocks differ, and requests take time."""
HASH = 32
"""Bytes of a key; one that belongs to a user has the user's group before it."""
GROUP = 16
"""Bytes of a user's group."""
_SLACK = 64
_WIDTH = HASH.to_bytes(8, "big")


def key_of(*fields: str | bytes) -> bytes:
    """Return the SHA-256 over the fields, each preceded by its length in bytes."""
    parts: list[bytes] = []
    for field in fields:
        # A lone surrogate, which no UTF-8 has, gets bytes of its own.
        data = field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field
        parts += (len(data).to_bytes(8, "big"), data)
    return hashlib.sha256(b"".join(parts)).digest()


def pair_key(first: bytes, second: bytes) -> bytes:
    """Return ``key_of(first, second)`` for two hashes, quickly: every request of a user asks for one."""
    return hashlib.sha256(_WIDTH + first + _WIDTH + second).digest()


def user_group(tenant_id: str, object_id: str) -> bytes:
    """Return the hash that stands before the keys of all that is a user's; ids are alike in any case (16 bytes)."""
    return key_of("user", tenant_id.lower(), object_id.lower())[:GROUP]


def group_of(key: bytes) -> bytes:
    """Return the group in a key, or nothing where it belongs to nobody."""
    return key[:GROUP] if len(key) > HASH else b""


class ExpiringCache(Generic[K, V]):
    """Map keys to values until a time of each value's own, at most ``size`` of them, the least recently used go first.

    ``until`` returns a value's end in seconds since the epoch.
    """

    def __init__(self, *, size: int, until: Callable[[V], float], clock: Clock = time.time) -> None:
        self._entries: LRUCache[K, V] = LRUCache(size)
        self._until = until
        self._clock = clock
        # When each entry ends, the first on top. Exact tuples: the garbage collector need not look at them.
        self._ends: list[tuple[float, K]] = []
        self._lock = threading.Lock()
        renew_in_children(self)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value kept under the key, or None."""
        with self._lock:
            if key not in self._entries:  # no KeyError, which would show a token to whatever is raised meanwhile
                return None
            value = self._entries[key]
        return value if self._clock() < self._until(value) else None

    def put(self, key: K, value: V) -> None:
        """Keep a value; one whose end has come is not kept, and removes what was there."""
        with self._lock:
            self._put(key, value)

    def put_unless_changed(self, key: K, value: V, before: V | None) -> None:
        """Keep a value unless another good one took the place of what was there before."""
        with self._lock:
            now = self._entries.get(key)
            if now is None or now is before or self._until(now) <= self._clock():
                self._put(key, value)

    def _put(self, key: K, value: V) -> None:
        now, end = self._clock(), self._until(value)
        self._drop_ended(now)
        if end <= now:
            self._entries.pop(key, None)
            return
        self._entries[key] = value
        heapq.heappush(self._ends, (end, key))

    def discard(self, key: K) -> None:
        """Forget what is kept under the key, if anything."""
        with self._lock:
            self._entries.pop(key, None)

    def discard_where(self, doomed: Callable[[K, V], bool]) -> None:
        """Forget every entry that is doomed; looks at all of them, so that it is for rare occasions."""
        with self._lock:
            keys = list(self._entries)
        # One by one: nobody waits for a hundred thousand answers. What comes meanwhile is the caller's care.
        for key in keys:
            with self._lock:
                if key in self._entries and doomed(key, Cache.__getitem__(self._entries, key)):
                    del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._ends.clear()

    def renew_after_fork(self) -> None:
        """Replace the lock; the entries are good in the child too, unless a thread of the parent was changing them."""
        if self._lock.locked():
            self._entries.clear()
            self._ends.clear()
        self._lock = threading.Lock()

    def _drop_ended(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            # Looked at without a use that would make it look recent; it may have been replaced by a later one.
            if key in self._entries and self._until(Cache.__getitem__(self._entries, key)) <= now:
                del self._entries[key]
        if len(self._ends) > 2 * len(self._entries) + _SLACK:
            kept = self._entries
            self._ends = sorted((self._until(Cache.__getitem__(kept, key)), key) for key in kept)


def token_cache(*, size: int, clock: Clock = time.time) -> ExpiringCache[bytes, Entry]:
    """Return a cache for at most ``size`` tokens."""
    return ExpiringCache(size=size, until=_end_of_use, clock=clock)


def _end_of_use(entry: Entry) -> float:
    return entry[1] - SKEW
