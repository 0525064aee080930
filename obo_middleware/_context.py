"""What a handler finds in its request: the user, and clients and credentials that act as that user.

Rules of this file: a context belongs to one request; everything made from it stops working when that request
ends; nothing is made before it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import httpx

from credentials import AsyncTokenCredential, TokenCredential
from credentials.kernel import AsyncOnBehalfOfCredential, OnBehalfOfCredential
from obo_middleware._auth import Lease, async_client, blocking_client
from obo_middleware._user import User
from obo_middleware._validation import Validated
from obo_middleware.errors import (
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    MissingTokenError,
)

if TYPE_CHECKING:
    from obo_middleware._runtime import Runtime

C = TypeVar("C", OnBehalfOfCredential, AsyncOnBehalfOfCredential)


class Context:
    """Hold what one request may do in the name of its user. ``user`` is None for a request without a token."""

    __slots__ = ("_clients", "_lease", "_runtime", "_valid", "user")

    def __init__(self, runtime: Runtime, valid: Validated | None) -> None:
        self.user: User | None = None if valid is None else valid.user
        self._runtime = runtime
        self._valid = valid
        self._lease = Lease()
        self._clients: dict[tuple[str, bool, bool], Any] = {}

    def require(self, *scopes: str) -> User:
        """Return the user if their token grants every one of the scopes.

        Raises :class:`MissingTokenError` if there is no user, :class:`InsufficientScopeError` if a scope is
        missing.
        """
        user = self._signed_in().user
        if not user.scopes.issuperset(scopes):
            raise InsufficientScopeError("the token lacks a scope that the route needs", scopes=scopes)
        return user

    def require_authentication(self, *, acr_values: Sequence[str] = (), max_age: int | None = None) -> User:
        """Return the user if their sign-in is strong and recent enough (RFC 9470); ``max_age`` is in seconds.

        Raises :class:`InsufficientUserAuthenticationError` otherwise, :class:`MissingTokenError` if there is
        no user.
        """
        user = self._signed_in().user
        # One text is one value: with `in`, the acr "1" would be found in the text "c1".
        acr_values = (acr_values,) if isinstance(acr_values, str) else tuple(acr_values)
        strong = not acr_values or user.claims.get("acr") in acr_values
        signed_in_at = user.claims.get("auth_time")
        if not isinstance(signed_in_at, (int, float)):
            signed_in_at = 0
        recent = max_age is None or self._runtime.settings.clock() - signed_in_at <= max_age
        if not (strong and recent):
            raise InsufficientUserAuthenticationError(
                "the sign-in is too weak or too old for the route", acr_values=acr_values, max_age=max_age
            )
        return user

    def end(self) -> None:
        """End the request: every client and credential made from this context refuses from now on."""
        self._lease.ended = True

    def _signed_in(self) -> Validated:
        if self._valid is None:
            raise MissingTokenError
        return self._valid

    def _client(self, name: str, *, as_user: bool, blocking: bool) -> Any:
        key = (name, as_user, blocking)
        client = self._clients.get(key)
        if client is None:
            runtime = self._runtime
            valid = self._signed_in() if as_user else None
            make = blocking_client if blocking else async_client
            client = make(runtime.source(name, valid), self._lease, runtime.target(name))
            self._clients[key] = client
        return client

    def _credential(self, kind: type[C]) -> C:
        runtime, valid = self._runtime, self._signed_in()
        return kind.of(
            runtime.client,
            runtime.pool,
            valid.assertion,
            tenant_id=runtime.tenant_of(valid),
            check=self._lease.check,
        )


class AsyncContext(Context):
    """Hold what one request to an ASGI app may do in the name of its user.

    Every method that takes an API's name raises :class:`ConfigurationError` if there is no such API; what
    acts as the user raises :class:`MissingTokenError` if there is none.
    """

    __slots__ = ()

    def client(self, name: str) -> httpx.AsyncClient:
        """Return the ``httpx.AsyncClient`` that calls an API as the user."""
        return cast(httpx.AsyncClient, self._client(name, as_user=True, blocking=False))

    def blocking_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the user, for endpoints that are plain functions."""
        return cast(httpx.Client, self._client(name, as_user=True, blocking=True))

    def app_client(self, name: str) -> httpx.AsyncClient:
        """Return the ``httpx.AsyncClient`` that calls an API as the application itself."""
        return cast(httpx.AsyncClient, self._client(name, as_user=False, blocking=False))

    def blocking_app_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the application itself, for plain functions."""
        return cast(httpx.Client, self._client(name, as_user=False, blocking=True))

    @property
    def credential(self) -> AsyncOnBehalfOfCredential:
        """The user's credential, for the awaitable clients of the Azure SDK."""
        return self._credential(AsyncOnBehalfOfCredential)

    @property
    def blocking_credential(self) -> OnBehalfOfCredential:
        """The user's credential, for the blocking clients of the Azure SDK."""
        return self._credential(OnBehalfOfCredential)

    @property
    def app_credential(self) -> TokenCredential | AsyncTokenCredential:
        """The application's own credential: ``Settings.app_credential``, or an awaitable client credential."""
        return self._runtime.app_credential(blocking=False)


class BlockingContext(Context):
    """Hold what one request to a WSGI app may do in the name of its user; errors as in :class:`AsyncContext`."""

    __slots__ = ()

    def client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the user."""
        return cast(httpx.Client, self._client(name, as_user=True, blocking=True))

    def app_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the application itself."""
        return cast(httpx.Client, self._client(name, as_user=False, blocking=True))

    @property
    def credential(self) -> OnBehalfOfCredential:
        """The user's credential, for the clients of the Azure SDK."""
        return self._credential(OnBehalfOfCredential)

    @property
    def app_credential(self) -> TokenCredential | AsyncTokenCredential:
        """The application's own credential: ``Settings.app_credential``, or a blocking client credential."""
        return self._runtime.app_credential(blocking=True)
