"""The constructor options that the credentials of an app registration share, turned into a confidential client."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterable
from typing import TypedDict, Unpack

from credentials._authority import Authority
from credentials._client_authentication import ClientAuthentication
from credentials._colours import Family, pool_for
from credentials._confidential_client import ConfidentialClient, TokenQuery
from credentials._credential import TokenEngine
from credentials._pool import ConnectionPool
from credentials._types import Clock, TokenRequestOptions

CACHE_SIZE = 1_000
"""Tokens that a credential used alone keeps."""


class ClientOptions(TypedDict, total=False):
    """Name the options of azure-identity that every app registration's credential takes, and our own.

    ``authority`` is a host or https URL, by default ``AZURE_AUTHORITY_HOST`` or the public cloud.
    ``additionally_allowed_tenants`` may contain ``"*"``. ``disable_instance_discovery`` is accepted for
    compatibility: the token endpoint is composed from the authority, nothing is ever discovered.
    ``connection_verify`` is the path of a PEM file with authorities to trust, or an ``ssl.SSLContext``.
    ``allow_local_authority`` permits plain http to a loopback address, for a local provider. ``clock``
    returns seconds since the epoch.
    """

    authority: str | None
    additionally_allowed_tenants: Iterable[str]
    disable_instance_discovery: bool | None
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
        **options: Unpack[ClientOptions],
    ) -> None:
        """Take a confidential client with a cache of its own. Raises ``TypeError`` for an option that there is not."""
        unknown = sorted(set(options) - set(ClientOptions.__annotations__))
        if unknown:
            raise TypeError(f"{type(self).__name__} does not take the option {', '.join(unknown)}")
        self._client = ConfidentialClient(
            authority=Authority.parse(
                options.get("authority"), allow_local=options.get("allow_local_authority", False)
            ),
            tenant_id=tenant_id,
            client_id=client_id,
            authentication=authentication,
            engine=TokenEngine(cache_size=CACHE_SIZE, clock=options.get("clock", time.time)),
            additionally_allowed_tenants=tuple(options.get("additionally_allowed_tenants") or ()),
        )
        self._pool = pool_for(options.get("connection_verify", True))

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        return self._client.query(
            scopes,
            method=method,
            claims=options.get("claims"),
            tenant_id=options.get("tenant_id"),
            enable_cae=bool(options.get("enable_cae")),
        )
