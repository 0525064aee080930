"""Both colours, a local provider for each module, and what several modules ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credentials._credential import TokenEngine
from credentials._pool import ConnectionPool
from credentials._single_flight import FlightTable
from obo_middleware.testing import LocalEntra
from tests.credentials.asking import Asking, Provider
from tests.credentials.canary import canary as canary  # a fixture, here for all modules
from tests.credentials.every import EVERY
from tests.credentials.flights import Crowd
from tests.credentials.helpers import SECRET, Clock, Colour, Drive, local_options
from tests.credentials.places import Every, serving


@pytest.fixture(scope="session")
def pool() -> Iterator[ConnectionPool]:
    pool = ConnectionPool()
    yield pool
    pool.close()


@pytest.fixture(params=["blocking", "async"])
def drive(request: pytest.FixtureRequest, pool: ConnectionPool) -> Drive:
    """Run a flow through a real driver."""
    return Drive(request.param, pool)


@pytest.fixture(params=["blocking", "async"])
def colour(request: pytest.FixtureRequest) -> Colour:
    return Colour(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    """Serve one provider to all tests of a module; its clock stands still."""
    with LocalEntra(clock=Clock()) as entra:
        yield entra


@pytest.fixture
def entra(provider: LocalEntra) -> LocalEntra:
    """Give the module's provider without faults and counts; tests with other wishes start their own."""
    provider.forget_faults()
    provider.reset_counts()
    return provider


@pytest.fixture
def app(entra: LocalEntra, colour: Colour) -> Any:
    """Give the demo API's own credential."""
    return colour.client_secret(entra.tenant_id, entra.api.client_id, SECRET, **local_options(entra))


@pytest.fixture
def exchanges(clock: Clock) -> Provider:
    return Provider(clock)


@pytest.fixture
def engine(clock: Clock) -> TokenEngine:
    return TokenEngine(clock=clock)


@pytest.fixture
def ask(engine: TokenEngine, exchanges: Provider, pool: ConnectionPool) -> Asking:
    return Asking(engine, exchanges, pool)


@pytest.fixture
def table() -> FlightTable[str]:
    return FlightTable()


@pytest.fixture
def crowd(pool: ConnectionPool) -> Crowd:
    return Crowd(pool)


@pytest.fixture(params=EVERY, ids=lambda kind: kind.__name__)
def every(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Every]:
    """Give each class of credential, in a place where it works."""
    with serving(request.param, tmp_path, monkeypatch) as every:
        yield every
