"""Clients of MCP servers: that of the official SDK, that of FastMCP, and one that finds out how to sign in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import fastmcp
import httpx2
import pytest
from fastmcp.client.transports import StreamableHttpTransport
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import AnyUrl

from tests.adapters.harness import bearer
from tests.adapters.world import PATIENCE, World

RESOURCE = "https://mcp.example/mcp"
"""The server's own URL where nothing else is said, as in the page."""
_RETURN = "http://localhost"

Call = Callable[..., Awaitable[list[Any]]]
"""Calls a tool of the server at a URL, with a token, ``times`` at once in one session; returns what each call gave."""


async def call_by_sdk(url: str, token: str, tool: str, times: int = 1) -> list[Any]:
    async with (
        httpx2.AsyncClient(headers=bearer(token), trust_env=False, timeout=PATIENCE) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return await _structured(client, tool, times)


async def call_by_fastmcp(url: str, token: str, tool: str, times: int = 1) -> list[Any]:
    async with fastmcp.Client(StreamableHttpTransport(url, headers=bearer(token)), timeout=PATIENCE) as client:
        results = await asyncio.gather(*(client.call_tool(tool, {}) for _ in range(times)))
        return [result.structured_content for result in results]


async def refusal_by_sdk(url: str, token: str, tool: str) -> tuple[int, str]:
    """Call a tool that fails, by the newest protocol; return the status of the HTTP answer, and its challenge."""
    answers: list[httpx2.Response] = []

    async def keep(answer: httpx2.Response) -> None:
        answers.append(answer)

    async with (
        httpx2.AsyncClient(
            headers=bearer(token), trust_env=False, timeout=PATIENCE, event_hooks={"response": [keep]}
        ) as http,
        Client(streamable_http_client(url, http_client=http), mode=LATEST_MODERN_VERSION) as client,
    ):
        with pytest.raises(MCPError):
            await client.call_tool(tool, {})
    return answers[-1].status_code, answers[-1].headers.get("www-authenticate", "")


CLIENTS: dict[str, Call] = {"MCP SDK": call_by_sdk, "FastMCP": call_by_fastmcp}


async def _structured(client: Client, tool: str, times: int = 1) -> list[Any]:
    results = await asyncio.gather(*(client.call_tool(tool, {}) for _ in range(times)))
    assert not any(result.is_error for result in results), results
    return [result.structured_content for result in results]


class Proxy(httpx2.AsyncHTTPTransport):
    """Stand for the proxy in front of a server: what is for ``RESOURCE`` goes there, with the public ``Host``."""

    def __init__(self, server: str) -> None:
        super().__init__(trust_env=False)
        self._server = httpx2.URL(server)
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        if request.url.host == urlsplit(RESOURCE).hostname:
            request.url = request.url.copy_with(
                scheme=self._server.scheme, host=self._server.host, port=self._server.port
            )
        return await super().handle_async_request(request)


class Person:
    """A client's user, who signs in at the provider when asked; also what the client remembers of it."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self.wanted: list[dict[str, str]] = []
        self._answer: dict[str, str] = {}
        self._tokens: OAuthToken | None = None

    async def open(self, url: str) -> None:
        """Press one's own button on the page at a URL, and be sent back to the client."""
        query = dict(parse_qsl(urlsplit(url).query))
        self.wanted.append(query)
        entra = self._world.entra
        form = query | {"user": entra.users[self._name].object_id}
        async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
            sent = await http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form)
        self._answer = {key: values[0] for key, values in parse_qs(urlsplit(sent.headers["location"]).query).items()}

    async def answer(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=self._answer["code"], state=self._answer["state"])

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull:
        """Return the client's registration, which is made beforehand: Entra registers none that asks."""
        return OAuthClientInformationFull(
            client_id=self._world.entra.client.client_id,
            redirect_uris=[AnyUrl(_RETURN)],
            token_endpoint_auth_method="none",
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("the client is registered already")


async def call_signed_in_by_oneself(proxy: Proxy, person: Person, tool: str) -> Any:
    """Call a tool at ``RESOURCE`` with no token at first: the SDK finds the authorization server and signs in there."""
    metadata = OAuthClientMetadata(redirect_uris=[AnyUrl(_RETURN)], client_name="test")
    auth = OAuthClientProvider(RESOURCE, metadata, person, person.open, person.answer)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(transport=proxy, auth=auth, timeout=PATIENCE))
        client = await stack.enter_async_context(Client(streamable_http_client(RESOURCE, http_client=http)))
        (given,) = await _structured(client, tool)
    return given
