"""One server of each product for a whole run, emptied for each test, and workers that share it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from obo_middleware.testing import LocalEntra
from tests.shared.apps import COLOURS, Workers, workers
from tests.shared.servers import PRODUCTS, Product, Server


@pytest.fixture(scope="session", params=PRODUCTS, ids=lambda product: product.name)
def product(request: pytest.FixtureRequest) -> Product:
    chosen: Product = request.param
    return chosen


@pytest.fixture(scope="session")
def shared_server(product: Product) -> Iterator[Server]:
    with Server(product) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """Give an empty server that no test stops or freezes for good."""
    shared_server.flush()
    return shared_server


@pytest.fixture
def own_server(product: Product) -> Iterator[Server]:
    """Give a server of the test's own."""
    with Server(product) as running:
        yield running


@pytest.fixture
def swept() -> Iterator[None]:
    """Collect what a test has left, before another one has to answer for it."""
    yield
    gc.collect()


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def shared_entra() -> Iterator[LocalEntra]:
    with LocalEntra() as running:
        yield running


@pytest.fixture
def working(shared_entra: LocalEntra) -> Iterator[Workers]:
    """Lend workers at one provider, with nothing counted yet."""
    with workers(shared_entra) as running:
        yield running
