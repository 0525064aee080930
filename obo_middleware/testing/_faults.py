"""Faults on demand: what a server of this package is told to do instead of its work."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class CannedAnswer:
    """Arbitrary bytes to answer with."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def response(self) -> Response:
        """Return the answer as a response."""
        return Response(self.body, self.status, dict(self.headers))


@dataclass(slots=True)
class _Fault:
    endpoints: frozenset[str]
    answer: CannedAnswer | None
    times: int | None


class Faults:
    """The faults a server has been told of, and its think time in seconds. Safe between threads."""

    def __init__(self, think_time: float = 0.0) -> None:
        self.think_time = think_time
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []

    def add(self, endpoints: tuple[str, ...], answer: CannedAnswer | None, times: int | None) -> None:
        """Answer requests to these endpoints so, or with None drop their connections; `times` None: for ever.

        The latest fault comes first.
        """
        with self._lock:
            self._faults.insert(0, _Fault(frozenset(endpoints), answer, times))

    def take(self, endpoint: str) -> tuple[bool, CannedAnswer | None]:
        """Return whether a request meets a fault, and the answer it gets (None: a dropped connection)."""
        with self._lock:
            for fault in self._faults:
                if endpoint in fault.endpoints:
                    self._count_down(fault)
                    return True, fault.answer
        return False, None

    def _count_down(self, fault: _Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)

    def forget(self) -> None:
        """Forget every fault and think no longer."""
        with self._lock:
            self._faults.clear()
        self.think_time = 0.0


def outage_headers(retry_after: float | str | None) -> dict[str, str]:
    """Return the headers of a refusal that may say when to come again (RFC 9110 section 10.2.3)."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return headers if retry_after is None else headers | {"Retry-After": str(retry_after)}
