"""What a store is to do without anybody waiting: one thread does it, in the order in which it was asked.

Rule of this file: what is not done costs somebody an exchange and nothing else, so that the outbox is bounded, and what
does not fit is dropped.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

from credentials.kernel import Operation, StoreError, event

_logger = logging.getLogger("obo_middleware")

_SIZE = 10_000
_LAST_WORDS = 2.0
"""Seconds in which what was left may be done at the end."""


class Outbox:
    """Do operations on a thread that starts with the first one."""

    def __init__(self, perform: Callable[[Operation], object]) -> None:
        self._perform = perform
        self.begin()

    def begin(self) -> None:
        """Start anew, in a process that has no thread yet."""
        self._waiting: queue.Queue[Operation | None] = queue.Queue(_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, operation: Operation) -> None:
        """Have an operation done."""
        try:
            self._waiting.put_nowait(operation)
        except queue.Full:
            extra = event("obo.shared_cache.outbox_full")
            _logger.debug("the shared cache is not told: too much is waiting already", extra=extra)
            return
        if self._thread is None:
            self._start()

    def end(self) -> None:
        """Do what is left, for as long as it does not take long."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=_LAST_WORDS)
                thread.join(_LAST_WORDS)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                arguments = (self._waiting,)
                thread = threading.Thread(target=self._work, args=arguments, name="obo-store-outbox", daemon=True)
                with contextlib.suppress(RuntimeError):  # the process is at its end
                    thread.start()
                    self._thread = thread

    def _work(self, waiting: queue.Queue[Operation | None]) -> None:
        while (operation := waiting.get()) is not None:
            try:
                self._perform(operation)
            except StoreError as error:
                _logger.debug("the shared cache was not told: %s", error, extra=event("obo.shared_cache.not_told"))
