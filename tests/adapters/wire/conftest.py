"""Every server with every adapter that it can serve; each is started when it is first asked for, and once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.adapters.wire.sites import ASGI, MATRIX, Farm, Site
from tests.adapters.world import Clock, World, new_world


@pytest.fixture(scope="session")
def outside() -> Iterator[World]:
    """Give the world of all these apps; its clock is everybody's, for some of them are in other processes."""
    with new_world(Clock()) as running:
        yield running


@pytest.fixture(scope="session")
def farm(outside: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(outside, tmp_path_factory.mktemp("wire")) as farm:
        yield farm


@pytest.fixture(params=MATRIX)
def site(request: pytest.FixtureRequest, farm: Farm) -> Site:
    """Give an app with plain settings behind a server."""
    return farm.site(request.param, "plain")


@pytest.fixture(params=MATRIX)
def special(request: pytest.FixtureRequest, farm: Farm) -> Site:
    """Give an app with special settings behind a server."""
    return farm.site(request.param, "special")


@pytest.fixture(params=ASGI)
def asgi_site(request: pytest.FixtureRequest, farm: Farm) -> Site:
    """Give an app of ASGI with plain settings behind a server."""
    return farm.site(request.param, "plain")


Sockets = Callable[[str], Site]


@pytest.fixture(scope="session")
def alice(outside: World) -> str:
    """Give the access token of a user."""
    return outside.token("alice")


@pytest.fixture(scope="session")
def bob(outside: World) -> str:
    """Give the access token of another user."""
    return outside.token("bob")
