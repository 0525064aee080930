"""A user whom the application has not seen yet: requests to the provider, and connections opened for them.

The application has served somebody else before. Counts, not times: the provider counts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msal
from azure.identity.aio import OnBehalfOfCredential
from starlette.types import Receive, Scope, Send

from obo_middleware import DownstreamApi
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.testing import ENDPOINTS, LocalEntra
from tests.benchmarks import peers, stage
from tests.benchmarks.processes import process
from tests.benchmarks.table import Row


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the downstream API as the user, and answer."""
    if scope["type"] == "lifespan":
        for told in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{told}.complete"})
        return
    response = await scope["state"]["obo"].client(stage.API).get("/me")
    await send({"type": "http.response.start", "status": response.status_code, "headers": []})
    await send({"type": "http.response.body", "body": response.content})


async def _get(app: OnBehalfOfMiddleware, token: str) -> None:
    statuses: list[int] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [(b"authorization", b"Bearer " + token.encode())]
    await app({"type": "http", "path": "/me", "headers": headers, "state": {}}, receive, send)
    assert statuses[0] == 200


async def _ours(entra: LocalEntra, graph: str, seen: str, new: str) -> tuple[int, int, int]:
    api = DownstreamApi(graph, scopes=[stage.SCOPE])
    app = OnBehalfOfMiddleware(_app, stage.settings(entra, downstream_apis={stage.API: api}))
    async with stage.alive(app):
        await _get(app, seen)
        return await _counted(entra, lambda: _get(app, new))


async def _azure(entra: LocalEntra, seen: str, new: str) -> tuple[int, int, int]:
    async def get(token: str) -> None:
        async with OnBehalfOfCredential(**peers.azure_options(entra), user_assertion=token) as credential:
            await credential.get_token(stage.GRAPH_SCOPE)

    await get(seen)
    return await _counted(entra, lambda: get(new))


async def _msal(entra: LocalEntra, seen: str, new: str) -> tuple[int, int, int]:
    with peers.trusting_session(entra) as session:
        app = msal.ConfidentialClientApplication(**peers.msal_options(entra, session))
        app.acquire_token_on_behalf_of(seen, [stage.GRAPH_SCOPE])
        return await _counted(
            entra, lambda: asyncio.to_thread(app.acquire_token_on_behalf_of, new, [stage.GRAPH_SCOPE])
        )


async def _counted(entra: LocalEntra, work: Callable[[], Awaitable[object]]) -> tuple[int, int, int]:
    """Return the requests, the new connections and the requests for metadata or keys that the work costs."""
    entra.reset_counts()
    await work()
    counts = {name: entra.requests_to(name) for name in ENDPOINTS}
    return sum(counts.values()), entra.connections, sum(counts.values()) - counts["token"]


def run(*, quick: bool) -> list[Row]:
    """Count, and return the row."""
    with stage.provider() as entra, process("graph_process") as graph:
        seen, new = stage.inbound_token(entra, "alice"), stage.inbound_token(entra, "bob")
        ours = asyncio.run(_ours(entra, graph["url"], seen, new))
        peers = {
            "azure-identity": asyncio.run(_azure(entra, seen, new)),
            "MSAL, one shared app": asyncio.run(_msal(entra, seen, new)),
        }
    return [
        Row(
            what="a new user, cold",
            ours=_said(ours),
            budget=_said((1, 0, 0)),
            floor=_said((1, 0, 0)),
            peers="; ".join(f"{name}: {_said(counts)}" for name, counts in peers.items()),
            within=ours == (1, 0, 0),
        )
    ]


def _said(counts: tuple[int, int, int]) -> str:
    requests, connections, discovery = counts
    return f"{requests} request(s), {connections} new connection(s), {discovery} of discovery"
