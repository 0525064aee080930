"""The circuit breaker: a store that fails again and again is left alone for a while, and then tried by one caller.

Rule of this file: no I/O and no clock of its own; the lock is held for a few assignments only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "half-open"]

FAILURES = 5
"""Failures in a row after which the store is left alone,"""
SPAN = 0.2
"""if they are so many seconds apart: one moment of a busy machine may fail many callers at once."""
PAUSE = 1.0
"""Seconds for which the store is left alone."""


class CircuitBreaker:
    """Know whether a store is worth a try.

    ``changed`` is called with each new state. ``monotonic`` returns seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float], changed: Callable[[State], None]) -> None:
        self._monotonic = monotonic
        self._changed = changed
        self._failures = 0
        self._first = 0.0
        self._until = 0.0
        self._probing = False
        self._lock = threading.Lock()
        self.state: State = "closed"

    def admits(self) -> bool:
        """Tell whether the caller may try; after a pause one caller may, and everybody once that one succeeded."""
        if self.state == "closed":
            return True
        with self._lock:
            if self._probing or self._monotonic() < self._until:
                return False
            self._probing = True
        self._become("half-open")
        return True

    def succeeded(self) -> None:
        """Take note that the store did what it was asked, or at least answered."""
        if self._failures or self.state != "closed":
            with self._lock:
                self._failures, self._probing = 0, False
            self._become("closed")

    def failed(self) -> None:
        """Take note that the store did not answer in time, or not at all."""
        with self._lock:
            now = self._monotonic()
            self._failures += 1
            if self._failures == 1:
                self._first = now
            opens = self._probing or (self._failures >= FAILURES and now - self._first >= SPAN)
            self._probing = False
            if opens:
                self._until = now + PAUSE
        if opens:
            self._become("open")

    def gave_up(self) -> None:
        """Take note that a caller left before it knew: if it was the one to try, another one may."""
        with self._lock:
            self._probing = False

    def _become(self, state: State) -> None:
        if self.state != state:
            self.state = state
            self._changed(state)
