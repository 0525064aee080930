"""The constructor options that the credentials of an app registration share, turned into a confidential client."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from credentials._authority import Authority, check_scopes
from credentials._client_authentication import ClientAuthentication, FileAssertion
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine, TokenQuery
from credentials._errors import CredentialUnavailableError
from credentials._family import Family, Remakable, pool_for
from credentials._flow import Flow
from credentials._pool import ConnectionPool
from credentials._region import Region
from credentials._token_endpoint import SendFlow, post_flow
from credentials._types import AccessTokenInfo, Clock, TokenRequestOptions

CACHE_SIZE = 1_000
"""Tokens that a credential used alone keeps."""


class ClientOptions(TypedDict, total=False):
    """Name the options of azure-identity that every app registration's credential takes, and our own.

    ``authority`` (in JavaScript ``authority_host``) is a host or https URL, by default ``AZURE_AUTHORITY_HOST`` or the
    public cloud. ``additionally_allowed_tenants`` may contain ``"*"``. ``regional_authority`` is the region whose token
    service gives the application's own tokens, or ``"tryautodetect"``, by default ``AZURE_REGIONAL_AUTHORITY_NAME``.
    ``disable_instance_discovery`` is accepted for compatibility: the token endpoint is composed from the authority,
    nothing is ever discovered. ``cache_persistence_options`` must be None: tokens are not written to disk.
    ``connection_verify`` is the path of a PEM file with authorities to trust, or an ``ssl.SSLContext``.
    ``allow_local_authority`` permits plain http to a loopback address, for a local provider. ``clock``
    returns seconds since the epoch.
    """

    authority: str | None
    authority_host: str | None
    additionally_allowed_tenants: Iterable[str]
    regional_authority: str | None
    disable_instance_discovery: bool | None
    cache_persistence_options: None
    connection_verify: ssl.SSLContext | str | os.PathLike[str] | bool
    allow_local_authority: bool
    clock: Clock


class ApplicationFamily(Family):
    """Be a credential that gets its tokens through a confidential client."""

    _client: ConfidentialClient
    _pool: ConnectionPool

    def _set_up(
        self,
        tenant_id: str,
        client_id: str,
        authentication: ClientAuthentication,
        send_flow: SendFlow = post_flow,
        /,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Take a confidential client with a cache of its own; ``send_flow`` sends its token requests."""
        check_options(type(self).__name__, options)
        self._client = ConfidentialClient(
            authority=Authority.parse(
                one_of("authority", options.get("authority"), options.get("authority_host")),
                allow_local=options.get("allow_local_authority", False),
            ),
            tenant_id=tenant_id,
            client_id=client_id,
            authentication=authentication,
            engine=TokenEngine(cache_size=CACHE_SIZE, clock=options.get("clock", time.time)),
            additionally_allowed_tenants=allowed_tenants(options.get("additionally_allowed_tenants")),
            region=_region(options.get("regional_authority") or os.environ.get("AZURE_REGIONAL_AUTHORITY_NAME")),
            send_flow=send_flow,
        )
        self._pool = pool_for(options.get("connection_verify", True))

    def _pools(self) -> tuple[ConnectionPool, ...]:
        return (*super()._pools(), *self._client.pools) if self._owns_pool else ()

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        return self._client.query(
            scopes,
            method=method,
            claims=options.get("claims"),
            tenant_id=options.get("tenant_id"),
            enable_cae=bool(options.get("enable_cae")),
        )

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        return self._client.fresh(query)

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        return self._client.token_flow(query)


class AmbientFamily(Remakable, ApplicationFamily):
    """Be an application's credential that finds what it needs on this machine, or tells what is missing there.

    The telling is left until a token is asked for, so that a chain goes on.
    """

    _missing = ""

    def _set_up_without(self, missing: str, /, **options: Unpack[ClientOptions]) -> None:
        """Check the options and open nothing; ``missing`` is the text of the error that every request raises."""
        self._missing = missing
        # Nothing will ever be sent, so the public authorities need not be loaded, which takes 20 ms.
        options.setdefault("connection_verify", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._set_up("organizations", "unknown", FileAssertion(""), **options)

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        if self._missing:
            check_scopes(scopes, method)
            raise CredentialUnavailableError(self._missing)
        return super()._query(scopes, method, options)


def check_options(
    name: str, options: Mapping[str, object], known: Iterable[str] = ClientOptions.__annotations__
) -> None:
    """Raise ``TypeError`` for an option that there is not, and ``ValueError`` for one that cannot be had."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"{name} does not take the option {', '.join(unknown)}")
    if options.get("cache_persistence_options") is not None:
        raise ValueError("cache_persistence_options is not supported: tokens are not written to disk. Leave it out")
    check_clock(options.get("clock", time.time))


def check_clock(clock: object) -> None:
    """Raise ``ValueError`` for a clock that cannot be asked for the time."""
    if not callable(clock):
        raise ValueError("clock must be a function that returns the seconds since the epoch, as time.time does")


def allowed_tenants(tenants: Iterable[str] | None) -> tuple[str, ...]:
    """Return ``additionally_allowed_tenants`` checked."""
    allowed = strings_in(tenants or ())
    if allowed is None:
        raise ValueError("additionally_allowed_tenants must be a list of strings, such as ['contoso.com'] or ['*']")
    return allowed


def strings_in(values: object) -> tuple[str, ...] | None:
    """Return the strings in a list, or None if it is no list of strings; a lone one would be taken for its letters."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        return None
    strings = tuple(values)
    return strings if all(isinstance(value, str) for value in strings) else None


def one_of(name: str, value: Any, alias: Any) -> Any:
    """Return what is given under a name or under its alias."""
    if value and alias and value != alias:
        raise ValueError(f"{name} is given twice, under two names and with two values: give it once")
    return value or alias


def _region(name: str | None) -> Region | None:
    return Region(name) if name else None
