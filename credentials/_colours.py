"""The two faces of a credential: blocking and awaitable, as azure-core's protocols have them.

The two classes here are the whole difference between ``credentials`` and ``credentials.aio``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._family import Family
from credentials._types import AccessToken, AccessTokenInfo, TokenRequestOptions


class BlockingColour(Family):
    """Give tokens to blocking code; safe to use from several threads."""

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: Any,
    ) -> AccessToken:
        """Return an access token for the scopes; a cached one is returned without any wait.

        ``claims`` is the JSON text of a claims challenge. Raises ``ValueError`` for bad arguments,
        :class:`CredentialUnavailableError` if something is missing on this machine, and :class:`AuthenticationError`
        if the provider gives no token, or ``tenant_id`` is not among ``additionally_allowed_tenants``. Other keywords
        mean nothing: azure-core's protocol wants them taken.
        """
        info = self._get(scopes, "get_token", _options(claims, tenant_id, enable_cae))
        return _access_token(info)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with its type and refresh time; the errors are those of :meth:`get_token`."""
        return self._get(scopes, "get_token_info", _dictionary(options))

    def _get(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> AccessTokenInfo:
        _check(options)
        query = self._query(scopes, method, options)
        info = self._fresh(query)
        return info if info is not None else BlockingDriver(self._pool).run(self._token_flow(query))

    def close(self) -> None:
        """Close the connections, unless others use them too; the credential stays usable and opens new ones."""
        for pool in self._pools():
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
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
        **kwargs: Any,
    ) -> AccessToken:
        """Return an access token for the scopes; a cached one is returned without any wait.

        ``claims`` is the JSON text of a claims challenge. Raises ``ValueError`` for bad arguments,
        :class:`CredentialUnavailableError` if something is missing on this machine, and :class:`AuthenticationError`
        if the provider gives no token, or ``tenant_id`` is not among ``additionally_allowed_tenants``. Other keywords
        mean nothing: azure-core's protocol wants them taken.
        """
        info = await self._get(scopes, "get_token", _options(claims, tenant_id, enable_cae))
        return _access_token(info)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return an access token with its type and refresh time; the errors are those of :meth:`get_token`."""
        return await self._get(scopes, "get_token_info", _dictionary(options))

    async def _get(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> AccessTokenInfo:
        _check(options)
        query = self._query(scopes, method, options)
        info = self._fresh(query)
        return info if info is not None else await AsyncDriver(self._pool).run(self._token_flow(query))

    async def close(self) -> None:
        """Close this event loop's connections, unless others use them too; the credential stays usable."""
        for pool in self._pools():
            await pool.aclose()
            pool.close()  # a token provider may have asked for blocking code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()


def _access_token(info: AccessTokenInfo) -> AccessToken:
    """Return a token as azure-core's class too, where that is loaded: the Graph SDK takes no other for a token."""
    theirs = getattr(sys.modules.get("azure.core.credentials"), "AccessToken", None)
    return _kind_of(theirs)(info.token, info.expires_on)


@functools.cache
def _kind_of(theirs: Any) -> type[AccessToken]:
    if not (isinstance(theirs, type) and issubclass(theirs, tuple)):
        return AccessToken
    # Pickled and copied as ours, for this class has no name to find it by.
    members = {
        "__slots__": (),
        "__module__": AccessToken.__module__,
        "__reduce__": lambda token: (AccessToken, tuple(token)),
    }
    return cast(type[AccessToken], type("AccessToken", (AccessToken, theirs), members))


def _options(claims: str | None, tenant_id: str | None, enable_cae: bool) -> TokenRequestOptions:
    options = TokenRequestOptions(enable_cae=enable_cae)
    if claims:
        options["claims"] = claims
    if tenant_id:
        options["tenant_id"] = tenant_id
    return options


def _dictionary(options: TokenRequestOptions | None) -> TokenRequestOptions:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"options must be a dictionary, and not {type(options).__name__}")
    return options


def _check(options: TokenRequestOptions) -> None:
    """Raise ``ValueError`` for claims or a tenant that are no text; what the text says is each family's business."""
    claims, tenant_id = options.get("claims"), options.get("tenant_id")
    if claims is None and tenant_id is None:
        return
    for name, value in (("claims", claims), ("tenant_id", tenant_id)):
        if value is not None and not (isinstance(value, str) and _is_unicode(value)):
            raise ValueError(f"{name} must be a string without lone surrogates (given was {type(value).__name__})")


def _is_unicode(text: str) -> bool:
    """Tell whether a text can be sent: half a character (a lone surrogate) has no encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
