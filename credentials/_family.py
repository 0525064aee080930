"""What every kind of credential is, without colour.

A *family* (``_on_behalf_of``, ``_managed_identity``, …) is written once: it says which token is wanted, which one is
at hand, and by which flow to get it. ``_colours`` makes it blocking or awaitable.
"""

from __future__ import annotations

import functools
import os
import ssl
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Self

from credentials._certificate import shown_path
from credentials._credential import TokenEngine, TokenQuery, Want
from credentials._errors import AuthenticationError, ClientAuthenticationError, told
from credentials._flow import Flow, ask, run
from credentials._pool import ConnectionPool
from credentials._types import AccessTokenInfo, AsyncTokenCredential, Place, TokenCredential, TokenRequestOptions


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

    def _member_flow(
        self, scopes: tuple[str, ...], options: TokenRequestOptions, *, method: str = "get_token", place: Place
    ) -> Flow[AccessTokenInfo]:
        """Return the token for another credential of ours that has this one within it."""
        query = replace(self._query(scopes, method, options), place=place)
        info = self._fresh(query)
        return info if info is not None else (yield from run(self._token_flow(query), self._pool))

    def _pools(self) -> tuple[ConnectionPool, ...]:
        """Return the connections that end with this credential."""
        return (self._pool,) if self._owns_pool else ()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{type(self).__name__} may hold a secret, so it is not pickled: make one where it is used")


def asked_flow(
    credential: TokenCredential | AsyncTokenCredential, scopes: tuple[str, ...], options: TokenRequestOptions
) -> Flow[AccessTokenInfo]:
    """Return the token of any credential: ours in the driver's own colour, whichever its own is.

    Raises what it raises, and :class:`AuthenticationError` for whatever is no credential's error.
    """
    if isinstance(credential, Family):
        return (yield from credential._member_flow(scopes, options, place=Place.ALONE))
    try:
        return (yield from ask(credential, scopes, options))
    except ClientAuthenticationError:
        raise
    except Exception as error:
        raise AuthenticationError(f"{type(credential).__name__} raised {told(error)}") from error


class Remakable(Family):
    """Be a credential that holds no secret: it is pickled as its arguments, and made anew from them."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Note the arguments."""
        credential = super().__new__(cls)
        credential._arguments = (arguments, options)
        return credential

    def __reduce__(self) -> tuple[Any, ...]:
        arguments, options = self._arguments
        return functools.partial(type(self), **options), arguments


class EngineFamily(Family):
    """Be a credential with a token engine of its own, whose query's ``application`` is the whole cache key."""

    _engine: TokenEngine

    @abstractmethod
    def _exchange_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        return None if query.claims else self._engine.fresh(query.application)

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        want = Want(key=query.application, claims=query.claims)
        return (yield from self._engine.token_flow(want, lambda: self._exchange_flow(query)))


def pool_for(connection_verify: ssl.SSLContext | str | os.PathLike[str] | bool) -> ConnectionPool:
    """Return a pool that trusts the public authorities, those in a PEM file, or what an ``SSLContext`` says.

    Raises ``ValueError`` for anything else, False too: without verification a token request would hand its secret to
    anyone.
    """
    if isinstance(connection_verify, ssl.SSLContext):
        return ConnectionPool(ssl_context=connection_verify)
    if isinstance(connection_verify, (str, os.PathLike)):
        try:
            return ConnectionPool(ssl_context=ssl.create_default_context(cafile=connection_verify))
        except (OSError, ValueError) as error:
            shown = shown_path(connection_verify)
            raise ValueError(f"connection_verify{shown} is not a readable PEM file") from error
    if connection_verify is not True:
        raise ValueError(
            "connection_verify: give the path of the authority's PEM file or an ssl.SSLContext; False is not supported"
        )
    return ConnectionPool()
