"""A world whose clock is everybody's, for apps in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.adapters.world import Clock, World, new_world
from tests.frameworks.matrix import Framework, Site
from tests.frameworks.processes import Command

Serve = Callable[..., Site]


@pytest.fixture(scope="module")
def everybody() -> Iterator[World]:
    with new_world(Clock()) as world:
        yield world


@pytest.fixture
def world(everybody: World) -> Iterator[World]:
    """Give the module's world, and set back what a test changes in it."""
    everybody.set_back()
    yield everybody
    everybody.set_back()


@pytest.fixture
def serve(world: World, tmp_path: Path) -> Iterator[Serve]:
    """Serve a framework's app: ``serve(framework, command)``, with variables for its environment, or other code."""
    with ExitStack() as stack:

        def begin(framework: Framework, command: Command, *, code: str = "", **variables: str) -> Site:
            site = Site(framework, command, tmp_path, world, variables=variables, code=code)
            stack.callback(site.stop)
            return site

        yield begin
