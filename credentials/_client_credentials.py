"""Credentials of the application itself: the client credentials grant (RFC 6749 section 4.4)."""

from __future__ import annotations

from typing import Self, Unpack

from credentials._application import ApplicationFamily, ClientOptions
from credentials._client_authentication import ClientSecret
from credentials._colours import AsyncColour, BlockingColour
from credentials._confidential_client import ConfidentialClient, TokenQuery
from credentials._flow import Flow
from credentials._pool import ConnectionPool
from credentials._types import AccessTokenInfo


class _Application(ApplicationFamily):
    @classmethod
    def of(cls, client: ConfidentialClient, pool: ConnectionPool) -> Self:
        """Return the application's credential over a client that others use too."""
        credential = cls.__new__(cls)
        credential._client, credential._pool, credential._owns_pool = client, pool, False
        return credential

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        return self._client.fresh(query)

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        return self._client.token_flow(query)


class ApplicationCredential(BlockingColour, _Application):
    """Be the application itself, blocking, however its confidential client authenticates; made by ``of``."""


class AsyncApplicationCredential(AsyncColour, _Application):
    """Be the application itself, awaitable, however its confidential client authenticates; made by ``of``."""


class _ClientSecret(_Application):
    def __init__(self, tenant_id: str, client_id: str, client_secret: str, **options: Unpack[ClientOptions]) -> None:
        self._set_up(tenant_id, client_id, ClientSecret(client_secret), **options)


class ClientSecretCredential(BlockingColour, _ClientSecret):
    """Get tokens as an application that has a client secret, blocking.

    The options are those of :class:`ClientOptions`. Raises ``ValueError`` for an empty or malformed argument.
    """


class AsyncClientSecretCredential(AsyncColour, _ClientSecret):
    """Get tokens as an application that has a client secret, awaitable.

    The options are those of :class:`ClientOptions`. Raises ``ValueError`` for an empty or malformed argument.
    """
