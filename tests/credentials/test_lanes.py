from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import HttpRequest, send
from credentials._lanes import WIDTH, Lanes
from credentials._pool import ConnectionPool
from tests.credentials.helpers import in_threads
from tests.credentials.servers import Exchange, loopback

REQUEST = httpx.Request("GET", "http://provider.example/")
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Transport:
    """A transport of either colour that answers at once, and knows whether it is closed."""

    def __init__(self) -> None:
        self.asked, self.closed, self.fails = 0, False, False

    def handle_request(self, _request: Any) -> httpx.Response:
        assert not self.closed
        self.asked += 1
        if self.fails:
            raise httpx.ConnectError("no")
        return httpx.Response(200, stream=httpx.ByteStream(b"hello"))

    async def handle_async_request(self, request: Any) -> httpx.Response:
        return self.handle_request(request)

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Crowd:
    """Requests of one colour over lanes, each of which lasts until it is ended."""

    def __init__(self, colour: str, runner: asyncio.Runner) -> None:
        self._awaitable, self._runner = colour == "async", runner
        self.made: list[Transport] = []
        self.lanes = Lanes(httpx, self._make)
        self.responses: list[httpx.Response] = []

    def _make(self) -> Transport:
        self.made.append(Transport())
        return self.made[-1]

    @property
    def asked(self) -> list[int]:
        return [transport.asked for transport in self.made]

    @property
    def closed(self) -> list[bool]:
        return [transport.closed for transport in self.made]

    def begin(self, number: int = 1) -> None:
        for _ in range(number):
            if self._awaitable:
                response = self._runner.run(self.lanes.handle_async_request(REQUEST))
            else:
                response = self.lanes.handle_request(REQUEST)
            self.responses.append(response)

    def end(self, number: int = 1, *, which: int = -1) -> None:
        for _ in range(number):
            self.close(self.responses.pop(which))

    def close(self, response: httpx.Response) -> None:
        if self._awaitable:
            self._runner.run(response.aclose())
        else:
            response.close()

    def close_all(self) -> None:
        if self._awaitable:
            self._runner.run(self.lanes.aclose())
        else:
            self.lanes.close()


@pytest.fixture(params=["blocking", "async"])
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    with asyncio.Runner() as runner:
        yield Crowd(request.param, runner)


def test_requests_one_after_the_other_share_the_first_transport(crowd: Crowd) -> None:
    for _ in range(3 * WIDTH):
        crowd.begin()
        crowd.end()
    assert crowd.asked == [3 * WIDTH]


def test_a_crowd_is_spread_over_transports_with_few_each(crowd: Crowd) -> None:
    crowd.begin(2 * WIDTH + 1)
    assert crowd.asked == [WIDTH, WIDTH, 1]


def test_the_first_transport_with_room_takes_a_request(crowd: Crowd) -> None:
    crowd.begin(WIDTH + 1)
    crowd.end(which=0)
    crowd.begin()
    assert crowd.asked == [WIDTH + 1, 1]


def test_a_request_that_fails_leaves_its_place(crowd: Crowd) -> None:
    crowd.begin(WIDTH - 1)
    crowd.made[0].fails = True
    for _ in range(3):
        with pytest.raises(httpx.ConnectError):
            crowd.begin()
    assert len(crowd.made) == 1


def test_a_response_that_is_closed_twice_leaves_its_place_once(crowd: Crowd) -> None:
    crowd.begin(WIDTH)
    response = crowd.responses[0]
    crowd.close(response)
    response.is_closed = False
    crowd.close(response)
    crowd.begin(2)
    assert crowd.asked == [WIDTH + 1, 1]


def test_a_transport_that_the_crowd_has_left_is_closed(crowd: Crowd) -> None:
    for which in (0, -1):  # the first come leaves first, or the last come
        crowd.begin(3 * WIDTH)
        crowd.end(3 * WIDTH, which=which)
    assert crowd.closed == [False, True, True, True, True]


def test_a_transport_is_kept_while_the_one_before_it_is_more_than_half_full(crowd: Crowd) -> None:
    crowd.begin(WIDTH + 1)
    crowd.end()
    assert crowd.closed == [False, False]
    crowd.end(WIDTH // 2 - 1)
    assert crowd.closed == [False, False]
    crowd.end()
    assert crowd.closed == [False, True]


def test_all_of_them_are_closed_together(crowd: Crowd) -> None:
    crowd.begin(2 * WIDTH)
    crowd.close_all()
    assert crowd.closed == [True, True]


def test_the_body_is_read_through(crowd: Crowd) -> None:
    crowd.begin()
    (response,) = crowd.responses
    if isinstance(response.stream, httpx.SyncByteStream):
        assert response.read() == b"hello"
        assert not isinstance(response.stream, httpx.AsyncByteStream)
    else:
        assert asyncio.run(response.aread()) == b"hello"
    assert response.is_closed


# Over a real server


class Hall:
    """A server's side of a crowd: it answers nobody before all are there."""

    def __init__(self, number: int) -> None:
        self._all = threading.Barrier(number)

    def __call__(self, exchange: Exchange) -> None:
        self._all.wait(20)
        exchange.reply(200, b"hello")


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_crowd_is_served_at_once_and_leaves_no_connection_but_those_of_a_quiet_time(library: ModuleType) -> None:
    number = 3 * WIDTH
    pool = ConnectionPool(library=library, ssl_context=NOBODY)
    with loopback(Hall(number)) as server:
        request = HttpRequest(method="GET", url=server.url, timeout=20)
        lanes = pool.blocking_transport(server.url)
        bodies = in_threads(number, lambda: BlockingDriver(pool).run(send(request)).body)
        assert (bodies, len(lanes._lanes)) == ([b"hello"] * number, 1)
        assert asyncio.run(_crowd(pool, request, number)) == ([b"hello"] * number, 1)
    pool.close()


async def _crowd(pool: ConnectionPool, request: HttpRequest, number: int) -> tuple[list[bytes], int]:
    lanes, driver = pool.async_transport(request.url), AsyncDriver(pool)
    responses = await asyncio.gather(*(driver.run(send(request)) for _ in range(number)))
    left = len(lanes._lanes)
    await pool.aclose()
    return [response.body for response in responses], left
