"""What nobody waits for: done in order, bounded, and to the end."""

from __future__ import annotations

import threading

import pytest

from credentials.kernel import Operation, Release, StoreError
from obo_middleware import _outbox
from obo_middleware._outbox import Outbox
from tests.shared.by_hand import KEY, SEALER
from tests.shared.servers import PATIENCE, eventually

NAME = SEALER.names(KEY)[0]


def operation(number: int) -> Operation:
    return Release(NAME, str(number))


class Slow:
    """A store that does nothing until it is let go, and fails where it is told to."""

    def __init__(self) -> None:
        self.done: list[Operation] = []
        self.go, self.busy = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def __call__(self, operation: Operation) -> None:
        self.busy.set()
        assert self.go.wait(PATIENCE)
        self.done.append(operation)
        if self.error is not None:
            raise self.error


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_all_is_done_in_order_and_the_end_waits_for_it(slow: Slow) -> None:
    outbox = Outbox(slow)
    for number in range(5):
        outbox.put(operation(number))
    slow.go.set()
    outbox.end()
    assert slow.done == [operation(number) for number in range(5)]


def test_nobody_waits_for_a_store_that_is_slow(slow: Slow) -> None:
    outbox = Outbox(slow)
    outbox.put(operation(1))
    assert slow.busy.wait(PATIENCE)
    outbox.put(operation(2))
    assert slow.done == []
    slow.go.set()
    outbox.end()


def test_what_fails_is_logged_and_the_next_is_done(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    slow.error = StoreError("TimeoutError")
    slow.go.set()
    outbox = Outbox(slow)
    outbox.put(operation(1))
    outbox.put(operation(2))
    outbox.end()
    assert len(slow.done) == 2
    assert "the shared cache was not told: TimeoutError" in caplog.text


def test_what_does_not_fit_is_dropped_and_the_end_is_bounded(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr(_outbox, "_SIZE", 2)
    monkeypatch.setattr(_outbox, "_LAST_WORDS", 0.01)
    outbox = Outbox(slow)
    outbox.put(operation(0))
    assert slow.busy.wait(PATIENCE)
    for number in range(1, 5):
        outbox.put(operation(number))
    assert "too much is waiting already" in caplog.text
    outbox.end()
    slow.go.set()
    eventually(lambda: slow.done == [operation(number) for number in range(3)])
    outbox._waiting.put(None)


def test_it_can_begin_again_after_its_end(slow: Slow) -> None:
    slow.go.set()
    outbox = Outbox(slow)
    outbox.end()
    for number in (1, 2):
        outbox.put(operation(number))
        outbox.end()
    assert len(slow.done) == 2


def test_many_that_put_at_once_start_one_thread(slow: Slow) -> None:
    slow.go.set()
    outbox = Outbox(slow)
    outbox._start()
    thread = outbox._thread
    outbox._start()
    assert outbox._thread is thread
    outbox.end()


def test_at_the_end_of_the_process_nothing_is_started_and_nothing_raised(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outbox = Outbox(slow)
    outbox.put(operation(1))
    outbox.end()
    assert slow.done == []
