from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import Flow, HttpRequest, HttpResponse, call, send, sleep, wait_for
from credentials._pool import ConnectionPool
from credentials._single_flight import Flight
from tests.credentials.helpers import Drive
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback

MEGABYTES = 5_000_000


def respond(exchange: Exchange) -> None:
    """Answer by path."""
    match exchange.path:
        case "/redirect":
            exchange.reply(307, Location=exchange.server.url + "/landed")
        case "/large":
            exchange.reply(200, b"x" * MEGABYTES)
        case "/endless":
            exchange.send_response(200)
            exchange.end_headers()
            exchange.close_connection = True
            _pour(exchange)
        case "/drip":
            exchange.send_response(200)
            exchange.send_header("Content-Length", "1000")
            exchange.end_headers()
            exchange.drip(b"x" * 1000)
        case "/drip-headers":
            exchange.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 40)
        case "/silent":
            exchange.server.stopping.wait(30)
        case "/garbage":
            exchange.wfile.write(b"\x00\xff garbage\r\n\r\n")
            exchange.close_connection = True
        case "/packed":
            exchange.reply(200, b"not gzip at all", Content_Encoding="gzip")
        case _:
            exchange.reply(200, b"hello", Content_Type="text/plain", X_UPPER="Value")


def _pour(exchange: Exchange) -> None:
    try:
        while not exchange.server.stopping.is_set():
            exchange.wfile.write(b"x" * 65_536)
    except OSError:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback(respond) as running:
        yield running


@pytest.fixture(autouse=True)
def _forget(server: Loopback) -> None:
    server.asked.clear()


def get(server: Loopback, path: str = "/", **options: Any) -> Flow[HttpResponse]:
    return send(HttpRequest(method="GET", url=server.url + path, **options))


# Requests


def test_a_request_is_sent_as_described_and_its_answer_returned(drive: Drive, server: Loopback) -> None:
    request = HttpRequest(method="POST", url=server.url + "/a?b=c", headers={"X-Mine": "1"}, body=b"body")
    response = drive(send(request))
    assert (response.status, response.body, response.headers["x-upper"]) == (200, b"hello", "Value")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body, asked.headers["x-mine"]) == ("POST", "/a?b=c", b"body", "1")
    assert (asked.headers["accept"], asked.headers["accept-encoding"]) == ("application/json", "identity")
    assert "cookie" not in asked.headers


def test_a_redirect_is_not_followed(drive: Drive, server: Loopback) -> None:
    response = drive(get(server, "/redirect"))
    assert response.status == 307
    assert [asked.path for asked in server.asked] == ["/redirect"]


@pytest.mark.parametrize("path", ["/large", "/endless"])
def test_an_answer_is_not_read_beyond_its_size(drive: Drive, server: Loopback, path: str) -> None:
    with pytest.raises(AnswerTooLargeError):
        drive(get(server, path, max_bytes=1000))


def test_an_answer_of_exactly_the_size_is_returned(drive: Drive, server: Loopback) -> None:
    assert drive(get(server, max_bytes=5)).body == b"hello"
    with pytest.raises(AnswerTooLargeError):
        drive(get(server, max_bytes=4))


@pytest.mark.parametrize("path", ["/drip", "/silent"])
def test_an_answer_that_takes_too_long_is_a_timeout_and_not_a_size(drive: Drive, server: Loopback, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(TransportError) as caught:
        drive(get(server, path, timeout=0.3))
    assert type(caught.value) is TransportError
    assert time.monotonic() - started < 5


def test_headers_that_drip_are_bounded_in_time(drive: Drive, server: Loopback) -> None:
    started = time.monotonic()
    with pytest.raises(TransportError):
        drive(get(server, "/drip-headers", timeout=0.3))
    assert time.monotonic() - started < 2


def test_a_packed_answer_is_left_packed(drive: Drive, server: Loopback) -> None:
    assert drive(get(server, "/packed")).body == b"not gzip at all"


def test_a_refused_connection_is_a_transport_error_that_names_its_kind(drive: Drive) -> None:
    with closed_port() as url, pytest.raises(TransportError) as caught:
        drive(send(HttpRequest(method="GET", url=url)))
    assert str(caught.value) == "ConnectError"


def test_bytes_that_are_no_http_are_a_transport_error(drive: Drive, server: Loopback) -> None:
    with pytest.raises(TransportError, match="RemoteProtocolError"):
        drive(get(server, "/garbage"))


def test_a_transport_error_can_be_caught_by_the_flow_which_then_goes_on(drive: Drive, server: Loopback) -> None:
    def trying_again_flow() -> Flow[bytes]:
        try:
            yield from get(server, "/garbage")
        except TransportError:
            return (yield from get(server)).body
        return b"no error"

    assert drive(trying_again_flow()) == b"hello"


def test_a_connection_is_used_again_by_the_blocking_driver(server: Loopback) -> None:
    pool = ConnectionPool()
    before = len(server._open)
    for _ in range(3):
        BlockingDriver(pool).run(get(server))
    pool.close()
    assert len(server._open) == before + 1


# Ends


class Closing:
    """A flow that tells how it was left."""

    def __init__(self) -> None:
        self.left_by: BaseException | None = None

    def endless_flow(self, effect: Flow[Any]) -> Flow[None]:
        try:
            yield from effect
        except BaseException as error:
            self.left_by = error
            raise


@pytest.mark.parametrize("path", ["sleep", "request", "function", "flight"])
def test_cancellation_closes_the_flow_whatever_it_waits_for(pool: ConnectionPool, server: Loopback, path: str) -> None:
    released = threading.Event()
    effects: dict[str, Flow[Any]] = {
        "sleep": sleep(30),
        "request": get(server, "/silent"),
        "function": call(lambda: str(released.wait(10))),
        "flight": wait_for(Flight[str](), timeout=30),
    }
    closing = Closing()

    async def main() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(closing.endless_flow(effects[path])))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
        await pool.aclose()

    asyncio.run(main())
    assert isinstance(closing.left_by, GeneratorExit)


def test_an_interrupt_closes_a_blocking_flow() -> None:
    closing = Closing()

    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlockingDriver(ConnectionPool()).run(closing.endless_flow(call(interrupted)))
    assert isinstance(closing.left_by, GeneratorExit)
