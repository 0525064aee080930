"""How long an answer is waited for, and what other processes tell."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import redis

from credentials.kernel import Flight, Forget, Landing
from obo_middleware import ConfigurationError
from obo_middleware import _redis_news as news_module
from obo_middleware._redis_commands import FORGOTTEN, TOLD, Keys
from obo_middleware._redis_connections import Patience
from obo_middleware._redis_news import News
from obo_middleware._shared_cache import _NEWS
from tests.shared.by_hand import GROUP, KEY, ByHand

# Patience


async def late(seconds: float, loop_stands: float) -> str:
    """Answer after so many seconds, on a loop that stands still for a while."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    threading.Timer(seconds, lambda: loop.call_soon_threadsafe(answer.set_result, "there")).start()
    loop.call_soon(lambda: threading.Event().wait(loop_stands))
    return await Patience(0.1).wait(answer)


def test_an_answer_that_came_while_the_loop_stood_still_counts() -> None:
    assert asyncio.run(late(0.05, 0.5)) == "there"


def test_an_answer_that_does_not_come_is_waited_for_so_long() -> None:
    async def main() -> tuple[float, float]:
        patience = Patience(0.05)

        async def waited() -> float:
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                await patience.wait(asyncio.get_running_loop().create_future())
            return time.monotonic() - started

        return await waited(), await waited()

    first, next_one = asyncio.run(main())
    assert 0.05 <= first < 5
    assert 0.045 <= next_one < 5  # the clock ticks already: it begins between two ticks


def test_waits_end_each_in_its_turn_by_one_clock_that_stops_when_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[Callable[[], None]] = []

    async def turn(times: int) -> None:
        for _ in range(times):
            (tick,) = timers
            timers.clear()
            tick()
            for _ in range(3):  # as many steps as from the end of a wait to what its caller does next
                await asyncio.sleep(0)

    async def main() -> None:
        loop, patience = asyncio.get_running_loop(), Patience(0.05)
        monkeypatch.setattr(loop, "call_at", lambda when, tick: timers.append(tick))

        async def wait() -> None:
            with pytest.raises(TimeoutError):
                await patience.wait(loop.create_future())

        first = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await turn(5)
        second = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await turn(5)
        assert not first.done()
        await turn(1)
        assert first.done()
        await turn(4)
        assert not second.done()
        await turn(1)
        assert second.done()
        await turn(1)
        assert not timers
        third = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await turn(11)
        assert third.done()

    asyncio.run(main())


def test_ticks_that_come_a_little_late_do_not_add_up_and_missed_ones_are_not_made_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due: list[float] = []

    async def main() -> None:
        loop, patience = asyncio.get_running_loop(), Patience(0.11)
        now, ticks = 100.0, list[Callable[[], None]]()

        def call_at(when: float, tick: Callable[[], None]) -> None:
            due.append(round(when, 6))
            ticks.append(tick)

        monkeypatch.setattr(loop, "time", lambda: now)
        monkeypatch.setattr(loop, "call_at", call_at)
        waiting = asyncio.create_task(patience.wait(loop.create_future()))
        await asyncio.sleep(0)
        for late in (0.001, 0.001, 0.009, 0.5, 0.0):
            now = due[-1] + late
            ticks[-1]()
        waiting.cancel()

    asyncio.run(main())
    assert due == [100.01, 100.02, 100.03, 100.04, 100.55, 100.56]


# News


def test_news_of_others_and_of_another_make_are_none(caplog: pytest.LogCaptureFixture) -> None:
    by_hand = ByHand()
    told = by_hand.cache.told(GROUP)
    assert by_hand.cache.heard(told.news) == (GROUP, by_hand.clock())
    everybody = by_hand.cache.told(b"")
    assert (everybody.groups, by_hand.cache.heard(everybody.news)) == ((), (b"", by_hand.clock()))
    name = by_hand.sealer.names(KEY)[0]
    for wrong in (b"", b"news", by_hand.sealer.seal(name, b"{}")):
        assert by_hand.cache.heard(wrong) is None
    for data in (b"[]", b"{}", b'{"group":7,"at":1}', b'{"group":"zz","at":1}', b'{"group":"","at":"x"}'):
        assert by_hand.cache.heard(by_hand.sealer.seal(_NEWS, data)) is None
    assert isinstance(told, Forget)


class Channel:
    """A connection whose messages a test gives; when there are none left it breaks."""

    def __init__(self, *messages: object) -> None:
        self.messages = [None, *messages]
        self.pings = self.closed = 0

    def pubsub(self, **options: object) -> Channel:
        return self

    def zrangebyscore(self, *arguments: object) -> list[bytes]:
        return [b"before"]

    def subscribe(self, channel: str) -> None:
        assert channel == "app:news"

    def get_message(self, timeout: float) -> object:
        if not self.messages:
            raise redis.ConnectionError
        return self.messages.pop(0)

    def ping(self) -> None:
        self.pings += 1

    def close(self) -> None:
        self.closed += 1


def message(data: object, kind: str = "message") -> dict[str, object]:
    return {"type": kind, "data": data}


def test_messages_are_told_to_those_whom_they_concern() -> None:
    channel = Channel(
        message(TOLD + b"entry"),
        message(FORGOTTEN + b"now"),
        message(b"?"),
        message("text"),
        message(b"", "pong"),
        None,
    )
    news, heard = News(Keys("app"), lambda: channel, lambda: None), list[bytes]()
    news.add(heard.append)
    with pytest.raises(redis.ConnectionError):
        news._hear(threading.Event())
    assert (heard, channel.closed) == ([b"before", b"now"], 1)


def test_a_message_lands_the_waits_for_its_entry_and_no_other() -> None:
    news = News(Keys("app"), lambda: None, lambda: None)
    mine, others = news.expect("entry"), news.expect("other")
    news._tell(message(TOLD + b"entry"))
    assert (mine.future.result(0), others.future.done()) == (Landing(), False)
    news.expect_no_more("entry", mine)
    news.expect_no_more("other", Flight[None]())
    assert list(news._expected) == ["other"]
    news.expect_no_more("other", others)
    assert news._expected == {}


def test_a_silent_connection_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    channel, now = Channel(*[None] * 8), iter(range(0, 100, 6))
    monkeypatch.setattr(news_module, "time", SimpleNamespace(time=time.time, monotonic=lambda: float(next(now))))
    with pytest.raises(TimeoutError):
        News(Keys("app"), lambda: channel, lambda: None)._hear(threading.Event())
    assert (channel.pings, channel.closed) == (2, 1)


def test_it_connects_again_with_growing_pauses_and_says_a_wrong_setting_once(caplog: pytest.LogCaptureFixture) -> None:
    pauses = list[float]()

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            if len(pauses) == 4:
                self.set()
            return True

    def check() -> None:
        raise ConfigurationError("the key is wrong")

    channels = iter([None, None, Channel(), None])
    News(Keys("app"), lambda: next(channels), check)._listen(Ended())
    assert pauses == [0.2, 0.4, 0.1, 0.2]
    assert caplog.text.count("the key is wrong") == 1
