"""What must not happen when a request is refused: an entry into the app, a request to anybody, something remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from obo_middleware.testing import LocalEntra
from tests.adapters import actions
from tests.adapters.harness import Served
from tests.adapters.world import World


def warm_up(served: Served, world: World) -> None:
    """Have the app know the keys of both issuers, so that what it asks for later has another reason."""
    issuers = served.runtime.validator.issuers.values()
    if any(issuer.metadata is None for issuer in issuers):
        for version in (1, 2):
            served.get("/whoami", world.token("alice", version=version))
    assert all(issuer.metadata is not None for issuer in issuers)


def sizes(served: Served) -> tuple[int, ...]:
    """Return how many tokens an app remembers: incoming ones, downstream ones, and refusals by the provider."""
    runtime = served.runtime
    return len(runtime.validator._remembered), len(runtime.engine), len(runtime.engine._refusals)


def asked(entra: LocalEntra) -> int:
    """Return how many requests came to the provider's endpoints for metadata and keys."""
    return entra.requests_to("metadata") + entra.requests_to("jwks")


@contextmanager
def nothing_happens(served: Served, world: World, *, fetches: int = 0) -> Iterator[None]:
    """Check that the block's requests end in the middleware; ``fetches`` of metadata or keys are allowed."""
    warm_up(served, world)
    world.entra.reset_counts()
    world.graph.reset_counts()
    actions.reached.reset()
    before = sizes(served)
    yield
    assert actions.reached.count == 0, "the app was called"
    assert world.graph.requests == [], "the downstream API was called"
    assert world.entra.requests_to("token") == 0, "a token was asked for"
    assert asked(world.entra) <= fetches, f"{asked(world.entra)} fetches of metadata and keys"
    assert sizes(served) == before, "something is remembered"
