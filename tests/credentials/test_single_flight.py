from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from credentials import ProviderUnavailableError
from credentials import _single_flight as module
from credentials._cache import key_of
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Flow, WaitFor, sleep
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, FlightTable, Landing, LeaderGoneError, WouldDeadlockError
from tests.credentials.flights import KEY, Crowd, Work, play_never, until, waiting
from tests.credentials.helpers import play


@pytest.mark.attack(124)
@pytest.mark.peer_defect(8)
def test_20_threads_and_20_tasks_share_one_exchange(table: FlightTable[str], crowd: Crowd) -> None:
    work = Work(table)
    crowd.threads(20, work.flow)
    crowd.tasks(20, work.flow)
    until(lambda: waiting(table.find(KEY), 39))
    work.go.set()
    assert crowd.join() == ["token 1"] * 40
    assert (work.count, len(table)) == (1, 0)


def test_other_keys_do_not_wait(table: FlightTable[str], pool: ConnectionPool) -> None:
    def quick_flow() -> Flow[str]:
        yield from ()
        return "other"

    table.lead(KEY)
    assert BlockingDriver(pool).run(table.fly_flow(key_of("two"), lambda: None, quick_flow)) == "other"


def test_the_leader_looks_again_once_it_leads(table: FlightTable[str]) -> None:
    looks = iter([None, "stored meanwhile"])
    played = play(table.fly_flow(KEY, lambda: next(looks), lambda: play_never("exchange")))
    assert (played.result, played.effects, len(table)) == ("stored meanwhile", [], 0)


def test_what_is_in_the_cache_starts_no_flight(table: FlightTable[str]) -> None:
    assert play(table.fly_flow(KEY, lambda: "cached", lambda: play_never("exchange"))).result == "cached"


# Cancellation


@pytest.mark.attack(125)
def test_a_follower_takes_over_from_a_cancelled_leader(
    table: FlightTable[str], crowd: Crowd, pool: ConnectionPool
) -> None:
    work = Work(table)
    led, gone = threading.Event(), threading.Event()

    async def leader() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(work.flow()))
        assert await asyncio.to_thread(work.begun.wait, 10)
        led.set()
        await asyncio.to_thread(until, lambda: waiting(table.find(KEY), 10))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone.set()
        work.go.set()

    thread = threading.Thread(target=asyncio.run, args=(leader(),))
    thread.start()
    assert led.wait(10)
    crowd.threads(5, work.flow)
    crowd.tasks(5, work.flow)
    assert crowd.join() == ["token 2"] * 10
    thread.join()
    assert (work.count, len(table)) == (2, 0)


def test_a_cancelled_follower_harms_nobody(table: FlightTable[str], crowd: Crowd, pool: ConnectionPool) -> None:
    work = Work(table)
    crowd.threads(1, work.flow)
    assert work.begun.wait(10)

    async def give_up() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(work.flow()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    crowd.tasks(2, work.flow)
    until(lambda: waiting(table.find(KEY), 2))
    work.go.set()
    assert crowd.join() == ["token 1"] * 3
    assert (work.count, len(table)) == (1, 0)


def test_a_follower_that_gave_up_leaves_nothing_behind_for_the_leader(
    table: FlightTable[str], pool: ConnectionPool, caplog: pytest.LogCaptureFixture
) -> None:
    flight = table.lead(KEY)
    assert flight is not None

    async def give_up() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(table.fly_flow(KEY, lambda: None, lambda: play_never("x"))))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    with caplog.at_level(logging.DEBUG):
        flight.future.set_result(Landing("landed"))
    # Servers of other tests log on threads of their own; what would be wrong is a callback that fails on a closed loop.
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_each_gone_leader_costs_one_election_and_at_last_one_goes_alone(table: FlightTable[str]) -> None:
    def own_flow() -> Flow[str]:
        yield from sleep(0)
        return "mine"

    flow = table.fly_flow(KEY, lambda: None, own_flow)
    table.lead(KEY)
    effect = next(flow)
    for _ in range(module._ELECTIONS):
        assert isinstance(effect, WaitFor)
        table._land(KEY, effect.flight, Landing(error=LeaderGoneError()))
        table.lead(KEY)
        effect = flow.send(None)
    assert not isinstance(effect, WaitFor)
    with pytest.raises(StopIteration) as stop:
        flow.send(None)
    assert stop.value.value == "mine"


def test_a_flight_that_landed_between_two_looks_is_looked_up_again(
    table: FlightTable[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, "landed meanwhile"])
    table.lead(KEY)
    monkeypatch.setattr(table, "find", lambda key: None)
    assert play(table.fly_flow(KEY, lambda: next(looks), lambda: play_never("exchange"))).result == "landed meanwhile"


# Bounds


def test_a_follower_waits_no_longer_than_its_patience(
    table: FlightTable[str], pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    table.lead(KEY)
    with pytest.raises(ProviderUnavailableError) as caught:
        BlockingDriver(pool).run(table.fly_flow(KEY, lambda: None, lambda: play_never("exchange")))
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_a_follower_cannot_cancel_the_flight() -> None:
    assert not Flight[str]().future.cancel()


@pytest.mark.timeout(20)
def test_a_blocking_caller_does_not_wait_for_a_task_of_its_own_loop(
    table: FlightTable[str], pool: ConnectionPool
) -> None:
    count = 0

    def exchange_flow() -> Flow[str]:
        nonlocal count
        count += 1
        mine = count
        yield from sleep(0.01)
        return f"token {mine}"

    async def main() -> tuple[str, str]:
        leader = asyncio.create_task(AsyncDriver(pool).run(table.fly_flow(KEY, lambda: None, exchange_flow)))
        await asyncio.sleep(0)
        assert table.find(KEY) is not None
        own = BlockingDriver(pool).run(table.fly_flow(KEY, lambda: None, exchange_flow))
        return own, await leader

    assert asyncio.run(main()) == ("token 2", "token 1")
    assert (count, len(table)) == (2, 0)


def test_a_blocking_caller_of_another_thread_does_wait_for_a_task(
    table: FlightTable[str], pool: ConnectionPool
) -> None:
    work = Work(table)

    async def main() -> list[str]:
        leader = asyncio.create_task(AsyncDriver(pool).run(work.flow()))
        assert await asyncio.to_thread(work.begun.wait, 10)
        follower = asyncio.create_task(asyncio.to_thread(BlockingDriver(pool).run, work.flow()))
        await asyncio.to_thread(until, lambda: waiting(table.find(KEY), 1))
        work.go.set()
        return [await leader, await follower]

    assert asyncio.run(main()) == ["token 1", "token 1"]
    assert work.count == 1


def test_the_way_out_of_a_deadlock_is_an_exchange_of_ones_own(table: FlightTable[str]) -> None:
    def own_flow() -> Flow[str]:
        yield from ()
        return "own"

    table.lead(KEY)
    assert play(table.fly_flow(KEY, lambda: None, own_flow), WouldDeadlockError()).result == "own"


def test_a_flight_that_outlasts_a_followers_patience_is_in_nobody_elses_way(
    table: FlightTable[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table.lead(KEY)
    assert play(table.fly_flow(KEY, lambda: None, lambda: play_never("x")), TimeoutError()).error is not None
    assert len(table) == 0


def test_landing_a_flight_after_a_fork_leaves_a_newer_one_alone(table: FlightTable[str]) -> None:
    old = table.lead(KEY)
    table.renew_after_fork()
    newer = table.lead(KEY)
    assert old is not None
    table._land(KEY, old, Landing("late"))
    assert table.find(KEY) is newer


def test_a_leader_that_ends_while_its_own_thread_uses_the_table_does_not_block_it(table: FlightTable[str]) -> None:
    flight = table.lead(KEY)
    assert flight is not None
    with table._lock:  # as when a garbage collection closes an abandoned leader
        table._land(KEY, flight, Landing("landed"))
    assert len(table) == 0


def test_a_blocking_caller_on_a_loops_thread_waits_for_nobody(table: FlightTable[str], pool: ConnectionPool) -> None:
    assert table.lead(KEY) is not None

    def own_flow() -> Flow[str]:
        yield from sleep(0)
        return "mine"

    async def main() -> str:
        return BlockingDriver(pool).run(table.fly_flow(KEY, lambda: None, own_flow))

    assert asyncio.run(main()) == "mine"
