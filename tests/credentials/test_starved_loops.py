"""An event loop whose default executor is full of blocking callers, who wait for an exchange that this loop leads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from credentials import AccessToken, AccessTokenInfo, get_bearer_token_provider
from credentials import _drivers as drivers
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Command, Flow, ask, call, execute, resolve, sleep, wait_for
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, FlightTable, LeaderStalledError, running_loop
from credentials.aio import ClientSecretCredential
from tests.credentials.flights import KEY, Work, play_never, until, waiting
from tests.credentials.helpers import play
from tests.credentials.servers import Exchange, loopback


@contextmanager
def full_executor() -> Iterator[None]:
    """Take the only thread of the running loop's default executor while the block runs."""
    loop, released = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
    taken = loop.run_in_executor(None, released.wait, 30)
    try:
        yield
    finally:
        released.set()
        assert not taken.done()


async def in_full_loop(pool: ConnectionPool, flow: Flow[Any]) -> Any:
    with full_executor():
        return await asyncio.wait_for(AsyncDriver(pool).run(flow), 20)


class Plain:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("plain", 12)


# What the awaitable driver does


@pytest.mark.parametrize(
    ("flow", "check"),
    [
        (lambda: resolve("localhost", timeout=10), bool),
        (lambda: call(lambda: "called"), lambda value: value == "called"),
        (lambda: ask(Plain(), ("a",), {}), lambda info: info == AccessTokenInfo("plain", 12)),
        (
            lambda: execute(Command(arguments=(sys.executable, "-c", "print('ran')"), directory="/")),
            lambda result: result.output.strip() == "ran",
        ),
    ],
    ids=["host name", "function", "foreign credential", "program"],
)
@pytest.mark.timeout(60)
def test_no_effect_needs_the_loops_own_threads(
    pool: ConnectionPool, flow: Callable[[], Flow[Any]], check: Callable[[Any], bool]
) -> None:
    assert check(asyncio.run(in_full_loop(pool, flow())))


@pytest.mark.parametrize("kind", [SystemExit, LookupError])
def test_what_is_raised_on_a_thread_of_its_own_comes_through(pool: ConnectionPool, kind: type[BaseException]) -> None:
    def failing() -> str:
        raise kind("by the user's function")

    async def main() -> None:
        with pytest.raises(kind, match="by the user's function"):
            await AsyncDriver(pool).run(call(failing))

    asyncio.run(main())


def test_work_whose_caller_was_cancelled_goes_on_alone(pool: ConnectionPool) -> None:
    begun, released, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        released.wait(10)
        done.set()
        return "nobody asks"

    async def main() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(call(work)))
        assert await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    released.set()
    assert done.wait(10)


# How long blocking code waits for a task


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "TASK_PATIENCE", 0.05)


def flight_of_a_task() -> Flight[str]:
    async def main() -> Flight[str]:
        return Flight()

    return asyncio.run(main())


def test_a_flight_knows_whether_a_task_leads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Flight[str]().by_task, flight_of_a_task().by_task) == (False, True)
    monkeypatch.delitem(sys.modules, "asyncio")
    assert running_loop() is None


@pytest.mark.usefixtures("_impatient")
def test_blocking_code_waits_for_a_task_shortly_and_for_a_thread_as_long_as_it_may(pool: ConnectionPool) -> None:
    with pytest.raises(LeaderStalledError):
        BlockingDriver(pool).run(wait_for(flight_of_a_task(), timeout=10))
    with pytest.raises(TimeoutError):
        BlockingDriver(pool).run(wait_for(flight_of_a_task(), timeout=0.01))
    with pytest.raises(TimeoutError):
        BlockingDriver(pool).run(wait_for(Flight[str](), timeout=0.1))


@pytest.mark.usefixtures("_impatient")
def test_a_task_waits_for_another_task_as_long_as_it_may(pool: ConnectionPool) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(AsyncDriver(pool).run(wait_for(flight_of_a_task(), timeout=0.1)))


def test_whoever_finds_a_task_stalled_leads_anew_and_the_next_ones_follow(table: FlightTable[str]) -> None:
    stalled = table.lead(KEY)
    assert stalled is not None

    def own_flow() -> Flow[str]:
        yield from sleep(0)
        return "own"

    first = table.fly_flow(KEY, lambda: None, own_flow)
    second = table.fly_flow(KEY, lambda: None, lambda: play_never("a second exchange"))
    next(first)
    next(second)
    first.throw(LeaderStalledError())
    flight = table.find(KEY)
    assert flight not in (None, stalled)
    effect: Any = second.throw(LeaderStalledError())
    assert effect.flight is flight


def test_a_token_that_came_meanwhile_is_taken_before_anybody_leads_anew(table: FlightTable[str]) -> None:
    looks = iter([None, "came meanwhile"])
    table.lead(KEY)
    played = play(table.fly_flow(KEY, lambda: next(looks), lambda: play_never("exchange")), LeaderStalledError())
    assert played.result == "came meanwhile"


@pytest.mark.usefixtures("_impatient")
def test_many_threads_that_find_a_task_stalled_make_one_exchange_more(
    table: FlightTable[str], pool: ConnectionPool
) -> None:
    stalled, work = Work(table), Work(table)

    async def main() -> list[str]:
        leader = asyncio.create_task(AsyncDriver(pool).run(stalled.flow()))
        assert await asyncio.to_thread(stalled.begun.wait, 10)
        first = table.find(KEY)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            loop = asyncio.get_running_loop()
            followers = [loop.run_in_executor(threads, BlockingDriver(pool).run, work.flow()) for _ in range(8)]
            await asyncio.to_thread(until, lambda: table.find(KEY) is not first and waiting(table.find(KEY), 7))
            work.go.set()
            tokens = await asyncio.gather(*followers)
        stalled.go.set()
        return [*tokens, await leader]

    assert asyncio.run(main()) == ["token 1"] * 9
    assert (stalled.count, work.count, len(table)) == (1, 1, 0)


# All of it


def respond(exchange: Exchange) -> None:
    exchange.reply(200, json.dumps({"access_token": "tok", "token_type": "Bearer", "expires_in": 3600}).encode())


@pytest.mark.usefixtures("_impatient")
@pytest.mark.timeout(60)
def test_blocking_callers_on_all_threads_of_a_loop_do_not_starve_its_own_exchange() -> None:
    async def main(url: str) -> list[str]:
        asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(2))
        async with ClientSecretCredential("t", "c", "s", authority=url, allow_local_authority=True) as credential:
            blocking = get_bearer_token_provider(credential, "a/.default")
            tasks: list[Coroutine[Any, Any, AccessToken]] = [credential.get_token("a/.default") for _ in range(2)]
            leading = [asyncio.ensure_future(task) for task in tasks]
            threads = [asyncio.ensure_future(asyncio.to_thread(blocking)) for _ in range(4)]
            tokens = [token.token for token in await asyncio.gather(*leading)]
            return [*tokens, *await asyncio.gather(*threads)]

    with loopback(respond) as server:
        # By name: a name is looked up on the loop's default executor.
        tokens = asyncio.run(main(server.url.replace("127.0.0.1", "localhost")))
        assert tokens == ["tok"] * 6
        # One by the task, at last, and one by a thread that did not wait for it.
        assert len(server.asked) <= 2
