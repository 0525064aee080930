from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable

import pytest

from credentials import AccessTokenInfo
from credentials._cache import ExpiringCache, key_of
from credentials._credential import TokenEngine, Want
from credentials._drivers import BlockingDriver
from credentials._flow import Flow, HttpRequest, send
from credentials._fork import _renewables, renew_in_children
from credentials._pool import ConnectionPool
from credentials._single_flight import FlightTable
from tests.credentials.helpers import NOW, Clock
from tests.credentials.servers import loopback

KEY = key_of("one")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def in_child(work: Callable[[], bool]) -> bool:
    """Fork, tell whether the work was true in the child, and let no child live longer than 20 seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def made_flow(token: str) -> Flow[AccessTokenInfo]:
    yield from ()
    return AccessTokenInfo(token, int(NOW) + 3600)


@pytest.mark.attack(160)
def test_a_child_is_not_stuck_on_its_parents_flight(pool: ConnectionPool) -> None:
    engine = TokenEngine(clock=Clock())
    flight = engine._flights.lead(KEY)
    assert flight is not None
    driver = BlockingDriver(pool)
    assert in_child(lambda: driver.run(engine.token_flow(Want(key=KEY), lambda: made_flow("child"))).token == "child")
    assert len(engine._flights) == 1


@pytest.mark.attack(160)
def test_a_child_is_not_stuck_on_a_lock_that_a_thread_of_its_parent_holds() -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(size=2, until=lambda _: 10, clock=Clock(0))
    table: FlightTable[int] = FlightTable()
    cache.put("kept", 1)
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._lock, table._lock:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    # A thread that held the lock may have been in the midst of a change, so the child starts with nothing kept.
    outcome = in_child(lambda: cache.get("kept") is None and table.lead(KEY) is not None)
    release.set()
    holder.join()
    assert outcome


def test_a_child_keeps_what_its_parent_had_in_the_cache() -> None:
    cache: ExpiringCache[str, int] = ExpiringCache(size=2, until=lambda _: 10, clock=Clock(0))
    cache.put("kept", 1)
    assert in_child(lambda: cache.get("kept") == 1)


@pytest.mark.attack(160)
def test_a_child_does_not_use_its_parents_connections() -> None:
    pool = ConnectionPool()
    with loopback(lambda exchange: exchange.reply(200, b"hello")) as server:
        request = HttpRequest(method="GET", url=server.url)

        def asks() -> bool:
            return BlockingDriver(pool).run(send(request)).body == b"hello"

        assert asks()
        assert in_child(asks)
        assert asks()
        pool.close()
        assert len(server._open) == 2


def test_what_is_gone_is_not_renewed() -> None:
    class Thing:
        renewed = 0

        def renew_after_fork(self) -> None:
            self.renewed += 1

    things = [Thing()]
    renew_in_children(things[0])
    assert in_child(lambda: things[0].renewed == 1)
    assert things[0].renewed == 0
    gc.collect()
    before = len(_renewables)
    things.clear()
    gc.collect()
    assert len(_renewables) == before - 1
