"""Settings: what an application says about itself, checked when they are made.

Rule of this file: a value that cannot work raises :class:`ConfigurationError` here, before the first request,
and its text names the field, what is wrong with the value and what to write instead. No secret stands in a
text.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import httpx

from credentials import (
    AsyncTokenCredential,
    ClientAssertion,
    ClientCertificate,
    ClientSecret,
    TokenCredential,
)
from credentials.kernel import Authority, ClientAuthentication, Clock, is_loopback
from obo_middleware._downstream_api import DownstreamApi, check_each_scope
from obo_middleware._downstream_api import wrong as _wrong
from obo_middleware._environment import credential_from_env, variable_for
from obo_middleware.errors import ConfigurationError

__all__ = ["DownstreamApi", "Settings"]

MANY_TENANTS = ("organizations", "common")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_GRAPH = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})


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
        required: False lets requests without a token through, with ``context.user`` None.
        app_credential: Any ``TokenCredential`` for calls as the application; default the client credential.
        cache_partition: ``"session"`` shares tokens within a user's session, ``"assertion"`` only for the
            very same token.
        cache_size: The most tokens to keep in memory.
        enable_cae: Ask for tokens that can be revoked at once; our clients answer the claims challenges.
        http: The HTTP library's module, ``httpx`` or ``httpx2``.
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
    required: bool = True
    app_credential: TokenCredential | AsyncTokenCredential | None = field(default=None, repr=False)
    cache_partition: Literal["session", "assertion"] = "session"
    cache_size: int = 100_000
    enable_cae: bool = True
    http: ModuleType = field(default=httpx, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    allow_local_issuer: bool = False
    clock: Clock = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_client(self)
        _check_tenants(self)
        _check_authority(self)
        _check_routes(self)
        _check_rest(self)
        _set(self, "authority", self.authority_url)
        _set(self, "client_credential", _authentication(self.client_credential))
        _set(self, "downstream_apis", _checked_apis(self.downstream_apis))
        for name in ("tenant_id", "client_id"):
            _set(self, name, _as_issued(getattr(self, name)))
        _set(self, "audiences", _checked_audiences(self.audiences, self.client_id))
        _set(self, "allowed_tenants", frozenset(_as_issued(tenant) for tenant in self.allowed_tenants))
        _set(self, "token_versions", frozenset(self.token_versions))
        _set(self, "public_paths", frozenset(self.public_paths))
        _set(self, "required_scopes", tuple(self.required_scopes))

    @property
    def authentication(self) -> ClientAuthentication:
        """How the application proves who it is."""
        return _authentication(self.client_credential)

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


def _as_issued(text: str) -> str:
    """Return a GUID in lower case, as the provider writes it in tokens; other texts stay as they are."""
    return text.lower() if _GUID.fullmatch(text) else text


def _set(settings: Settings, name: str, value: object) -> None:
    object.__setattr__(settings, name, value)


def _authentication(value: object) -> ClientAuthentication:
    if isinstance(value, (ClientSecret, ClientCertificate, ClientAssertion)):
        return value
    if isinstance(value, str) and value.strip():
        return ClientSecret(value)
    raise _wrong(
        "client_credential",
        "is empty" if value is None or isinstance(value, str) else f"is a {type(value).__name__}",
        "give the secret's value as a string, or a ClientSecret, ClientCertificate or ClientAssertion",
    )


def _check_kinds(settings: Settings) -> None:
    for name in ("allowed_tenants", "public_paths", "token_versions"):
        value = getattr(settings, name)
        if isinstance(value, str) or not isinstance(value, Collection):
            raise _wrong(name, f"is a {type(value).__name__}", "give a list of strings")
    # The text "false" is true to Python; a provider on this machine must not be let in by it.
    for name in ("required", "enable_cae", "allow_local_issuer"):
        if not isinstance(getattr(settings, name), bool):
            raise _wrong(name, f"is {getattr(settings, name)!r}", "give True or False")
    if not isinstance(settings.authority, str | None):
        raise _wrong("authority", f"is a {type(settings.authority).__name__}", "give a host or an https URL")
    if not callable(settings.clock):
        raise _wrong("clock", "is not callable", "give a function such as time.time")
    if not isinstance(settings.ssl_context, ssl.SSLContext | None):
        raise _wrong("ssl_context", f"is a {type(settings.ssl_context).__name__}", "give an ssl.SSLContext")


def _check_client(settings: Settings) -> None:
    if not isinstance(settings.client_id, str) or not settings.client_id.strip():
        raise _wrong("client_id", "is empty", "give the application (client) id of the API's app registration")
    if not re.fullmatch(r"[!-~]+", settings.client_id):
        raise _wrong("client_id", f"{settings.client_id!r} is not an id", "copy the application (client) id, a GUID")


def _check_tenants(settings: Settings) -> None:
    tenant, allowed = settings.tenant_id, settings.allowed_tenants
    if not isinstance(tenant, str) or not tenant.strip():
        raise _wrong("tenant_id", "is empty", "give the directory (tenant) id of the app registration")
    if tenant in MANY_TENANTS:
        if not allowed:
            raise _wrong("allowed_tenants", f"is empty, but tenant_id is {tenant!r}", "list the tenants, or give ['*']")
        for one in allowed if set(allowed) != {"*"} else ():
            if not _GUID.fullmatch(str(one)):
                raise _wrong("allowed_tenants", f"contains {one!r}", "give each tenant's GUID, or '*' alone")
    elif not _GUID.fullmatch(tenant) and not _DOMAIN.fullmatch(tenant):
        raise _wrong("tenant_id", f"{tenant!r} is not a tenant", "give a GUID, a domain, 'organizations' or 'common'")
    elif allowed:
        raise _wrong(
            "allowed_tenants",
            f"is given, but tenant_id is the single tenant {tenant!r}",
            "use tenant_id='organizations'",
        )


def _check_authority(settings: Settings) -> None:
    try:
        authority = settings.parsed_authority
    except ValueError as error:
        fix = "give a host such as login.microsoftonline.com; http needs a loopback address and allow_local_issuer=True"
        raise _wrong("authority", str(error), fix) from error
    if is_loopback(authority.host) and not settings.allow_local_issuer:
        raise _wrong(
            "authority",
            f"{authority.url!r} is on this machine, where anybody can sign tokens",
            "set allow_local_issuer=True if this is a test, and never in production",
        )


def _check_routes(settings: Settings) -> None:
    check_each_scope("required_scopes", settings.required_scopes)
    for scope in settings.required_scopes:
        if "/" in scope:
            raise _wrong(
                "required_scopes",
                f"contains {scope!r}",
                f"give {scope.rpartition('/')[2]!r}, as in the claim scp",
            )
    for path in settings.public_paths:
        if not isinstance(path, str) or not path.startswith("/"):
            raise _wrong(
                "public_paths",
                f"contains {path!r}",
                "write each path from its first slash, such as '/health'",
            )


def _check_rest(settings: Settings) -> None:
    if settings.cache_partition not in ("session", "assertion"):
        raise _wrong("cache_partition", f"is {settings.cache_partition!r}", "give 'session' or 'assertion'")
    if isinstance(settings.cache_size, bool) or not isinstance(settings.cache_size, int) or settings.cache_size < 1:
        raise _wrong("cache_size", f"is {settings.cache_size!r}", "give a number of tokens, 1 or more")
    versions = settings.token_versions
    if not versions or not all(version in ("1.0", "2.0") for version in versions):
        raise _wrong("token_versions", f"is {versions!r}", "give a list of '1.0', '2.0' or both")
    if not callable(getattr(settings.http, "AsyncHTTPTransport", None)):
        raise _wrong("http", f"is {settings.http!r}", "give the module httpx or httpx2")
    if settings.app_credential is not None and not callable(getattr(settings.app_credential, "get_token", None)):
        raise _wrong("app_credential", "has no get_token", "give a credential, of this package or of azure-identity")


def _checked_apis(apis: Mapping[str, DownstreamApi]) -> Mapping[str, DownstreamApi]:
    if not isinstance(apis, Mapping):
        raise _wrong("downstream_apis", f"is a {type(apis).__name__}", "give a dict of names and DownstreamApi values")
    for name, api in apis.items():
        if not isinstance(name, str) or not name:
            raise _wrong("downstream_apis", f"has the name {name!r}", "name each API with a string")
        if not isinstance(api, DownstreamApi):
            raise _wrong(f"downstream_apis[{name!r}]", f"is a {type(api).__name__}", "give a DownstreamApi(...)")
    return MappingProxyType(dict(apis))


def _checked_audiences(audiences: Collection[str] | None, client_id: str) -> frozenset[str]:
    if audiences is None:
        return frozenset({client_id, f"api://{client_id}"})
    listed = isinstance(audiences, Collection) and not isinstance(audiences, str)
    if not listed or not audiences or not all(isinstance(a, str) and a for a in audiences):
        raise _wrong("audiences", f"is {audiences!r}", "give a list of exact aud values, or leave it out")
    for audience in audiences:
        if audience.rstrip("/") in _GRAPH:
            raise _wrong("audiences", "names Microsoft Graph, whose tokens nobody else can validate", "name this API")
    return frozenset(audiences)
