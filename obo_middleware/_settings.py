"""Settings: what an application says about itself, checked when they are made.

Rule of this file: a value that cannot work raises :class:`ConfigurationError` here, before the first request,
and its text names the field, what is wrong with the value and what to write instead. No secret stands in a
text.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import httpx

from credentials import AsyncTokenCredential, TokenCredential
from credentials.kernel import Authority, ClientAuthentication, Clock, Observer
from obo_middleware import _settings_checks
from obo_middleware._downstream_api import DownstreamApi
from obo_middleware._environment import credential_from_env, variable_for
from obo_middleware._protected_resource import ProtectedResource
from obo_middleware._settings_checks import (
    MANY_TENANTS,
    accepted_issuers,
    as_issued,
    authentication_of,
    checked_apis,
    checked_audiences,
)
from obo_middleware._shared_cache import TokenStore, token_store_of
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware._urls import wrong
from obo_middleware.errors import ConfigurationError

__all__ = ["DownstreamApi", "ProtectedResource", "Settings", "TrustedIssuer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Describe an API, its app registration and the APIs that it calls.

    Args:
        tenant_id: The tenant's GUID or domain; ``organizations`` or ``common`` for many, with
            ``allowed_tenants``.
        client_id: The application (client) id of the API's own registration.
        client_credential: A secret, or a ``ClientSecret``, ``ClientCertificate`` or ``ClientAssertion``.
        downstream_apis: A name for each API to call, and its :class:`DownstreamApi`.
        authority: Host or URL of the provider; default ``AZURE_AUTHORITY_HOST``, then the public cloud.
        allowed_tenants: The GUIDs of the tenants whose users may call, or ``"*"`` for every tenant.
        audiences: The exact ``aud`` values to accept; default the client id and ``api://{client_id}``.
        token_versions: The token versions to accept.
        required_scopes: The scopes that every route needs, as they stand in ``scp``.
        public_paths: The paths, exactly as the server decodes them, that need no token.
        public_methods: The methods that need no token, such as ``OPTIONS`` for CORS preflights. Where a path or
            method is public, a token is not looked at.
        issuers: The issuers other than Entra whose tokens are accepted, each a :class:`TrustedIssuer`.
        allowed_clients: The application (client) ids that may call with tokens of Entra; default every one.
        allow_guests: False refuses guests of the tenant; needs the optional claim ``acct`` in tokens.
        max_token_life: The most seconds that a token may still live, or None for no such bound.
        proxy_token_header: The header in which a trusted proxy puts the access token, such as
            ``X-MS-TOKEN-AAD-ACCESS-TOKEN``; validation is the same.
        protected_resource: What to publish about this API for clients that look for its authorization server.
        close_websockets_at_expiry: Close a WebSocket with code 1008 when its user's token expires.
        refuse_private_addresses: Fetch metadata and keys from globally routable addresses only.
        required: False lets requests without a token through, with ``context.user`` None.
        app_credential: Any ``TokenCredential`` for calls as the application; default the client credential.
        cache_partition: ``"session"`` shares tokens within a user's session, ``"assertion"`` only for the
            very same token.
        cache_size: The most tokens to keep in memory.
        token_store: Where several workers keep tokens together: an ``obo_middleware.redis.RedisTokenStore``, or the
            URL of one.
        enable_cae: Ask for tokens that can be revoked at once; our clients answer the claims challenges.
        telemetry: Who is told what happens, an ``obo_middleware.telemetry.OpenTelemetry``.
        http: The HTTP library's module, ``httpx`` or ``httpx2``.
        http2: Offer HTTP/2 to the provider and the APIs; needs the package ``h2``.
        ssl_context: What to trust, in place of certifi's authorities and ``SSL_CERT_FILE``.
        allow_local_issuer: Permit a provider on a loopback address, such as LocalEntra. Never in production.
        clock: Returns seconds since the epoch.

    Raises:
        ConfigurationError: A value is missing, malformed, or contradicts another one.
    """

    tenant_id: str
    client_id: str
    client_credential: str | ClientAuthentication = field(repr=False)
    downstream_apis: Mapping[str, DownstreamApi] = field(default_factory=dict)
    authority: str | None = None
    allowed_tenants: Collection[str] = ()
    audiences: Collection[str] | None = None
    token_versions: Collection[str] = ("1.0", "2.0")
    required_scopes: Sequence[str] = ()
    public_paths: Collection[str] = ()
    public_methods: Collection[str] = ()
    required: bool = True
    issuers: Sequence[TrustedIssuer] = ()
    allowed_clients: Collection[str] = ()
    allow_guests: bool = True
    max_token_life: float | None = None
    proxy_token_header: str | None = None
    protected_resource: ProtectedResource | None = None
    close_websockets_at_expiry: bool = False
    refuse_private_addresses: bool = False
    app_credential: TokenCredential | AsyncTokenCredential | None = field(default=None, repr=False)
    cache_partition: Literal["session", "assertion"] = "session"
    cache_size: int = 100_000
    token_store: TokenStore | str | None = field(default=None, repr=False)
    enable_cae: bool = True
    telemetry: Observer | None = field(default=None, repr=False)
    http: ModuleType = field(default=httpx, repr=False)
    http2: bool = False
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    allow_local_issuer: bool = False
    clock: Clock = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        _settings_checks.check(self)
        _set(self, "authority", self.authority_url)
        _set(self, "client_credential", authentication_of(self.client_credential))
        _set(self, "token_store", token_store_of(self.token_store))
        _set(self, "downstream_apis", checked_apis(self.downstream_apis))
        for name in ("tenant_id", "client_id"):
            _set(self, name, as_issued(getattr(self, name)))
        _set(self, "audiences", checked_audiences(self.audiences, self.client_id))
        for name in ("allowed_tenants", "allowed_clients"):
            _set(self, name, frozenset(as_issued(one) for one in getattr(self, name)))
        for name in ("token_versions", "public_paths", "public_methods"):
            _set(self, name, frozenset(getattr(self, name)))
        for name in ("required_scopes", "issuers"):
            _set(self, name, tuple(getattr(self, name)))

    @property
    def authentication(self) -> ClientAuthentication:
        """How the application proves who it is."""
        return authentication_of(self.client_credential)

    @property
    def store(self) -> TokenStore | None:
        """Where several workers keep tokens together, if they do."""
        return token_store_of(self.token_store)

    @property
    def accepted_audiences(self) -> Collection[str]:
        """The exact ``aud`` values that are accepted."""
        return self.audiences or ()

    @property
    def authority_url(self) -> str:
        """The URL of the provider, without a trailing slash."""
        return self.parsed_authority.url

    @property
    def parsed_authority(self) -> Authority:
        """The provider's authority, normalised."""
        return Authority.parse(self.authority, allow_local=self.allow_local_issuer)

    @property
    def accepted_issuers(self) -> tuple[str, ...]:
        """The issuers whose tokens are accepted, the way metadata names authorization servers."""
        return accepted_issuers(self)

    @property
    def many_tenants(self) -> bool:
        """Whether users of several tenants may call."""
        return self.tenant_id in MANY_TENANTS

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """Return settings from the environment; arguments go before it.

        Reads ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, one of ``AZURE_CLIENT_SECRET``,
        ``AZURE_CLIENT_CERTIFICATE_PATH`` (with ``AZURE_CLIENT_CERTIFICATE_PASSWORD``) and
        ``AZURE_FEDERATED_TOKEN_FILE`` in this order, ``AZURE_AUTHORITY_HOST``, and ``OBO_ALLOW_LOCAL_ISSUER``
        (``true`` for a local provider). An empty variable counts as not set. Raises
        :class:`ConfigurationError` that names the variable that is missing.
        """
        given = dict(overrides)
        for name, variable in (("tenant_id", "AZURE_TENANT_ID"), ("client_id", "AZURE_CLIENT_ID")):
            if name not in given:
                given[name] = variable_for(name, variable)
        if "client_credential" not in given:
            given["client_credential"] = credential_from_env()
        if "allow_local_issuer" not in given:
            given["allow_local_issuer"] = os.environ.get("OBO_ALLOW_LOCAL_ISSUER", "").lower() in (
                "1",
                "true",
            )
        try:
            return cls(**given)
        except TypeError as error:
            raise ConfigurationError(f"there is no such setting: {error}") from error

    @classmethod
    def from_config(cls, config: Mapping[str, Any], prefix: str = "OBO_") -> Settings:
        """Return the settings in a framework's configuration: their names in capitals after a prefix.

        What is not there comes from the environment, as with :meth:`from_env`. An API may be a mapping of the fields of
        a :class:`DownstreamApi`, as it is where the configuration was read from a file or from variables. Raises
        :class:`ConfigurationError`.
        """
        given = {name[len(prefix) :].lower(): value for name, value in config.items() if name.startswith(prefix)}
        apis = given.get("downstream_apis")
        if isinstance(apis, Mapping):
            given["downstream_apis"] = {name: _api(name, value) for name, value in apis.items()}
        return cls.from_env(**given)


def _api(name: str, value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        return DownstreamApi(**value)
    except TypeError as error:
        fields = "write base_url, scopes and others of DownstreamApi"
        raise wrong(
            f"downstream_apis[{name!r}]", f"has fields that it must not have, or lacks one ({error})", fields
        ) from error


def _set(settings: Settings, name: str, value: object) -> None:
    object.__setattr__(settings, name, value)
