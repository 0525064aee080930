"""A world for the whole run, and the same app behind each of the four adapters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.adapters import actions
from tests.adapters.harness import KINDS, Canary, Served, serve
from tests.adapters.servers import GunicornServer
from tests.adapters.world import SECRET, Clock, World, new_world


@pytest.fixture(scope="package")
def canary() -> Iterator[Canary]:
    """Watch all log records from DEBUG up for tokens and secrets."""
    watching = Canary()
    root = logging.getLogger()
    before = root.level
    root.addHandler(watching)
    root.setLevel(logging.DEBUG)
    yield watching
    root.setLevel(before)
    root.removeHandler(watching)


@pytest.fixture(autouse=True)
def nothing_leaks(canary: Canary) -> Iterator[None]:
    yield
    leaks = list(canary.leaks)
    canary.leaks.clear()
    assert leaks == []


@pytest.fixture(scope="session")
def shared_world() -> Iterator[World]:
    with new_world(Clock(1_800_000_000.0)) as running:
        yield running


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """Give the shared world with counts at 0, and set back what a test changes in it."""
    shared_world.set_back()
    actions.entered.reset()
    actions.reached.reset()
    actions.kept.clear()
    yield shared_world
    shared_world.set_back()


@pytest.fixture(scope="session", params=KINDS)
def shared_adapter(request: pytest.FixtureRequest, shared_world: World) -> Iterator[Served]:
    served = serve(request.param, shared_world.settings())
    yield served
    served.stop()


@pytest.fixture
def adapter(shared_adapter: Served, world: World) -> Served:
    """Give the app with the settings of the world behind one adapter, served for all tests."""
    return shared_adapter


Start = Callable[..., Served]


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    """Serve an app with settings of its own for one test: ``start(kind, required=False)``."""
    with ExitStack() as stack:

        def begin(kind: str, **changes: Any) -> Served:
            served = serve(kind, world.settings(**changes))
            stack.callback(served.stop)
            return served

        yield begin


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def real_time_world() -> Iterator[World]:
    """Start a world whose clock is everybody's, for apps in other processes."""
    with new_world(Clock()) as running:
        yield running


def environment_of(world: World) -> dict[str, str]:
    """Return the environment of an app in another process."""
    return {
        "AZURE_TENANT_ID": world.entra.tenant_id,
        "AZURE_CLIENT_ID": world.client_id,
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_AUTHORITY_HOST": world.entra.authority,
        "OBO_ALLOW_LOCAL_ISSUER": "true",
        "ADAPTERS_GRAPH": world.graph.base_url,
    }


@pytest.fixture(scope="module", params=["wsgi", "flask"])
def shared_gunicorn(
    request: pytest.FixtureRequest, real_time_world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, GunicornServer]]:
    output: Path = tmp_path_factory.mktemp("gunicorn") / "output"
    app = f"tests.adapters.gunicorn_app:in_{request.param}"
    server = GunicornServer(app, output, environment_of(real_time_world))
    served = Served(request.param, server)
    yield served, server
    served.stop()
