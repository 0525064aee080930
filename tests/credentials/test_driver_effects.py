from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from credentials import AccessToken, AccessTokenInfo
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Flow, Sleep, ask, call, sleep, wait_for
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, Landing
from tests.credentials.helpers import Drive

# Sleeps, flights, and flows without effects


def test_sleep_goes_on_afterwards(drive: Drive) -> None:
    started = time.monotonic()
    assert drive(sleep(0.01)) is None
    assert time.monotonic() - started >= 0.01


def test_a_flow_without_effects_returns_at_once(drive: Drive) -> None:
    def nothing_flow() -> Flow[str]:
        yield from ()
        return "at once"

    assert drive(nothing_flow()) == "at once"


def test_what_a_flow_raises_comes_out_of_the_driver(drive: Drive) -> None:
    def failing_flow() -> Flow[None]:
        yield Sleep(0)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        drive(failing_flow())


def landed(result: str) -> Flight[str]:
    flight = Flight[str]()
    flight.future.set_result(Landing(result))
    return flight


def test_a_landed_flight_is_not_waited_for(drive: Drive) -> None:
    assert drive(wait_for(landed("x"), timeout=10)) is None


def test_a_flight_that_does_not_land_is_a_timeout(drive: Drive) -> None:
    with pytest.raises(TimeoutError):
        drive(wait_for(Flight[str](), timeout=0.01))


def test_a_flight_that_another_thread_lands_ends_the_wait(drive: Drive) -> None:
    flight = Flight[str]()
    timer = threading.Timer(0.02, flight.future.set_result, (Landing("x"),))
    timer.start()
    assert drive(wait_for(flight, timeout=10)) is None
    timer.join()


# Functions of the user's


def plain() -> str:
    return "plain"


async def asynchronous() -> str:
    await asyncio.sleep(0)
    return "async"


class AsyncCallable:
    async def __call__(self) -> str:
        return "object"


def future_maker() -> Any:
    return asynchronous()


@pytest.mark.parametrize(
    ("function", "expected"),
    [(plain, "plain"), (asynchronous, "async"), (AsyncCallable(), "object"), (future_maker, "async")],
    ids=["plain", "async", "object", "returns a coroutine"],
)
def test_a_function_may_be_plain_or_async(drive: Drive, function: Callable[[], Any], expected: str) -> None:
    assert drive(call(function)) == expected


def stop() -> str:
    return next(iter(()))


async def stop_async() -> str:
    return next(iter(()))


def quit_plain() -> str:
    raise LookupError("by the user's function")


async def quit_async() -> str:
    raise LookupError("by the user's function")


@pytest.mark.parametrize("function", [quit_plain, quit_async])
def test_what_a_function_raises_comes_through(drive: Drive, function: Callable[[], Any]) -> None:
    with pytest.raises(LookupError, match="by the user's function"):
        drive(call(function))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("function", [stop, stop_async])
def test_an_exhausted_iterator_in_a_function_is_an_error_and_no_hang(drive: Drive, function: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        drive(call(function))


def test_an_async_function_works_on_a_thread_whose_loop_runs(pool: ConnectionPool) -> None:
    async def main() -> str:
        return BlockingDriver(pool).run(call(asynchronous))

    assert asyncio.run(main()) == "async"


# Foreign credentials


class Foreign:
    """A credential as other libraries write them; its expiry is a float."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.thread = ""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        self.thread = threading.current_thread().name
        return AccessToken("foreign-token", 12.7)  # type: ignore[arg-type]  # as careless as others are


class AsyncForeign:
    def __init__(self) -> None:
        self.inner = Foreign()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        await asyncio.sleep(0)
        return self.inner.get_token(*scopes, **options)


def test_a_foreign_credential_of_either_colour_is_asked_by_either_driver(drive: Drive) -> None:
    for credential in (blocking := Foreign(), awaitable := AsyncForeign()):
        info = drive(ask(credential, ("a", "b"), {"claims": "{}", "enable_cae": True}))
        assert info == AccessTokenInfo("foreign-token", 12)
        assert isinstance(info.expires_on, int)
    expected = [(("a", "b"), {"claims": "{}", "enable_cae": True})]
    assert blocking.asked == awaitable.inner.asked == expected


@pytest.mark.parametrize("token", ["", "line\n", "two words", "caf\xe9", None, b"bytes"])
def test_a_foreign_token_that_no_header_may_hold_is_refused_without_being_told(drive: Drive, token: Any) -> None:
    class Careless:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            return AccessToken(token, 12)

    with pytest.raises(ValueError, match="characters that no HTTP header may have") as caught:
        drive(ask(Careless(), ("s",), {}))
    assert not token or str(token) not in str(caught.value)


def test_a_blocking_foreign_credential_does_not_block_the_loop(pool: ConnectionPool) -> None:
    released = threading.Event()

    class Waiting:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            assert released.wait(10), "the loop is blocked"
            return AccessToken("foreign-token", 1)

    async def main() -> AccessTokenInfo:
        asking = asyncio.create_task(AsyncDriver(pool).run(ask(Waiting(), ("s",), {})))
        await asyncio.sleep(0)
        released.set()
        return await asking

    assert asyncio.run(main()).token == "foreign-token"


def test_a_blocking_function_does_not_block_the_loop(pool: ConnectionPool) -> None:
    released = threading.Event()

    def waiting() -> str:
        assert released.wait(10), "the loop is blocked"
        return "done"

    async def main() -> str:
        asking = asyncio.create_task(AsyncDriver(pool).run(call(waiting)))
        await asyncio.sleep(0)
        released.set()
        return await asking

    assert asyncio.run(main()) == "done"
