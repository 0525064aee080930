"""The SDK of Microsoft Graph, in both of the ways in which it can call as a user."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from obo_middleware._context import AsyncContext

with warnings.catch_warnings():
    # The SDK imports a name that it calls deprecated itself.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kiota_abstractions.authentication import AnonymousAuthenticationProvider
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph.generated.users.item.messages.messages_request_builder import MessagesRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter, options
    from msgraph.graph_service_client import GraphServiceClient
    from msgraph_core import GraphClientFactory

QUIET = pytest.mark.filterwarnings("ignore:This class is deprecated. Please use the generic Req:DeprecationWarning")
"""Says nothing of what the SDK says of itself whenever it imports one of its modules."""
Sdk = Callable[[AsyncContext, str], AbstractAsyncContextManager[Any]]

_Query = MessagesRequestBuilder.MessagesRequestBuilderGetQueryParameters
TWO_A_PAGE = RequestConfiguration(query_parameters=_Query(top=2))


@asynccontextmanager
async def by_credential(context: AsyncContext, base_url: str) -> AsyncIterator[Any]:
    """Give the SDK over the user's credential, and connections of its own, which it leaves open."""
    scopes = [f"https://graph.microsoft.com/{name}" for name in ("User.Read", "Mail.Read")]
    graph: Any = GraphServiceClient(context.credential, scopes=scopes)
    graph.request_adapter.base_url = base_url
    try:
        yield graph
    finally:
        await graph.request_adapter._http_client._transport.transport.aclose()


@asynccontextmanager
async def by_client(context: AsyncContext, base_url: str) -> AsyncIterator[Any]:
    """Give the SDK over the injected client."""
    client = GraphClientFactory.create_with_default_middleware(client=context.client("graph"), options=options)
    adapter = GraphRequestAdapter(AnonymousAuthenticationProvider(), client)
    adapter.base_url = base_url
    yield GraphServiceClient(request_adapter=adapter)
