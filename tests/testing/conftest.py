"""A provider, a Graph and a client for each test."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from obo_middleware.testing import LocalEntra, LocalGraph
from tests.testing.kit import Clock, http_client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entra(clock: Clock) -> Iterator[LocalEntra]:
    with LocalEntra(clock=clock) as running:
        yield running


@pytest.fixture
def graph(entra: LocalEntra) -> Iterator[LocalGraph]:
    with LocalGraph(entra) as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with http_client() as client:
        yield client
