"""Providers for these tests: one for all that only read, and a fresh one where a test turns its knobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from credentials.kernel import Flow
from obo_middleware import _calls
from obo_middleware.testing import LocalEntra
from tests.core.faces import LIBRARIES, Face, make_face
from tests.core.hostile import Scripted
from tests.core.kit import NOW, RUNS, Clock, Run, api

if TYPE_CHECKING:
    from tests.core.watching import Watching


@pytest.fixture(scope="session")
def shared_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared_entra(shared_clock: Clock) -> Iterator[LocalEntra]:
    with LocalEntra(clock=shared_clock) as running:
        yield running


@pytest.fixture
def provider(shared_entra: LocalEntra, shared_clock: Clock) -> Iterator[LocalEntra]:
    """Lend a provider that no test changes; its time is ``NOW``."""
    yield shared_entra
    assert shared_clock.now == NOW


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entra(clock: Clock) -> Iterator[LocalEntra]:
    """Run a provider of the test's own."""
    with LocalEntra(clock=clock) as running:
        yield running


@pytest.fixture
def server() -> Iterator[Scripted]:
    """Run a server that answers as the test says, and tells what it was asked."""
    with Scripted() as running:
        yield running


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    """Each way to run a flow."""
    return RUNS[request.param]


@pytest.fixture(
    params=[(library, blocking) for library in LIBRARIES for blocking in (True, False)],
    ids=lambda one: f"{one[0].__name__} {'blocking' if one[1] else 'awaitable'}",
)
def face(request: pytest.FixtureRequest, entra: LocalEntra, server: Scripted) -> Iterator[Face]:
    """Each of the four clients, of an application with one API, which answers at ``/v1/me``."""
    library, blocking = request.param
    server.say("/v1/me", {"ok": True})
    made = make_face(entra, server, library, blocking=blocking)
    yield made
    made.runtime.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, entra: LocalEntra) -> list[float]:
    """Have the waits take no time but that of the clock, and tell how long they were."""
    taken: list[float] = []
    clock: Any = entra.clock

    def sleep(seconds: float) -> Flow[None]:
        taken.append(seconds)
        clock.now += seconds
        yield from ()

    monkeypatch.setattr(_calls, "sleep", sleep)
    return taken


@pytest.fixture
def watching() -> Iterator[Watching]:
    """Watch what OpenTelemetry is told."""
    from tests.core.watching import Watching  # the SDK takes a while to import, and most tests do without

    made = Watching()
    yield made
    made.close()


@pytest.fixture(params=[True, False], ids=["blocking", "awaitable"])
def watched(request: pytest.FixtureRequest, entra: LocalEntra, server: Scripted, watching: Watching) -> Iterator[Face]:
    """Give an application with one API, whose telemetry is watched, called by code of each colour."""
    server.say("/v1/me", {"ok": True})
    apis = {"api": api(server.url + "/v1", retry_within=60.0)}
    made = make_face(entra, server, httpx, blocking=request.param, downstream_apis=apis, telemetry=watching.telemetry)
    yield made
    made.runtime.close()
