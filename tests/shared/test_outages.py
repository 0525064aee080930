"""A store that is gone, frozen, slow, restarted, emptied or full: no request fails that could have been answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from obo_middleware._breaker import PAUSE, SPAN
from obo_middleware._redis_connections import PATIENCE
from tests.shared.apps import COLOURS, CROWD_PATIENCE, LEAVING_CONNECTIONS, MAIL, SCOPE, App, Workers
from tests.shared.proxy import Proxy
from tests.shared.servers import Product, Server, eventually

pytestmark = LEAVING_CONNECTIONS

SLOW = 0.05
"""The ``max_wait`` that people get."""


class Load:
    """Workers that each ask at once for two tokens of so many new users, again and again; every answer is checked."""

    def __init__(self, working: Workers, apps: list[App], users: int) -> None:
        self._working, self._users = working, users
        self._ended, self.problems = threading.Event(), list[str]()
        self._rounds = [0] * len(apps)
        self._threads = [threading.Thread(target=self._ask, args=each) for each in enumerate(apps)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int, app: App) -> None:
        while not self._ended.is_set():
            names = [self._working.newcomer() for _ in range(self._users)]
            wants = [(self._working.sign_in(name), scope) for name in names for scope in (SCOPE, MAIL)]
            started = time.monotonic()
            try:
                got = app.tokens(wants)
            except Exception as error:  # noqa: BLE001  # whatever a request fails with is the finding
                self.problems.append(f"{app.colour}, after {time.monotonic() - started:.1f} seconds: {error!r}")
                return
            owners = [name for name in names for _ in (SCOPE, MAIL)]
            for name, token in zip(owners, got, strict=True):
                if self._working.whose(token) != name:
                    self.problems.append(f"{name} got another's")
            self._rounds[number] += 1

    def further(self) -> None:
        """Wait until every worker has begun and ended one more round, or one has a problem."""
        wanted = min(self._rounds) + 1
        eventually(lambda: self.problems or min(self._rounds) >= wanted, CROWD_PATIENCE)
        assert self.problems == []

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(CROWD_PATIENCE)


@contextmanager
def under_load(working: Workers, apps: list[App], users: int = 5) -> Iterator[Callable[[], None]]:
    """Lend a wait for one more round of every worker under load."""
    load = Load(working, apps, users)
    try:
        yield load.further
    finally:
        load.end()
    assert load.problems == []


@pytest.fixture
def apps(working: Workers, own_server: Server) -> list[App]:
    return [working.start(own_server.url, colour, max_wait=SLOW).listens() for colour in COLOURS]


@pytest.mark.timeout(600)
@pytest.mark.attack(131)
def test_no_request_fails_whatever_happens_to_the_store(working: Workers, own_server: Server, apps: list[App]) -> None:
    with under_load(working, apps, users=25) as further:  # 100 requests at a time, of two workers
        further()
        own_server.flush()
        further()
        with own_server.frozen():
            further()
        further()
        own_server.stop()
        further()
        own_server.start()
        further()
        own_server.ask("CONFIG", "SET", "maxmemory", "1")
        further()
        own_server.ask("CONFIG", "SET", "maxmemory", "0")
        own_server.ask("CLIENT", "KILL", "TYPE", "normal")
        own_server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        further()
    eventually(lambda: all(app.store.statistics.listening for app in apps))


@pytest.mark.attack(131)
def test_after_an_outage_the_store_is_used_again(
    working: Workers, own_server: Server, apps: list[App], caplog: pytest.LogCaptureFixture
) -> None:
    token = working.sign_in()
    own_server.stop()
    eventually(lambda: all(app.token(working.sign_in()) and app.store.statistics.opened for app in apps))
    assert min(app.store.statistics.failures for app in apps) >= 5
    assert "the circuit breaker of the shared cache is open" in caplog.text
    own_server.start()
    eventually(lambda: all(app.token(working.sign_in()) and app.store.statistics.state == "closed" for app in apps))
    first, second = apps
    before = working.exchanges
    got = first.token(token)
    eventually(own_server.entries)
    assert second.token(token) == got
    assert working.exchanges == before + 1


@pytest.mark.attack(131)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_frozen_store_costs_its_bounded_wait_and_an_open_breaker_nothing(
    working: Workers, own_server: Server, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0  # the breaker's clock: a busy machine needs longer for a few requests than an open one pauses
    app = working.start(own_server.url, colour, max_wait=SLOW, monotonic=lambda: now).listens()
    app.token(working.sign_in())
    waits = waits_of(app, monkeypatch)
    with own_server.frozen():
        for asked in range(1, 4):
            assert app.token(working.sign_in())
            assert len(waits) == 2 * asked, "a look and a lead for each, and no second try"
        assert app.store.statistics.state == "closed", "all in one moment"
        now += SPAN
        assert app.token(working.sign_in())
        assert app.store.statistics.opened == 1
        waits.clear()
        for _ in range(10):
            assert app.token(working.sign_in())
        assert waits == []
        now += PAUSE
        assert app.token(working.sign_in())
        assert len(waits) <= 1, "one try after the pause, by a request or by what is left for later"


def waits_of(app: App, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what requests ask the store from now on, without what is done later."""
    waits, connections = list[object](), app.store._connections
    run, run_async = connections.run, connections.run_async

    def watched(commands: Any, seconds: float) -> Any:
        if seconds != PATIENCE:
            waits.append(commands)
        return run(commands, seconds)

    async def watched_async(command: Any, check: Any) -> Any:
        waits.append(command)
        return await run_async(command, check)

    monkeypatch.setattr(connections, "run", watched)
    monkeypatch.setattr(connections, "run_async", watched_async)
    return waits


@pytest.mark.attack(131)
def test_a_slow_store_is_waited_for_no_longer_than_it_is_said(working: Workers, server: Server, colour: str) -> None:
    with Proxy(server.address) as proxy:
        app = working.start(f"redis://127.0.0.1:{proxy.port}", colour, max_wait=SLOW).listens()
        app.token(working.sign_in())
        proxy.delay = 30.0
        token = working.sign_in()
        app.admit(token)
        started = time.monotonic()
        assert app.token(token)
        assert time.monotonic() - started < 15
        assert app.store.statistics.failures > 0
        proxy.delay = 0.0


def test_an_answer_that_came_too_late_is_nobody_elses(working: Workers, server: Server, colour: str) -> None:
    users = [working.newcomer() for _ in range(6)]
    wants = [(working.sign_in(user), SCOPE) for user in users]
    working.start(server.url).tokens(wants)
    eventually(lambda: len(server.entries()) == 6)
    with Proxy(server.address) as proxy:
        app = working.start(f"redis://127.0.0.1:{proxy.port}", colour, max_wait=SLOW).listens()
        proxy.delay = 0.045  # too late for one operation, and on the wire when the next one could be
        got = [app.token(token) for token, _ in wants[:3]]
        proxy.delay = 0.0
        got += app.tokens(wants[3:])
        assert [working.whose(token) for token in got] == users


def test_a_full_store_gives_what_it_has_and_takes_nothing_new(
    working: Workers, own_server: Server, colour: str
) -> None:
    old, new = working.sign_in(), working.sign_in()
    got = working.start(own_server.url, colour).token(old)
    eventually(own_server.entries)
    own_server.ask("CONFIG", "SET", "maxmemory", "1")
    app = working.start(own_server.url, colour).listens()
    assert app.token(old) == got
    assert app.token(new)
    assert working.exchanges == 2
    assert app.store.statistics.state == "closed"


def test_a_store_that_evicts_loses_entries_and_nothing_else(working: Workers, product: Product, colour: str) -> None:
    with Server(product, maxmemory="3mb", maxmemory_policy="allkeys-lru") as small:
        app = working.start(small.url, colour).listens()
        small.ask("EVAL", "for i = 1, 3000 do redis.call('SET', 'other:' .. i, string.rep('x', 1000)) end", 0)
        user = working.newcomer()
        assert working.whose(app.token(working.sign_in(user))) == user


def test_memory_is_dropped_with_its_server_and_made_again(working: Workers, own_server: Server, colour: str) -> None:
    app, token = working.start(own_server.url, colour).listens(), working.sign_in()
    got = app.token(token)
    eventually(own_server.entries)
    own_server.restart()
    assert app.token(token) == got
    other = working.start(own_server.url, colour).listens()
    assert other.token(token) != got
    assert working.exchanges == 2
