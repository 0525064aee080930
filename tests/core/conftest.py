"""Providers for these tests: one for all that only read, and a fresh one where a test turns its knobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from obo_middleware.testing import LocalEntra
from tests.core.faces import LIBRARIES, Face, make_face
from tests.core.hostile import Scripted
from tests.core.kit import NOW, RUNS, Clock, Run


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
