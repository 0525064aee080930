"""WebSockets whose user's token expires: what the middleware does then, with a server played by hand."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from obo_middleware.asgi import Message, OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.errors import RequestEndedError
from tests.adapters.by_hand import Exchange, living
from tests.adapters.world import World

pytestmark = pytest.mark.attack(20)

CLOSED = {"type": "websocket.close", "code": 1008, "reason": "the access token has expired"}
SOON = 0.2
"""Seconds until the token expires; the test's clock stands still, so that the middleware really waits that long."""

Socket = Callable[[Scope, Receive, Send], Awaitable[None]]


class Connection(Exchange):
    """A handshake whose server tells the app of the end when the middleware closes, as servers do."""

    def __init__(self, app: Any, token: str, path: str = "/socket") -> None:
        super().__init__(app, path, token, kind="websocket")
        self.app = app
        del self.scope["method"]
        self._later: asyncio.Queue[Message] = asyncio.Queue()
        self.fails = self.breaks = False

    def arrive(self, message: Message) -> None:
        """Have a message from the client."""
        self._later.put_nowait(message)

    async def _receive(self) -> Message:
        if self.breaks:
            raise ConnectionError("broken")
        return self._incoming.pop(0) if self._incoming else await self._later.get()

    async def _send(self, message: Message) -> None:
        await super()._send(message)
        if message["type"] == "websocket.close":
            self._later.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
            if self.fails:
                raise RuntimeError("the connection is lost")


def serve(world: World, socket: Socket, *, lifetime: float = SOON, closing: bool = True) -> Connection:
    begun, end = world.clock.ahead, int(world.clock()) + 100  # tokens end on whole seconds
    settings = world.settings(
        close_websockets_at_expiry=closing, clock=lambda: end - lifetime + world.clock.ahead - begun
    )
    token = world.token("alice", lifetime=100)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (live if scope["type"] == "lifespan" else socket)(scope, receive, send)

    return Connection(OnBehalfOfMiddleware(app, settings), token)


async def live(_scope: Scope, receive: Receive, send: Send) -> None:
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


def run(connection: Connection) -> None:
    """Serve the connection to its end, by an app that is started and shut down."""

    async def main() -> None:
        async with living(connection.app):
            await connection.run()
            assert len(asyncio.all_tasks()) == 2, "nothing is left behind but this task and the app's life"

    asyncio.run(main())


async def patient(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, and wait for the client until it goes."""
    await receive()
    await send({"type": "websocket.accept"})
    scope["state"]["left"] = await receive()


def test_a_websocket_is_closed_when_its_users_token_expires(world: World) -> None:
    connection = serve(world, patient)
    run(connection)
    assert connection.sent == [{"type": "websocket.accept"}, CLOSED]
    assert connection.scope["state"]["left"] == {"type": "websocket.disconnect", "code": 1008}


def test_a_handshake_that_waits_too_long_is_refused(world: World) -> None:
    async def slow(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        await receive()

    connection = serve(world, slow)
    run(connection)
    assert connection.sent == [CLOSED]  # before accept: servers answer with status 403


def test_after_that_the_app_can_say_nothing_more(world: World) -> None:
    async def talkative(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        with pytest.raises(OSError, match="expired"):
            await send({"type": "websocket.send", "text": "still there?"})

    connection = serve(world, talkative)
    run(connection)
    assert connection.types == ["websocket.accept", "websocket.close"]


def test_a_websocket_that_the_app_has_closed_is_not_closed_again(world: World) -> None:
    async def lingering(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        await receive()
        await asyncio.sleep(SOON + 0.2)

    connection = serve(world, lingering)
    run(connection)
    assert connection.sent == [{"type": "websocket.close", "code": 1000}]


def test_a_client_that_is_gone_by_then_hurts_nobody(world: World) -> None:
    connection = serve(world, patient)
    connection.fails = True
    run(connection)
    assert connection.types == ["websocket.accept", "websocket.close"]


def test_an_app_that_ends_before_leaves_nothing_behind(world: World) -> None:
    async def brief(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    connection = serve(world, brief, lifetime=60)
    run(connection)
    assert connection.types == ["websocket.close"]


def test_a_websocket_stays_open_where_nobody_asked_for_its_end(world: World) -> None:
    async def waiting(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        left = asyncio.ensure_future(receive())
        await asyncio.wait([left], timeout=SOON + 0.2)
        left.cancel()
        await asyncio.wait([left])

    connection = serve(world, waiting, closing=False)
    run(connection)
    assert connection.types == ["websocket.accept"]


async def steps(count: int) -> None:
    """Let every task that is ready go on, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def interrupted(receive: Receive, arrive: Callable[[], None], count: int, cancels: int) -> Message:
    """Stop waiting that many steps after a message has come; return what was received then, or by the next call."""
    waiting = asyncio.ensure_future(receive())
    await steps(10)
    arrive()
    await steps(count)
    for _ in range(cancels):
        waiting.cancel()
        await steps(1)
    await asyncio.wait([waiting])
    return await receive() if waiting.cancelled() else waiting.result()


@pytest.mark.parametrize("cancels", [1, 2])
def test_no_message_is_lost_when_the_app_stops_waiting_for_one(world: World, cancels: int) -> None:
    came: list[Message] = []

    async def impatient(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        for count in range(10):
            arrive = functools.partial(connection.arrive, {"type": "websocket.receive", "text": str(count)})
            came.append(await interrupted(receive, arrive, count, cancels))

    connection = serve(world, impatient, lifetime=60)
    run(connection)
    assert [message["text"] for message in came] == [str(count) for count in range(10)]


def test_a_message_that_nobody_has_taken_is_not_delivered_after_expiry(world: World) -> None:
    async def impatient(scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await steps(10)
        connection.arrive({"type": "websocket.receive", "text": "late"})
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(SOON + 0.2)
        scope["state"]["left"] = [(await receive())["type"] for _ in range(3)]

    connection = serve(world, impatient)
    run(connection)
    assert connection.scope["state"]["left"] == ["websocket.disconnect"] * 3
    assert connection.sent == [CLOSED]


def test_what_the_server_raises_reaches_the_app(world: World) -> None:
    async def failing(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        connection.breaks = True
        with pytest.raises(ConnectionError, match="broken"):
            await receive()

    connection = serve(world, failing, lifetime=60)
    run(connection)


@pytest.mark.parametrize("closing", [True, False])
def test_after_expiry_its_clients_send_nothing_more(world: World, closing: bool) -> None:
    async def calling(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        graph = scope["state"]["obo"].client("graph")
        assert (await graph.get("/me")).status_code == 200
        world.clock.advance(61)
        for use in (graph.get("/me"), scope["state"]["obo"].credential.get_token("User.Read")):
            with pytest.raises(RequestEndedError, match="expired"):
                await use

    connection = serve(world, calling, lifetime=60, closing=closing)
    run(connection)
    assert len(world.graph.requests) == 1
