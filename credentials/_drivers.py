"""The two drivers: the only code that touches the world on behalf of a flow.

Rules of this file:

1. One case of `_perform` for each effect, the same list in both classes; no protocol logic.
2. Every wait is bounded, and an answer is bounded in size and in time. What runs on the caller's own thread, as a
   plain function of the user's does in blocking code, is the caller's to bound.
3. The blocking driver may run on a thread whose event loop runs; it must then not wait for any flight: its leader
   may be a task of that very loop, or wait for one, which could never go on.
4. A thread that waits for a task's flight may be one of those that the task's own event loop needs, for looking up a
   host name. So it does not wait long; see ``LeaderStalledError``.
5. asyncio and subprocess are imported where they are used: an application without them never pays for them.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, assert_never, cast

from credentials._addresses import public_flow
from credentials._background import BackgroundLoop, apart, apart_async
from credentials._errors import TransportError
from credentials._flow import (
    AskCredential,
    CallFunction,
    Command,
    CommandResult,
    Effect,
    Flow,
    HttpRequest,
    HttpResponse,
    ResolveHost,
    RunCommand,
    RunFlow,
    SendRequest,
    Sleep,
    UseStore,
    WaitFor,
)
from credentials._http import Reading, failures, native_request, transport_error
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, LeaderStalledError, WouldDeadlockError, running_loop
from credentials._token_answer import asking, asking_method, info_from

if TYPE_CHECKING:
    from credentials._commands import Process

T = TypeVar("T")

CALL_TIMEOUT = 30.0
"""Seconds that a user's function may take."""
ASK_TIMEOUT = 120.0
"""Seconds that a foreign credential may take: azure-identity waits more than a minute for a metadata endpoint."""
TASK_PATIENCE = 2.0
"""Seconds that blocking code waits for a flight that a task leads, before it makes the exchange itself."""

_background = BackgroundLoop()


class BlockingDriver:
    """Run flows to their end on the calling thread."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result; raises what the flow raises."""
        try:
            effect = next(flow)
            while True:
                try:
                    result = self._perform(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    def _perform(self, effect: Effect) -> object:  # noqa: PLR0911  # one for each effect
        match effect:
            case SendRequest(request):
                return self._send(request)
            case UseStore(store, operation):
                return store.perform(operation)
            case ResolveHost(host, timeout):
                return apart(lambda: _addresses_of(host), timeout)
            case RunCommand(command):
                return _process(command).run()
            case RunFlow(flow, pool):
                return BlockingDriver(pool).run(flow)
            case Sleep(seconds):
                time.sleep(seconds)
            case WaitFor(flight, timeout):
                _wait(flight, timeout)
            case AskCredential():
                return info_from(_settle(asking(effect), ASK_TIMEOUT))
            case CallFunction(function):
                return _settle(function, CALL_TIMEOUT)
            case _ as never:
                assert_never(never)
        return None

    def _send(self, request: HttpRequest) -> HttpResponse:
        if request.public_only and not request.address:
            return self.run(public_flow(request))
        # The library bounds each read, so a server that drips its headers could hold a thread for days.
        try:
            return apart(lambda: self._send_now(request), request.timeout)
        except TimeoutError as error:
            raise TransportError("Timeout") from error

    def _send_now(self, request: HttpRequest) -> HttpResponse:
        library = self.pool.library
        reading = Reading(request)
        try:
            transport = self.pool.blocking_transport(request.url, request.address)
            response = transport.handle_request(native_request(library, request))
            try:
                for chunk in response.iter_raw():
                    reading.take(chunk)
            finally:
                response.close()
        except failures(library) as error:
            failure = transport_error(library, error)
        else:
            return reading.whole(response)
        # Not where it was caught: the library's error would be its context, and may quote an answer or a proxy's URL.
        raise failure


class AsyncDriver:
    """Run flows to their end in the running task."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result; raises what the flow raises. Cancelling closes the flow."""
        try:
            effect = next(flow)
            while True:
                try:
                    result = await self._perform(effect)
                except Exception as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            flow.close()

    async def _perform(self, effect: Effect) -> object:  # noqa: PLR0911  # one for each effect
        match effect:
            case SendRequest(request):
                return await self._send(request)
            case UseStore(store, operation):
                return await store.perform_async(operation)
            case ResolveHost(host, timeout):
                import asyncio

                async with asyncio.timeout(timeout):
                    return await apart_async(lambda: _addresses_of(host))
            case RunCommand(command):
                return await _run_async(_process(command))
            case RunFlow(flow, pool):
                return await AsyncDriver(pool).run(flow)
            case Sleep(seconds):
                import asyncio

                await asyncio.sleep(seconds)
            case WaitFor(flight, timeout):
                await _wait_async(flight, timeout)
            case AskCredential():
                return info_from(await _settle_async(asking(effect), asking_method(effect.credential), ASK_TIMEOUT))
            case CallFunction(function):
                return await _settle_async(function, function, CALL_TIMEOUT)
            case _ as never:
                assert_never(never)
        return None

    async def _send(self, request: HttpRequest) -> HttpResponse:
        import asyncio

        if request.public_only and not request.address:
            return await self.run(public_flow(request))
        library = self.pool.library
        reading = Reading(request)
        try:
            async with asyncio.timeout(request.timeout):
                transport = self.pool.async_transport(request.url, request.address)
                response = await transport.handle_async_request(native_request(library, request))
                try:
                    async for chunk in response.aiter_raw():
                        reading.take(chunk)
                finally:
                    await response.aclose()
        except TimeoutError as error:  # an OSError too, and so before the others
            raise TransportError("Timeout") from error
        except failures(library) as error:
            failure = transport_error(library, error)
        else:
            return reading.whole(response)
        raise failure


def _wait(flight: Flight[Any], timeout: float) -> None:
    # Not for anybody's flight: whoever leads it may wait in turn, for another engine's flight, led by a task of this
    # loop or of one that waits for this one. A loop that stands still meanwhile would hold all of them up.
    if running_loop() is not None:
        raise WouldDeadlockError
    stalls = flight.by_task and timeout > TASK_PATIENCE
    concurrent.futures.wait([flight.future], TASK_PATIENCE if stalls else timeout)
    if stalls and not flight.future.done():
        raise LeaderStalledError
    _check_landed(flight)


async def _wait_async(flight: Flight[Any], timeout: float) -> None:
    import asyncio

    landing = asyncio.wrap_future(flight.future)
    try:
        await asyncio.wait([landing], timeout=timeout)
    finally:
        # Let go of: the flight may land after this loop is closed. It is running, so nobody else's is cancelled.
        landing.cancel()
    _check_landed(flight)


def _check_landed(flight: Flight[Any]) -> None:
    if not flight.future.done():
        raise TimeoutError


def _addresses_of(host: str) -> tuple[str, ...]:
    import socket

    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # a name that cannot be one is a ValueError
        raise TransportError(type(error).__name__) from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _process(command: Command) -> Process:
    from credentials._commands import Process  # few applications run programs

    return Process(command)


async def _run_async(process: Process) -> CommandResult:
    try:
        return await apart_async(process.run)
    finally:
        process.end()


def _settle(function: Callable[[], Any], timeout: float) -> Any:
    """Call a function; an awaitable result runs to its end on the event loop in the background."""
    value = function()
    return _background.run(value, timeout) if inspect.isawaitable(value) else value


async def _settle_async(function: Callable[[], Any], shown: Callable[..., Any], timeout: float) -> Any:
    """Call a function without blocking the loop: on a thread of its own unless it is shown to be ``async``."""
    import asyncio

    async with asyncio.timeout(timeout):
        value = function() if inspect.iscoroutinefunction(shown) else await apart_async(lambda: _without_stop(function))
        return await value if inspect.isawaitable(value) else value


def _without_stop(function: Callable[[], Any]) -> Any:
    """Call a function; asyncio cannot carry a ``StopIteration`` out of a thread, and its task would never wake up."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error
