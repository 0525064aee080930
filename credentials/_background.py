"""Work beside the caller: on a thread of its own, or on the one event loop in the background.

Rules of this file:

1. Nothing runs on the threads of an event loop's default executor. All of them may be taken by blocking callers who
   wait for this very work, and the work would never begin.
2. Whoever waits does so for a bounded time, and finds the caller's context variables in the work: a user's function
   may look there whose request it is.
3. The loop lives as long as the process, since what was made on it, such as connections, works on no other.
4. A forked child starts a loop of its own.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from credentials._fork import renew_in_children

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_within: contextvars.ContextVar[bool] = contextvars.ContextVar("_within", default=False)
"""Whether this is done on behalf of a coroutine on the background loop, which may stand still meanwhile."""


def apart(work: Callable[[], T], timeout: float) -> T:
    """Do work on a thread of its own and return its result; raises ``TimeoutError`` after so many seconds."""
    return _begun(work).result(timeout)


async def apart_async(work: Callable[[], T]) -> T:
    """Do work on a thread of its own and return its result; if the caller is cancelled, the work goes on alone."""
    import asyncio  # see the rules of _drivers

    return await asyncio.wrap_future(_begun(work))


def _begun(work: Callable[[], T]) -> concurrent.futures.Future[T]:
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # so that a caller who is cancelled does not take its outcome away

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the outcome
            outcome.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    return outcome


class BackgroundLoop:
    """Run awaitables for blocking code on one event loop, on a thread that is started when it is first needed."""

    def __init__(self) -> None:
        self._inherited: tuple[asyncio.AbstractEventLoop | None, ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.RLock()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Forget the parent's loop, whose thread did not come along."""
        # Kept alive: closing it would take its sockets out of the selector, which the parent's loop uses.
        self._inherited = (*self._inherited, self._loop)
        self._loop = None
        self._lock = threading.RLock()

    def run(self, value: Awaitable[T], timeout: float) -> T:
        """Return what an awaitable gives; it is cancelled, with ``TimeoutError``, after so many seconds."""
        import asyncio  # see the rules of _drivers

        if _within.get():
            return apart(lambda: asyncio.run(_coroutine(value)), timeout)
        future = asyncio.run_coroutine_threadsafe(_coroutine(value), self._running())
        try:
            return future.result(timeout)
        finally:
            future.cancel()  # nothing happens if it is done

    def _running(self) -> asyncio.AbstractEventLoop:
        import asyncio  # see the rules of _drivers

        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(loop,), name="credentials background", daemon=True).start()
                self._loop = loop
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            # Raised by a task, whose caller gets it. The loop is others' too.
            continue


async def _coroutine(value: Awaitable[T]) -> T:
    _within.set(True)  # in the task's own context
    return await value
