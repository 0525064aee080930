"""The circuit breaker, with the time given by hand."""

from __future__ import annotations

import pytest

from obo_middleware._breaker import FAILURES, PAUSE, SPAN, CircuitBreaker


class Breaker(CircuitBreaker):
    def __init__(self) -> None:
        self.now = 100.0
        self.states: list[str] = []
        super().__init__(monotonic=lambda: self.now, changed=self.states.append)

    def fail(self, count: int = FAILURES, seconds: float = SPAN) -> None:
        """Fail so often, from now until so many seconds later."""
        for _ in range(count - 1):
            self.failed()
        self.now += seconds
        self.failed()


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


def test_at_first_everybody_may_try(breaker: Breaker) -> None:
    assert [breaker.admits() for _ in range(3)] == [True] * 3
    assert (breaker.state, breaker.states) == ("closed", [])


@pytest.mark.attack(131)
def test_after_failures_in_a_row_the_store_is_left_alone(breaker: Breaker) -> None:
    breaker.fail()
    assert (breaker.admits(), breaker.state, breaker.states) == (False, "open", ["open"])


def test_fewer_failures_are_borne(breaker: Breaker) -> None:
    breaker.fail(FAILURES - 1)
    assert breaker.admits()


def test_one_moment_in_which_many_fail_is_borne(breaker: Breaker) -> None:
    breaker.fail(100, SPAN / 2)
    assert breaker.admits()
    breaker.now += SPAN
    breaker.failed()
    assert not breaker.admits()


def test_a_success_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    breaker.fail(FAILURES - 1)
    breaker.succeeded()
    breaker.fail(FAILURES - 1)
    assert (breaker.admits(), breaker.states) == (True, [])


def test_after_the_pause_one_caller_may_try(breaker: Breaker) -> None:
    breaker.fail()
    breaker.now += PAUSE - 0.1
    assert not breaker.admits()
    breaker.now += 0.1
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    assert breaker.states == ["open", "half-open"]


def test_if_that_one_succeeds_everybody_may(breaker: Breaker) -> None:
    breaker.fail()
    breaker.now += PAUSE
    breaker.admits()
    breaker.succeeded()
    assert [breaker.admits() for _ in range(3)] == [True] * 3
    assert breaker.states == ["open", "half-open", "closed"]


def test_if_that_one_fails_the_next_pause_begins(breaker: Breaker) -> None:
    breaker.fail()
    breaker.now += PAUSE
    breaker.admits()
    breaker.failed()
    assert (breaker.admits(), breaker.state) == (False, "open")
    breaker.now += PAUSE
    assert breaker.admits()


def test_if_that_one_leaves_the_next_caller_may_try(breaker: Breaker) -> None:
    breaker.fail()
    breaker.now += PAUSE
    breaker.admits()
    breaker.gave_up()
    assert [breaker.admits() for _ in range(2)] == [True, False]
    assert breaker.states == ["open", "half-open"]
