"""The start and the end of an ASGI app, and of what it shares between its requests.

Facts: the ASGI specification 3.0 (Lifespan).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from obo_middleware._runtime import Runtime

if TYPE_CHECKING:
    from obo_middleware.asgi import App, Message, Receive, Scope, Send

# After each of these the app lives no longer, and its connections must not either.
_ENDS = ("lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed")


async def live(runtime: Runtime, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an app's lifespan: fetch metadata before it starts, and close all connections when it has ended."""

    async def receive_warm() -> Message:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await _warm_up(runtime, send_closed)
        return message

    async def send_closed(message: Message) -> None:
        if message["type"] in _ENDS:
            await runtime.aclose()
        await send(message)

    await app(scope, receive_warm, send_closed)


async def _warm_up(runtime: Runtime, send: Send) -> None:
    try:
        await runtime.async_driver.run(runtime.warm_up_flow())
    except Exception as error:
        # Said here, since apps wait for the first message outside of what answers with a failure.
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise
