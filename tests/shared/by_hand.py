"""A store that the test itself is: what it is asked comes out of flows, and the test gives the answers."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from credentials import AccessTokenInfo
from credentials._flow import UseStore
from credentials.kernel import Flight, Landing, Name, Operation, StoreError, key_of, user_group
from obo_middleware._sealing import Sealer, SecretKey, SecretSealer
from obo_middleware._shared_cache import EntryVisit, SharedTokenCache, encoded
from tests.credentials.helpers import Clock

GROUP = user_group("tenant", "alice")
KEY = GROUP + key_of("alice's token")
OTHER = user_group("tenant", "bob") + key_of("bob's token")
OURS = key_of("the application's token")
SECRET = SecretKey("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
FORMER = SecretKey("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=")
SEALER = SecretSealer([SECRET])
GONE = StoreError("ConnectionError")
LIFE = 3_600


class StoreByHand:
    """Ask nobody: flows yield what they want of it, and the rest is written down."""

    lead_seconds = 10.0

    def __init__(self, sealer: SecretSealer = SEALER) -> None:
        self.sealer: Sealer = sealer
        self.expected: dict[str, list[Flight[None]]] = {}
        self.done_later: list[Operation] = []

    def perform(self, operation: Operation) -> Any:
        raise AssertionError(operation)

    def perform_async(self, operation: Operation) -> Awaitable[Any]:
        raise AssertionError(operation)

    def expect(self, entry: str) -> Flight[None]:
        flight = Flight[None]()
        self.expected.setdefault(entry, []).append(flight)
        return flight

    def expect_no_more(self, entry: str, flight: Flight[None]) -> None:
        if flight in self.expected.get(entry, []):
            self.expected[entry].remove(flight)

    def tell(self, entry: str) -> None:
        for flight in self.expected.pop(entry):
            flight.future.set_result(Landing())

    @property
    def waited_for(self) -> int:
        """How many still wait to be told something."""
        return sum(len(flights) for flights in self.expected.values())

    def later(self, operation: Operation) -> None:
        self.done_later.append(operation)

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Have nothing to tell."""

    def check(self) -> str:
        return ""

    def close(self) -> None:
        """Have nothing to close."""

    async def aclose(self) -> None:
        """Have nothing to close."""


@dataclass
class ByHand:
    """A shared cache over such a store, with a clock turned by hand and owners named me-1, me-2, and so on."""

    clock: Clock = field(default_factory=Clock)
    sealer: SecretSealer = SEALER

    def __post_init__(self) -> None:
        self.store = StoreByHand(self.sealer)
        self.passed = 0.0
        numbers = itertools.count(1)
        self.cache = SharedTokenCache(
            self.store, clock=self.clock, monotonic=lambda: self.passed, new_owner=lambda: f"me-{next(numbers)}"
        )

    def visit(self, key: bytes = KEY) -> EntryVisit:
        return self.cache.visit(key)

    def name(self, key: bytes = KEY) -> Name:
        return self.sealer.names(key)[0]

    def sealed(
        self, text: str = "shared", key: bytes = KEY, *, asked_at: float | None = None, life: int = LIFE
    ) -> bytes:
        """Return a token as it stands in the store."""
        now = self.clock()
        info = AccessTokenInfo(text, int(now) + life, refresh_on=int(now) + life // 2)
        return self.sealer.seal(self.name(key), encoded(info, now if asked_at is None else asked_at))


def asked_of(effects: list[Any]) -> list[Operation]:
    """Return what a played flow asked of the store, in order."""
    return [effect.operation for effect in effects if isinstance(effect, UseStore)]


def kinds_of(effects: list[Any]) -> list[str]:
    """Return by name what a played flow asked for: operations of the store, and other effects."""
    return [type(effect.operation if isinstance(effect, UseStore) else effect).__name__ for effect in effects]
