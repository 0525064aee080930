"""A flow that runs another credential's flow, over that one's own connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._errors import TransportError
from credentials._flow import Flow, HttpRequest, RunFlow, call, run, send, sleep
from credentials._pool import ConnectionPool, bare_pool
from tests.credentials.helpers import Drive, play
from tests.credentials.servers import Exchange, closed_port, loopback


def echo(exchange: Exchange) -> None:
    exchange.reply(200, exchange.path.encode())


def asking_flow(url: str) -> Flow[bytes]:
    return (yield from send(HttpRequest(method="GET", url=url))).body


def plain() -> str:
    return "plain"


class Seen(ConnectionPool):
    """A pool that knows for which requests it was used."""

    def __init__(self) -> None:
        super().__init__(ssl_context=bare_pool()._ssl_context, direct=True)
        self.urls: list[str] = []

    def blocking_transport(self, url: str, address: str = "") -> Any:
        self.urls.append(url)
        return super().blocking_transport(url, address)

    def async_transport(self, url: str, address: str = "") -> Any:
        self.urls.append(url)
        return super().async_transport(url, address)


def drive_and_close(drive: Drive, flow: Flow[Any], pool: ConnectionPool) -> Any:
    async def main() -> Any:
        try:
            return await AsyncDriver(drive.pool).run(flow)
        finally:
            await pool.aclose()
            await drive.pool.aclose()

    if drive.colour == "async":
        return asyncio.run(main())
    try:
        return drive(flow)
    finally:
        pool.close()


def test_another_credentials_flow_is_one_effect() -> None:
    flow, other = asking_flow("http://a.example/"), bare_pool()
    played = play(run(flow, other), b"its result")
    assert (played.effects, played.result) == ([RunFlow(flow, other)], b"its result")


def test_another_credentials_flow_runs_over_its_own_connections(drive: Drive) -> None:
    other = Seen()

    def both_flow(url: str) -> Flow[list[bytes]]:
        theirs = yield from run(asking_flow(url + "/theirs"), other)
        return [theirs, (yield from asking_flow(url + "/mine"))]

    with loopback(echo) as server:
        assert drive_and_close(drive, both_flow(server.url), other) == [b"/theirs", b"/mine"]
        assert other.urls == [server.url + "/theirs"]


def test_what_another_credentials_flow_raises_can_be_caught(drive: Drive) -> None:
    other = Seen()

    def catching_flow(url: str) -> Flow[str]:
        try:
            yield from run(asking_flow(url), other)
        except TransportError as error:
            return f"caught {error}"
        return "no error"

    with closed_port() as url:
        assert drive_and_close(drive, catching_flow(url), other) == "caught ConnectError"


def test_another_credentials_flow_may_run_a_third_ones(drive: Drive) -> None:
    def inner_flow() -> Flow[str]:
        return "in " + (yield from call(plain))

    def middle_flow() -> Flow[str]:
        return "in " + (yield from run(inner_flow(), bare_pool()))

    assert drive(run(middle_flow(), bare_pool())) == "in in plain"


# Ends


class Nested:
    """A flow within a flow, which tell in which order they were left."""

    def __init__(self, inmost: Callable[[], Flow[Any]]) -> None:
        self.left: list[str] = []
        self.flow = self._leaving_flow("outer", run(self._leaving_flow("inner", inmost()), bare_pool()))

    def _leaving_flow(self, name: str, within: Flow[Any]) -> Flow[None]:
        try:
            yield from within
        finally:
            self.left.append(name)


def test_cancelling_closes_the_inner_flow_and_then_the_outer() -> None:
    nested = Nested(lambda: sleep(60))

    async def main() -> None:
        task = asyncio.create_task(AsyncDriver(bare_pool()).run(nested.flow))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert nested.left == ["inner", "outer"]


def test_an_interrupt_closes_the_inner_flow_and_then_the_outer() -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    nested = Nested(lambda: call(interrupted))
    with pytest.raises(KeyboardInterrupt):
        BlockingDriver(bare_pool()).run(nested.flow)
    assert nested.left == ["inner", "outer"]


def test_an_outer_flow_that_is_given_up_before_the_inner_began_leaves_nothing_open() -> None:
    nested = Nested(lambda: sleep(60))
    next(nested.flow)
    nested.flow.close()
    assert nested.left == ["outer"]
