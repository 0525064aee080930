"""The provider, the downstream API and the clock that the adapters' tests share."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from obo_middleware import DownstreamApi, Settings
from obo_middleware.testing import LocalEntra, LocalGraph

SECRET = "local-secret-not-for-production"
GRAPH_SCOPES = ("User.Read", "Mail.Read")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: all here is http, and reading the authorities for each app and client would take 25 ms."""
PATIENCE = 20.0
"""Seconds after which a test that waits for something gives up."""


class Clock:
    """A clock that moves when a test moves it, and at which a test can make the provider wait."""

    def __init__(self, start: float | None = None) -> None:
        self._start = start
        self.ahead = 0.0
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Event()

    def __call__(self) -> float:
        if threading.current_thread().name == "LocalEntra":
            self._arrived.set()
            self._open.wait(PATIENCE)
        return (time.time() if self._start is None else self._start) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds

    @contextmanager
    def provider_thinks(self) -> Iterator[None]:
        """Hold the provider's next answer back until the block ends."""
        self._arrived.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def wait_for_the_provider(self) -> None:
        """Wait until an exchange has come to the provider, which thinks about it."""
        assert self._arrived.wait(PATIENCE), "no exchange came"

    def release(self) -> None:
        self._open.set()


@dataclass(frozen=True)
class World:
    """Everything outside the app: who signs in where, and what is called downstream."""

    entra: LocalEntra
    graph: LocalGraph
    clock: Clock
    _names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def client_id(self) -> str:
        return self.entra.api.client_id

    def settings(self, **changes: Any) -> Settings:
        """Return settings of the demo API over this world, with changes."""
        given: dict[str, Any] = {
            "tenant_id": self.entra.tenant_id,
            "client_id": self.client_id,
            "client_credential": SECRET,
            "authority": self.entra.authority,
            "allow_local_issuer": True,
            "downstream_apis": {"graph": DownstreamApi(self.graph.base_url, scopes=list(GRAPH_SCOPES), timeout=60)},
            "public_paths": ["/public"],
            "clock": self.clock,
            "ssl_context": NO_TLS,
        }
        return Settings(**(given | changes))

    def newcomer(self) -> str:
        """Register a user whom no app has seen; return the name."""
        return self.entra.add_user(f"user{next(self._names)}").name

    def object_id(self, name: str) -> str:
        return self.entra.users[name].object_id

    def token(self, name: str | None = None, **claims: Any) -> str:
        """Return an access token for the demo API, of somebody new if nobody is named; it lives for a day."""
        return self.entra.sign_in(name or self.newcomer(), **({"lifetime": 86_400} | claims))

    def set_back(self) -> None:
        """Forget faults, rules and counts."""
        self.entra.forget_faults()
        self.graph.forget_faults()
        self.entra.forgive_mfa()
        self.entra.reset_counts()
        self.graph.reset_counts()


@contextmanager
def new_world(clock: Clock | None = None, **options: Any) -> Iterator[World]:
    """Start a provider and a downstream API."""
    ticking = clock or Clock()
    with LocalEntra(clock=ticking, **options) as entra, LocalGraph(entra) as graph:
        yield World(entra, graph, ticking)


class Tally:
    """Count what happens on any thread, and wait for a number of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def add(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def reset(self) -> None:
        with self._changed:
            self.count = 0

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.count >= count, PATIENCE), f"{self.count} of {count}"
