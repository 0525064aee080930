"""Many requests at once to one origin: spread over transports of the HTTP library, few to each.

Facts: httpcore, below both libraries, looks at all connections of a transport for each idle one, and at all waiting
requests, whenever a request begins or ends. A thousand at a time on one transport cost it minutes of processor time.

Rules of this file:

1. The first transport with room takes a request, so that the few requests of a quiet time share few connections.
2. A transport that the crowd has left is closed; nobody else would close its connections.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

WIDTH = 16
"""Requests at a time to one transport."""


class _Lane:
    """One transport, and how many requests it has."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.requests = 0


class Lanes:
    """Be a transport for one origin, as blocking or awaitable as those that ``make`` returns."""

    def __init__(self, library: ModuleType, make: Callable[[], Any]) -> None:
        self._library = library
        self._make = make
        self._lanes = [_Lane(make())]
        self._lock = threading.Lock()

    def handle_request(self, request: Any) -> Any:
        """Send a request and return its response, blocking."""
        lane = self._enter()
        try:
            response = lane.transport.handle_request(request)
        except BaseException:
            self._end(lane)
            raise
        stream = _watched(self._library.SyncByteStream)
        response.stream = stream(response.stream, functools.partial(self._end, lane))
        return response

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request and return its response."""
        lane = self._enter()
        try:
            response = await lane.transport.handle_async_request(request)
        except BaseException:
            await self._end_async(lane)
            raise
        stream = _watched(self._library.AsyncByteStream)
        response.stream = stream(response.stream, functools.partial(self._end_async, lane))
        return response

    def close(self) -> None:
        """Close all blocking connections."""
        for lane in self._lanes:
            lane.transport.close()

    async def aclose(self) -> None:
        """Close all awaitable connections."""
        for lane in self._lanes:
            await lane.transport.aclose()

    def _enter(self) -> _Lane:
        with self._lock:
            lane = next((lane for lane in self._lanes if lane.requests < WIDTH), None)
            if lane is None:
                lane = _Lane(self._make())
                self._lanes.append(lane)
            lane.requests += 1
        return lane

    def _end(self, lane: _Lane) -> None:
        for left in self._leave(lane):
            left.transport.close()

    async def _end_async(self, lane: _Lane) -> None:
        for left in self._leave(lane):
            await left.transport.aclose()

    def _leave(self, lane: _Lane) -> list[_Lane]:
        """Note that a request of a lane has ended, and return the lanes that nobody needs any more."""
        left: list[_Lane] = []
        with self._lock:
            lane.requests -= 1
            # Half of the one before is room enough: a crowd that is now a little larger and now a little smaller
            # would otherwise open and close connections all the time.
            while len(self._lanes) > 1 and not self._lanes[-1].requests and self._lanes[-2].requests <= WIDTH // 2:
                left.append(self._lanes.pop())
        return left


class _Watched:
    """A response's stream that tells once when it is closed."""

    def __init__(self, stream: Any, ended: Callable[[], Any]) -> None:
        self._stream = stream
        self._ended = ended
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    def close(self) -> None:
        """Close it, blocking."""
        try:
            self._stream.close()
        finally:
            if self._first():
                self._ended()

    async def aclose(self) -> None:
        """Close it."""
        try:
            await self._stream.aclose()
        finally:
            if self._first():
                await self._ended()

    def _first(self) -> bool:
        closed, self._closed = self._closed, True
        return not closed


@functools.cache
def _watched(kind: type[Any]) -> type[Any]:
    """Return the class that is one of the library's own too, which it insists on."""
    return type("WatchedStream", (_Watched, kind), {})
