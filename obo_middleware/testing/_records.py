"""What the servers of this package were asked: counters and the latest requests. Safe between threads."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_KEPT = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to the token endpoint and how it ended; `repr` shows neither form nor headers.

    `error` is the OAuth error and `error_code` the AADSTS number, None when tokens were issued or a fault
    answered; `status` is 0 for a dropped connection. Names in `headers` are lower case.
    """

    tenant: str
    grant_type: str
    status: int
    error: str | None = None
    error_code: int | None = None
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """One request to LocalGraph; `user` is an object id, None for an application or a refused token."""

    method: str
    path: str
    status: int
    user: str | None = None
    client_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Records(Generic[T]):
    """Counters by name, and the latest requests (10 000 are kept)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._latest: deque[T] = deque(maxlen=_KEPT)

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self._lock:
            self._counts[name] += 1

    def counted(self, name: str) -> int:
        """Return a counter."""
        with self._lock:
            return self._counts[name]

    def counts(self) -> dict[str, int]:
        """Return all counters that are not 0."""
        with self._lock:
            return dict(self._counts)

    def keep(self, request: T) -> None:
        """Remember a request."""
        with self._lock:
            self._latest.append(request)

    def latest(self) -> list[T]:
        """Return the requests remembered, oldest first."""
        with self._lock:
            return list(self._latest)

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._counts.clear()
            self._latest.clear()
