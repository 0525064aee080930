"""The two drivers: the only code that touches the world on behalf of a flow.

Rules of this file:

1. One method for each effect, the same list in both classes; no protocol logic.
2. Every wait is bounded, and an answer is bounded in size and in time.
3. The blocking driver may run on a thread whose event loop runs; it must then not wait for a flight that a
   task of that very loop leads, because that task could never go on.
4. asyncio is imported where it is used: an application that blocks never pays for it.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, assert_never, cast

from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import (
    AskCredential,
    CallFunction,
    Effect,
    Flow,
    HttpRequest,
    HttpResponse,
    SendRequest,
    Sleep,
    WaitFor,
)
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight, WouldDeadlockError, running_loop
from credentials._types import AccessTokenInfo, is_header_safe

T = TypeVar("T")

CALL_TIMEOUT = 30.0
"""Seconds that a user's function, or a foreign credential, may take."""


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

    def _perform(self, effect: Effect) -> object:
        match effect:
            case SendRequest(request):
                return self._send(request)
            case Sleep(seconds):
                time.sleep(seconds)
            case WaitFor(flight, timeout):
                _wait(flight, timeout)
            case AskCredential():
                return _as_info(_settle(_asking(effect)))
            case CallFunction(function):
                return _settle(function)
            case _ as never:
                assert_never(never)
        return None

    def _send(self, request: HttpRequest) -> HttpResponse:
        # The library bounds each read, so a server that drips its headers could hold a thread for days.
        try:
            return _apart(lambda: self._send_now(request), request.timeout)
        except TimeoutError as error:
            raise TransportError("Timeout") from error

    def _send_now(self, request: HttpRequest) -> HttpResponse:
        library = self.pool.library
        reading = _Reading(request)
        try:
            response = self.pool.blocking_transport(request.url).handle_request(_native(library, request))
            try:
                for chunk in response.iter_raw():
                    reading.take(chunk)
            finally:
                response.close()
        except _failures(library) as error:
            raise TransportError(type(error).__name__) from error
        return reading.whole(response)


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

    async def _perform(self, effect: Effect) -> object:
        import asyncio

        match effect:
            case SendRequest(request):
                return await self._send(request)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case WaitFor(flight, timeout):
                await _wait_async(flight, timeout)
            case AskCredential():
                return _as_info(await _settle_async(_asking(effect), effect.credential.get_token))
            case CallFunction(function):
                return await _settle_async(function, function)
            case _ as never:
                assert_never(never)
        return None

    async def _send(self, request: HttpRequest) -> HttpResponse:
        import asyncio

        library = self.pool.library
        reading = _Reading(request)
        try:
            async with asyncio.timeout(request.timeout):
                transport = self.pool.async_transport(request.url)
                response = await transport.handle_async_request(_native(library, request))
                try:
                    async for chunk in response.aiter_raw():
                        reading.take(chunk)
                finally:
                    await response.aclose()
        except _failures(library) as error:
            raise TransportError(type(error).__name__) from error
        except TimeoutError as error:
            raise TransportError("Timeout") from error
        return reading.whole(response)


class _Reading:
    """The body of an answer while it arrives, with the bounds of its request."""

    def __init__(self, request: HttpRequest) -> None:
        self._deadline = time.monotonic() + request.timeout
        self._room = request.max_bytes
        self._chunks: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        self._room -= len(chunk)
        if self._room < 0:
            raise AnswerTooLargeError("the answer is too large")
        if time.monotonic() > self._deadline:
            raise TransportError("Timeout")
        self._chunks.append(chunk)

    def whole(self, response: Any) -> HttpResponse:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(status=response.status_code, headers=headers, body=b"".join(self._chunks))


def _failures(library: Any) -> tuple[type[Exception], ...]:
    """Return what a library raises where no answer comes; an unusable proxy is an ImportError or ValueError."""
    return (library.TransportError, ImportError, ValueError)


def _native(library: Any, request: HttpRequest) -> Any:
    """Make the HTTP library's request. The body is asked for unpacked, so that its size is what was counted."""
    seconds = request.timeout
    timeouts = {"connect": min(seconds, 5.0), "read": seconds, "write": seconds, "pool": seconds}
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **request.headers}
    return library.Request(
        request.method, request.url, headers=headers, content=request.body, extensions={"timeout": timeouts}
    )


def _wait(flight: Flight[Any], timeout: float) -> None:
    # Nor for another loop's flight: two loops that wait for each other would both stand still.
    if flight.loop is not None and running_loop() is not None:
        raise WouldDeadlockError
    concurrent.futures.wait([flight.future], timeout)
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


def _asking(effect: AskCredential) -> Callable[[], Any]:
    return lambda: effect.credential.get_token(*effect.scopes, **effect.options)


def _as_info(token: Any) -> AccessTokenInfo:
    if not isinstance(token.token, str) or not is_header_safe(token.token):
        raise ValueError("the credential's token is empty or has characters that no HTTP header may have")
    return AccessTokenInfo(token.token, int(token.expires_on))


def _settle(function: Callable[[], Any]) -> Any:
    """Call a function; an awaitable result runs to its end on an event loop of its own, apart from any running one."""
    value = function()
    return _apart(lambda: _run_on_a_loop(value), CALL_TIMEOUT) if inspect.isawaitable(value) else value


def _run_on_a_loop(value: Awaitable[T]) -> T:
    import asyncio

    return asyncio.run(_coroutine(value))


def _apart(work: Callable[[], T], timeout: float) -> T:
    """Do work on a thread of its own and return its result; raises ``TimeoutError`` after so many seconds."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(timeout)


async def _settle_async(function: Callable[[], Any], shown: Callable[..., Any]) -> Any:
    """Call a function without blocking the loop: on a worker thread unless it is shown to be ``async``."""
    import asyncio

    async with asyncio.timeout(CALL_TIMEOUT):
        value = function() if inspect.iscoroutinefunction(shown) else await asyncio.to_thread(_without_stop, function)
        return await value if inspect.isawaitable(value) else value


def _without_stop(function: Callable[[], Any]) -> Any:
    """Call a function; asyncio cannot carry a ``StopIteration`` out of a thread, and its task would never wake up."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


async def _coroutine(value: Awaitable[T]) -> T:
    return await value
