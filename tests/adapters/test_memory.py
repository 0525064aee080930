"""What a request leaves in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from obo_middleware._context import Context
from tests.adapters.harness import Served, serve
from tests.adapters.world import PATIENCE, World


@contextmanager
def no_collector() -> Iterator[None]:
    """Leave whatever holds itself in memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


PATHS = pytest.mark.parametrize("path", ["/me", "/whoami", "/stream"])


def contexts_of(object_id: str) -> int:
    """Count a user's contexts in memory; a list of them would keep them there until the next look."""
    # By their types: a lazy object of some library would begin its work when it is asked for its class.
    contexts = (thing for thing in gc.get_objects() if issubclass(type(thing), Context))
    return sum(context.user is not None and context.user.object_id == object_id for context in contexts)


def check_goes(served: Served, world: World, path: str) -> None:
    name = world.newcomer()
    with no_collector():
        assert served.get(path, world.token(name)).status_code == 200
        # A server may keep the last request of a connection until the next one.
        assert served.get("/public").status_code == 200
        deadline = time.monotonic() + PATIENCE
        while contexts_of(world.object_id(name)):
            assert time.monotonic() < deadline, "the context waits for the collector"
            time.sleep(0.01)


@PATHS
def test_a_context_goes_with_its_request_and_waits_for_no_collector(adapter: Served, world: World, path: str) -> None:
    check_goes(adapter, world, path)


@PATHS
def test_with_django_too(world: World, path: str) -> None:
    # By WSGI alone: by ASGI Django keeps a request for the collector, in the traceback of its own RequestAborted.
    with serve("django-wsgi", world.settings()) as served:
        check_goes(served, world, path)
