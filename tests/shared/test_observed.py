"""What an observer is told of tokens from a shared cache, every answer given by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from credentials.kernel import ConnectionPool, Event, TokenEngine
from tests.credentials.asking import Provider
from tests.credentials.helpers import NOW
from tests.shared.by_hand import LIFE, ByHand
from tests.shared.test_engine import Shared


class Counting:
    """An observer that keeps the levels at which tokens were found."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def count(self, event: Event) -> None:
        self.levels.append(event.detail)

    def begin(self, _work: Any) -> Any:
        return lambda _error: None


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def ask(counting: Counting) -> Iterator[Shared]:
    pool, by_hand = ConnectionPool(), ByHand()
    asking = Shared(by_hand, pool)
    asking.engine = TokenEngine(clock=by_hand.clock, shared=by_hand.cache, observer=counting)
    asking.provider = Provider(by_hand.clock)
    yield asking
    pool.close()


def test_a_token_that_other_processes_have_is_from_the_shared_cache(ask: Shared, counting: Counting) -> None:
    ask.play(ask.by_hand.sealed("shared"))
    ask.play()
    assert counting.levels == ["shared", "memory"]


def test_what_nobody_has_is_a_miss(ask: Shared, counting: Counting) -> None:
    ask.fill()
    assert counting.levels == ["miss"]


def test_while_another_process_refreshes_the_old_token_is_from_memory(ask: Shared, counting: Counting) -> None:
    ask.fill()
    old = ask.by_hand.sealed("old")
    ask.clock.now = NOW + LIFE / 2
    assert ask.play(old, 9.0).result.token == "token-1"
    assert counting.levels == ["miss", "memory"]
