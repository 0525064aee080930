"""The two faces of a credential: blocking and awaitable, as azure-core's protocols have them.

A *family* (``_on_behalf_of``, ``_client_credentials``, …) is written once, without colour: it says which
token is wanted, which one is at hand, and by which flow to get it. The two classes here are the whole
difference between ``credentials`` and ``credentials.aio``.
"""

from __future__ import annotations

import os
import ssl
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

from credentials._confidential_client import TokenQuery
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Flow
from credentials._pool import ConnectionPool
from credentials._types import AccessToken, AccessTokenInfo, TokenRequestOptions


class Family(ABC):
    """Describe the logic of one kind of credential, without colour."""

    _pool: ConnectionPool
    _owns_pool = True

    @abstractmethod
    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        """Return what is asked for, checked; ``method`` names the caller in errors."""

    @abstractmethod
    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        """Return the token if it is at hand, without any wait."""

    @abstractmethod
    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes."""


class BlockingColour(Family):
    """Give tokens to blocking code; safe to use from several threads."""

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_kwargs: Any,
    ) -> AccessToken:
        """Return an access token for the scopes; a cached one is returned without any wait.

        ``claims`` is the JSON text of a claims challenge. Raises ``ValueError`` for bad arguments,
        :class:`CredentialUnavailableError` if something is missing on this machine, and
        :class:`AuthenticationError` if the provider gives no token.
        """
        info = self._get(scopes, "get_token", _options(claims, tenant_id, enable_cae))
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with its type and refresh time; the errors are those of :meth:`get_token`."""
        return self._get(scopes, "get_token_info", options or {})

    def _get(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> AccessTokenInfo:
        query = self._query(scopes, method, options)
        info = self._fresh(query)
        return info if info is not None else BlockingDriver(self._pool).run(self._token_flow(query))

    def close(self) -> None:
        """Close the connections, unless others use them too; the credential stays usable and opens new ones."""
        if self._owns_pool:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _traceback: TracebackType | None = None,
    ) -> None:
        self.close()


class AsyncColour(Family):
    """Give tokens to awaitable code; safe to use from several tasks, event loops and threads."""

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_kwargs: Any,
    ) -> AccessToken:
        """Return an access token for the scopes; a cached one is returned without any wait.

        ``claims`` is the JSON text of a claims challenge. Raises ``ValueError`` for bad arguments,
        :class:`CredentialUnavailableError` if something is missing on this machine, and
        :class:`AuthenticationError` if the provider gives no token.
        """
        info = await self._get(scopes, "get_token", _options(claims, tenant_id, enable_cae))
        return AccessToken(info.token, info.expires_on)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with its type and refresh time; the errors are those of :meth:`get_token`."""
        return await self._get(scopes, "get_token_info", options or {})

    async def _get(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> AccessTokenInfo:
        query = self._query(scopes, method, options)
        info = self._fresh(query)
        return info if info is not None else await AsyncDriver(self._pool).run(self._token_flow(query))

    async def close(self) -> None:
        """Close this event loop's connections, unless others use them too; the credential stays usable."""
        if self._owns_pool:
            await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


def pool_for(connection_verify: ssl.SSLContext | str | os.PathLike[str] | bool) -> ConnectionPool:
    """Return a pool that trusts the public authorities, those in a PEM file, or what an ``SSLContext`` says.

    Raises ``ValueError`` for False: without verification a token request would hand its secret to anyone.
    """
    if isinstance(connection_verify, ssl.SSLContext):
        return ConnectionPool(ssl_context=connection_verify)
    if isinstance(connection_verify, (str, os.PathLike)):
        try:
            return ConnectionPool(ssl_context=ssl.create_default_context(cafile=connection_verify))
        except OSError as error:
            raise ValueError(f"connection_verify {str(connection_verify)!r} is not a readable PEM file") from error
    if not connection_verify:
        raise ValueError("connection_verify=False is not supported: give the path of the authority's PEM file instead")
    return ConnectionPool()


def _options(claims: str | None, tenant_id: str | None, enable_cae: bool) -> TokenRequestOptions:
    options = TokenRequestOptions(enable_cae=enable_cae)
    if claims:
        options["claims"] = claims
    if tenant_id:
        options["tenant_id"] = tenant_id
    return options
