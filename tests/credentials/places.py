"""A class of credential in a place where it works, and what is within such a credential."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

import credentials
from credentials import _managed_identity_sources as identity_sources
from credentials import _token_endpoint as token_endpoint
from credentials import aio
from credentials._credential import TokenEngine
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight
from tests.credentials.defaults import have_nothing
from tests.credentials.flights import waiting
from tests.credentials.helpers import GRAPH, Clock
from tests.credentials.stand_ins import StandIn

BLOCKING, AWAITABLE = "blocking", "async"
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Every(ABC):
    """One class of credential, in a place where it works."""

    name: ClassVar[str]
    scopes: tuple[str, str] = (f"{GRAPH}/.default", "https://storage.azure.com/.default")
    speaks_http = True
    stand_in: StandIn
    needs: str = ""
    """What a request for a token needs on this machine besides its giver, if anything."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        have_nothing(monkeypatch, folder / "nothing")

    @abstractmethod
    def serve(self) -> AbstractContextManager[None]:
        """Give tokens while the block runs."""

    @abstractmethod
    def arguments(self, colour: str) -> Arguments:
        """Return what the class is called with."""

    def make(self, colour: str) -> Any:
        """Return a new credential of a colour."""
        arguments, options = self.arguments(colour)
        return self.kind(colour)(*arguments, **options)

    def kind(self, colour: str, name: str = "") -> Any:
        return getattr(credentials if colour == BLOCKING else aio, name or self.name)

    def lose(self) -> None:
        """Take away what the class needs."""
        raise NotImplementedError

    @property
    def clock(self) -> Clock:
        return self.stand_in.clock

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)


@contextmanager
def serving(kind: type[Every], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Every]:
    """Give a class in a place where it works; whoever tries again there does not wait."""
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0,))
    for name in ("IMDS_DELAYS", "IMDS_DELAYS_GONE", "IMDS_DELAYS_SILENT"):
        monkeypatch.setattr(identity_sources, name, (0.0,))
    every = kind(folder, monkeypatch)
    with every.serve():
        yield every


class Callers:
    """Threads and event loops that ask for one token at the same time."""

    def __init__(self, every: Every) -> None:
        self.scope = every.scopes[0]
        self.tokens: list[Any] = []
        self._threads: list[threading.Thread] = []

    def in_threads(self, count: int, credential: Any) -> None:
        self._start(count, lambda: [credential.get_token(self.scope).token])

    def in_tasks(self, loops: int, tasks: int, credential: Any) -> None:
        async def main() -> list[str]:
            async with credential:
                tokens = await asyncio.gather(*(credential.get_token(self.scope) for _ in range(tasks)))
                return [token.token for token in tokens]

        self._start(loops, lambda: asyncio.run(main()))

    def _start(self, count: int, work: Callable[[], list[str]]) -> None:
        def run() -> None:
            try:
                self.tokens += work()
            except Exception as error:  # noqa: BLE001  # the test looks at it
                self.tokens.append(error)

        threads = [threading.Thread(target=run) for _ in range(count)]
        self._threads += threads
        for thread in threads:
            thread.start()

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a thread hangs"
        return self.tokens


# What is within a credential


def share(one: Any, other: Any) -> None:
    """Let two credentials of one class have one engine."""
    for name in ("_client", "_engine", "credentials"):
        if hasattr(one, name):
            setattr(other, name, getattr(one, name))


def flights_of(credential: Any) -> list[Flight[Any]]:
    """Return the flights under way, those of a chain's members included."""
    members = getattr(credential, "credentials", ())
    if members:
        return [flight for member in members for flight in flights_of(member)]
    engine: TokenEngine = credential._engine if hasattr(credential, "_engine") else credential._client.engine
    return list(engine._flights._flights.values())


def are_waiting(credential: Any, count: int) -> bool:
    """Tell whether so many wait for one who asks on their behalf."""
    return any(waiting(flight, count) for flight in flights_of(credential))


def open_connections(credential: Any) -> list[Any]:
    pools: tuple[ConnectionPool, ...] = credential._pools()
    return [transport for pool in pools for transport in (*pool._blocking.values(), *pool._async.values())]
