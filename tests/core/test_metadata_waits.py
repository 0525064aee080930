"""Who asks for a key while somebody fetches it: nobody fetches twice, and nobody waits who need not."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from credentials.kernel import Flow
from obo_middleware._keys import SigningKey
from obo_middleware._metadata import KEYS_LIVE
from tests.core.kit import Clock, no_answer, nothing
from tests.core.test_metadata import Bench, Provider, rs256


def start(flow: Flow[SigningKey | None]) -> tuple[Generator[Any, Any, SigningKey | None], Any]:
    return flow, next(flow)


def finish(flow: Generator[Any, Any, SigningKey | None], effect: Any, provider: Provider) -> SigningKey | None:
    """Play a flow that has begun to its end."""
    try:
        while True:
            effect = flow.send(provider(effect))
    except StopIteration as stop:
        key: SigningKey | None = stop.value
        return key


@pytest.mark.attack(104)
def test_whoever_asks_during_a_fetch_waits_for_it() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, request = start(bench.issuer.key_flow(rs256("b")))
    follower, wait = start(bench.issuer.key_flow(rs256("b")))
    assert type(wait).__name__ == "WaitFor"
    assert finish(leader, request, bench.provider) is not None
    with pytest.raises(StopIteration) as stop:
        follower.send(None)
    assert stop.value.value.kid == "b"
    assert bench.provider.fetches == 2


def test_a_known_key_serves_while_somebody_fetches_it_anew() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.clock.now += KEYS_LIVE + 1
    leader, request = start(bench.issuer.key_flow(rs256("a")))
    assert bench.key("a", no_answer).value().kid == "a"
    assert finish(leader, request, bench.provider) is not None


def test_a_fetch_that_ends_between_two_looks_still_counts() -> None:
    clock = Clock()
    hooks: list[Callable[[], object]] = []

    def ticking() -> float:
        while hooks:
            hooks.pop()()
        return clock()

    bench = Bench("a", clock=ticking)
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, request = start(bench.issuer.key_flow(rs256("b")))
    hooks.append(lambda: finish(leader, request, bench.provider))
    assert bench.key("b", no_answer).value().kid == "b"


def test_a_fetch_that_comes_and_goes_between_two_looks_is_not_made_again() -> None:
    clock = Clock()
    hooks: list[Callable[[], object]] = []

    def ticking() -> float:
        if hooks:
            hooks.pop()()
        return clock()

    bench = Bench("a", clock=ticking)
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    hooks += [lambda: bench.has("b"), nothing]
    assert bench.key("b", no_answer).value().kid == "b"
    assert bench.provider.fetches == 2


def test_a_leader_who_leaves_lets_another_one_fetch() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, _request = start(bench.issuer.key_flow(rs256("b")))
    follower, _wait = start(bench.issuer.key_flow(rs256("b")))
    leader.close()
    key = finish(follower, follower.send(None), bench.provider)
    assert key is not None
    assert key.kid == "b"
