"""Many callers at once, of every credential: threads, tasks and event loops share one request."""

from __future__ import annotations

import asyncio

import pytest

from credentials import AuthenticationError
from tests.credentials.every import HTTP
from tests.credentials.flights import until
from tests.credentials.places import AWAITABLE, BLOCKING, Callers, Every, are_waiting, flights_of, share


@pytest.mark.parametrize(("threads", "loops", "tasks"), [(8, 0, 0), (0, 1, 8), (0, 4, 2), (8, 4, 2)])
def test_threads_and_tasks_share_one_request(every: Every, threads: int, loops: int, tasks: int) -> None:
    blocking, awaitable = every.make(BLOCKING), every.make(AWAITABLE)
    share(blocking, awaitable)
    callers = Callers(every)
    every.stand_in.hold()
    callers.in_threads(threads, blocking)
    callers.in_tasks(loops, tasks, awaitable)
    every.stand_in.wait_until_asked()
    until(lambda: are_waiting(blocking if threads else awaitable, threads + loops * tasks - 1))
    every.stand_in.let_go()
    tokens = callers.join()
    blocking.close()
    assert all(isinstance(token, str) for token in tokens), tokens
    assert (len(tokens), len(set(tokens))) == (threads + loops * tasks, 1)
    assert every.stand_in.count == 1


@pytest.mark.parametrize("every", HTTP, indirect=True, ids=lambda kind: kind.__name__)
def test_a_refusal_is_one_request_too_and_reaches_everybody_as_an_error_of_its_own(every: Every) -> None:
    blocking, awaitable = every.make(BLOCKING), every.make(AWAITABLE)
    share(blocking, awaitable)
    callers = Callers(every)
    every.stand_in.hold()
    callers.in_threads(4, blocking)
    callers.in_tasks(4, 1, awaitable)
    every.stand_in.wait_until_asked()
    until(lambda: are_waiting(blocking, 7))
    every.stand_in.refuse()
    every.stand_in.let_go()
    errors = callers.join()
    blocking.close()
    assert [error for error in errors if not isinstance(error, AuthenticationError)] == []
    assert (len({id(error) for error in errors}), every.stand_in.count) == (8, 1)


def test_a_blocking_call_does_not_wait_for_a_task_of_its_own_event_loop(every: Every) -> None:
    blocking, awaitable = every.make(BLOCKING), every.make(AWAITABLE)
    share(blocking, awaitable)
    every.stand_in.hold()

    async def main() -> tuple[str, str]:
        async with awaitable:
            leader = asyncio.create_task(awaitable.get_token(every.scopes[0]))
            await asyncio.to_thread(every.stand_in.wait_until_asked)
            assert len(flights_of(blocking)) == 1
            with blocking:
                mine = blocking.get_token(every.scopes[0]).token
            every.stand_in.let_go()
            return mine, (await leader).token

    assert all(asyncio.run(main()))
    assert every.stand_in.count == 2
