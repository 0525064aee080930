"""One provider and one Graph for all examples, and each example served once as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from example_apps.local import FASTAPI, FLASK, serving
from obo_middleware.testing import LocalEntra, LocalGraph

SERVERS = [pytest.param(FASTAPI, id="FastAPI under uvicorn"), pytest.param(FLASK, id="Flask under gunicorn")]


@pytest.fixture(scope="session")
def entra() -> Iterator[LocalEntra]:
    with LocalEntra() as running:
        yield running


@pytest.fixture(scope="session")
def graph(entra: LocalEntra) -> Iterator[LocalGraph]:
    with LocalGraph(entra) as running:
        yield running


@pytest.fixture(scope="session", params=SERVERS)
def api(request: pytest.FixtureRequest, entra: LocalEntra, graph: LocalGraph) -> Iterator[httpx.Client]:
    with (
        serving(request.param, graph.environment) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client,
    ):
        yield client
