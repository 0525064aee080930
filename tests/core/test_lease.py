from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from obo_middleware._lease import Lease
from obo_middleware.errors import RefusedRequestError, RequestEndedError
from tests.core.kit import NOW, Clock


def lease(clock: Clock | None = None, until: float | None = None) -> Lease:
    return Lease(clock or Clock(), until)


def refused(one: Lease) -> bool:
    try:
        one.check()
    except RefusedRequestError:
        return True
    return False


def test_a_client_may_send_while_its_request_is_at_hand() -> None:
    one = lease()
    one.check()
    one.begin()
    one.check()
    one.end()
    with pytest.raises(RequestEndedError, match="is over"):
        one.check()


def test_the_end_of_a_request_that_never_began_is_its_end_too() -> None:
    one = lease()
    one.end()
    assert refused(one)


@pytest.mark.attack(172)
def test_no_client_sends_in_the_task_of_another_request() -> None:
    async def request(mine: Lease, others: list[Lease], arrived: asyncio.Barrier) -> tuple[bool, list[bool]]:
        mine.begin()
        await arrived.wait()
        answer = refused(mine), [refused(one) for one in others]
        await arrived.wait()
        mine.end()
        return answer

    async def main() -> tuple[tuple[bool, list[bool]], ...]:
        a, b, barrier = lease(), lease(), asyncio.Barrier(2)
        both = await asyncio.gather(request(a, [b], barrier), request(b, [a], barrier))
        return tuple(both)

    assert asyncio.run(main()) == ((False, [True]), (False, [True]))


@pytest.mark.attack(172)
def test_no_client_sends_in_the_thread_of_another_request() -> None:
    a, b = lease(), lease()
    a.begin()
    seen: list[bool] = []

    def other_request() -> None:
        b.begin()
        seen.extend((refused(a), refused(b)))
        b.end()

    thread = threading.Thread(target=other_request, daemon=True)
    thread.start()
    thread.join()
    a.end()
    assert seen == [True, False]


def test_what_a_request_starts_may_use_its_client() -> None:
    one = lease()
    one.begin()
    context = contextvars.copy_context()
    assert not context.run(refused, one)
    one.end()
    assert context.run(refused, one)


def test_a_thread_outside_of_all_requests_may_use_a_client_until_its_request_ends() -> None:
    one, seen = lease(), list[bool]()
    one.begin()
    for _ in range(2):
        thread = threading.Thread(target=lambda: seen.append(refused(one)), daemon=True)
        thread.start()
        thread.join()
        one.end()
    assert seen == [False, True]


@pytest.mark.attack(173)
def test_what_an_ended_request_left_on_its_thread_hinders_nobody() -> None:
    one, other = lease(), lease()
    one.begin()
    # Ended elsewhere, as by a server that closes an answer in another thread.
    contextvars.Context().run(one.end)
    assert not refused(other)
    other.begin()
    assert not refused(other)
    other.end()


def test_a_request_within_a_request_gives_back_what_was_at_hand() -> None:
    outer, inner, other = lease(), lease(), lease()
    outer.begin()
    inner.begin()
    assert refused(outer)
    inner.end()
    assert [refused(one) for one in (outer, other)] == [False, True]
    outer.end()
    assert not refused(other)


@pytest.mark.attack(172, 173)
def test_a_request_is_at_hand_within_its_own_steps_only() -> None:
    one, other = lease(), lease()

    def step(of: Lease, mine: bool, *, fails: bool = False) -> bool:
        if fails:
            raise KeyError
        return refused(one if (of is one) == mine else other)

    for _ in range(2):
        for each in (one, other):
            assert not each.run(step, each, mine=True)
            assert each.run(step, each, mine=False), "within a step no other request's client is used"
            with pytest.raises(KeyError):
                each.run(step, each, mine=True, fails=True)
        assert not refused(one), "between the steps none is at hand"
    assert one.run(other.run, step, other, mine=False)
    assert not one.run(step, one, mine=True)
    one.end()
    assert one.run(refused, one)


@pytest.mark.attack(173)
def test_a_worker_that_an_ended_request_started_serves_those_that_come_later() -> None:
    # As the task of a session does, which its first request started: its work comes from the others.
    first, later, another = lease(), lease(), lease()
    first.begin()
    worker = contextvars.copy_context()
    first.end()
    later.begin()
    assert not worker.run(refused, later)
    assert worker.run(refused, first)
    assert worker.run(another.run, refused, later), "unless it handles a request itself"
    later.end()
    assert worker.run(refused, later)


@pytest.mark.attack(20)
def test_a_connection_that_outlives_its_users_token_sends_no_more() -> None:
    clock = Clock()
    one = lease(clock, NOW + 60)
    clock.now = NOW + 59.9
    one.check()
    clock.now = NOW + 60
    with pytest.raises(RequestEndedError, match="expired"):
        one.check()
