"""The rules that settings must keep, each with its own sentence.

Rule of this file: a check looks at the values as they were given and raises :class:`ConfigurationError` that names the
field, what is wrong with the value and what to write instead. No secret stands in a text.
"""

from __future__ import annotations

import importlib.util
import math
import re
import ssl
import urllib.parse
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from credentials import ClientAssertion, ClientCertificate, ClientSecret
from credentials.kernel import ClientAuthentication
from obo_middleware._discovery import is_at_authority
from obo_middleware._downstream_api import DownstreamApi, check_each_scope
from obo_middleware._protected_resource import ProtectedResource
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware._urls import is_here, wrong

if TYPE_CHECKING:
    from obo_middleware._settings import Settings

MANY_TENANTS = ("organizations", "common")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_GRAPH = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})
# RFC 9110 section 5.1: a header's name is a token. These carry other things than a bare access token.
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SWITCHES = (
    *("required", "enable_cae", "allow_local_issuer", "allow_guests"),
    *("close_websockets_at_expiry", "refuse_private_addresses", "http2"),
)
_OTHER_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "host"})


def check(settings: Settings) -> None:
    """Raise :class:`ConfigurationError` for the first value that cannot work."""
    _check_kinds(settings)
    _check_client(settings)
    _check_tenants(settings)
    _check_authority(settings)
    _check_routes(settings)
    _check_who_may_call(settings)
    _check_issuers(settings)
    _check_resource(settings)
    _check_rest(settings)


def as_issued(text: str) -> str:
    """Return a GUID in lower case, as the provider writes it in tokens; other texts stay as they are."""
    return text.lower() if _GUID.fullmatch(text) else text


def authentication_of(value: object) -> ClientAuthentication:
    """Return how the application proves who it is; a text is a secret. Raises :class:`ConfigurationError`."""
    if isinstance(value, (ClientSecret, ClientCertificate, ClientAssertion)):
        return value
    if isinstance(value, str) and value.strip():
        return ClientSecret(value)
    raise wrong(
        "client_credential",
        "is empty" if value is None or isinstance(value, str) else f"is a {type(value).__name__}",
        "give the secret's value as a string, or a ClientSecret, ClientCertificate or ClientAssertion",
    )


def _check_kinds(settings: Settings) -> None:
    for name in ("allowed_tenants", "public_paths", "public_methods", "token_versions", "allowed_clients"):
        value = getattr(settings, name)
        if isinstance(value, str) or not isinstance(value, Collection):
            raise wrong(name, f"is a {type(value).__name__}", "give a list of strings")
    # The text "false" is true to Python; a provider on this machine must not be let in by it.
    for name in _SWITCHES:
        if not isinstance(getattr(settings, name), bool):
            raise wrong(name, f"is {getattr(settings, name)!r}", "give True or False")
    if not isinstance(settings.authority, str | None):
        raise wrong("authority", f"is a {type(settings.authority).__name__}", "give a host or an https URL")
    if not callable(settings.clock):
        raise wrong("clock", "is not callable", "give a function such as time.time")
    if not isinstance(settings.ssl_context, ssl.SSLContext | None):
        raise wrong("ssl_context", f"is a {type(settings.ssl_context).__name__}", "give an ssl.SSLContext")


def _check_client(settings: Settings) -> None:
    if not isinstance(settings.client_id, str) or not settings.client_id.strip():
        raise wrong("client_id", "is empty", "give the application (client) id of the API's app registration")
    if not re.fullmatch(r"[!-~]+", settings.client_id):
        raise wrong("client_id", f"{settings.client_id!r} is not an id", "copy the application (client) id, a GUID")


def _check_tenants(settings: Settings) -> None:
    tenant, allowed = settings.tenant_id, settings.allowed_tenants
    if not isinstance(tenant, str) or not tenant.strip():
        raise wrong("tenant_id", "is empty", "give the directory (tenant) id of the app registration")
    if tenant in MANY_TENANTS:
        if not allowed:
            raise wrong("allowed_tenants", f"is empty, but tenant_id is {tenant!r}", "list the tenants, or give ['*']")
        for one in allowed if set(allowed) != {"*"} else ():
            if not _GUID.fullmatch(str(one)):
                raise wrong("allowed_tenants", f"contains {one!r}", "give each tenant's GUID, or '*' alone")
    elif not _GUID.fullmatch(tenant) and not _DOMAIN.fullmatch(tenant):
        raise wrong("tenant_id", f"{tenant!r} is not a tenant", "give a GUID, a domain, 'organizations' or 'common'")
    elif allowed:
        raise wrong(
            "allowed_tenants",
            f"is given, but tenant_id is the single tenant {tenant!r}",
            "use tenant_id='organizations'",
        )


def _check_authority(settings: Settings) -> None:
    try:
        authority = settings.parsed_authority
    except ValueError as error:
        fix = "give a host such as login.microsoftonline.com; http needs a loopback address and allow_local_issuer=True"
        raise wrong("authority", str(error), fix) from error
    if is_here(authority.host) and not settings.allow_local_issuer:
        raise wrong(
            "authority",
            f"{authority.url!r} is on this machine, where anybody can sign tokens",
            "set allow_local_issuer=True if this is a test, and never in production",
        )
    if is_here(authority.host) and settings.refuse_private_addresses:
        raise wrong(
            "refuse_private_addresses",
            f"is True, but the authority {authority.url!r} is on this machine",
            "leave it out where the provider is a local one",
        )


def _check_routes(settings: Settings) -> None:
    check_each_scope("required_scopes", settings.required_scopes)
    for scope in settings.required_scopes:
        if "/" in scope:
            raise wrong(
                "required_scopes",
                f"contains {scope!r}",
                f"give {scope.rpartition('/')[2]!r}, as in the claim scp",
            )
    for path in settings.public_paths:
        if not isinstance(path, str) or not path.startswith("/"):
            raise wrong(
                "public_paths",
                f"contains {path!r}",
                "write each path from its first slash, such as '/health'",
            )
    for method in settings.public_methods:
        if not isinstance(method, str) or not _HEADER.fullmatch(method) or method != method.upper():
            raise wrong("public_methods", f"contains {method!r}", "write each method in capitals, such as 'OPTIONS'")


def _check_who_may_call(settings: Settings) -> None:
    for client in settings.allowed_clients:
        if not isinstance(client, str) or not client:
            raise wrong("allowed_clients", f"contains {client!r}", "list the application (client) ids that may call")
    life = settings.max_token_life
    if life is not None and (isinstance(life, bool) or not isinstance(life, (int, float)) or not 0 < life < math.inf):
        raise wrong("max_token_life", f"is {life!r}", "give a number of seconds above 0, or leave it out")
    name = settings.proxy_token_header
    if name is not None and (not isinstance(name, str) or not _HEADER.fullmatch(name)):
        raise wrong("proxy_token_header", f"is {name!r}", "give a header's name, such as 'X-Forwarded-Access-Token'")
    if name is not None and name.lower() in _OTHER_HEADERS:
        raise wrong("proxy_token_header", f"is {name!r}", "name the header in which the proxy puts the bare token")


def _check_issuers(settings: Settings) -> None:
    issuers: object = settings.issuers
    if not isinstance(issuers, list | tuple):
        raise wrong("issuers", f"is a {type(issuers).__name__}", "give a list of TrustedIssuer values")
    seen: set[str] = set()
    for issuer in issuers:
        if not isinstance(issuer, TrustedIssuer):
            raise wrong("issuers", f"contains a {type(issuer).__name__}", "give a list of TrustedIssuer values")
        if issuer.issuer in seen:
            raise wrong("issuers", f"has {issuer.issuer!r} twice", "describe each issuer once, with all its audiences")
        seen.add(issuer.issuer)
        _check_issuer(issuer, settings)


def _check_issuer(issuer: TrustedIssuer, settings: Settings) -> None:
    # Past these settings' tenants, clients and guests, under whichever of its names.
    if is_at_authority(settings.authority_url, issuer.issuer):
        raise wrong(
            "issuers",
            f"has {issuer.issuer!r}, which is at the authority itself",
            "say with tenant_id and allowed_tenants whose users of Entra may call",
        )
    urls = [url for url in (issuer.issuer, issuer.jwks_uri) if url is not None]
    if not any(is_here(urllib.parse.urlsplit(url).hostname or "") for url in urls):
        return
    if not settings.allow_local_issuer:
        raise wrong(
            "issuers",
            f"has {issuer.issuer!r} with an address on this machine, where anybody can sign tokens",
            "set allow_local_issuer=True if this is a test, and never in production",
        )
    if settings.refuse_private_addresses:
        raise wrong(
            "refuse_private_addresses",
            f"is True, but the issuer {issuer.issuer!r} is on this machine",
            "leave it out where an issuer is a local one",
        )


def _check_resource(settings: Settings) -> None:
    resource = settings.protected_resource
    if resource is None:
        return
    if not isinstance(resource, ProtectedResource):
        raise wrong("protected_resource", f"is a {type(resource).__name__}", "give a ProtectedResource")
    for server in resource.authorization_servers:
        if server not in accepted_issuers(settings):
            raise wrong(
                "protected_resource",
                f"names the authorization server {server!r}, whose tokens these settings do not accept",
                "describe it in issuers, correct it, or leave authorization_servers out",
            )


def accepted_issuers(settings: Settings) -> tuple[str, ...]:
    """Return the issuers whose tokens are accepted, as authorization servers are named (RFC 8414 section 2)."""
    tenants = sorted(settings.allowed_tenants) if settings.many_tenants else []
    named = [settings.tenant_id, *(tenant for tenant in tenants if tenant != "*")]
    entra = [f"{settings.authority_url}/{as_issued(tenant)}/v2.0" for tenant in named]
    return (*entra, *(issuer.issuer for issuer in settings.issuers))


def _check_rest(settings: Settings) -> None:
    if settings.cache_partition not in ("session", "assertion"):
        raise wrong("cache_partition", f"is {settings.cache_partition!r}", "give 'session' or 'assertion'")
    if isinstance(settings.cache_size, bool) or not isinstance(settings.cache_size, int) or settings.cache_size < 1:
        raise wrong("cache_size", f"is {settings.cache_size!r}", "give a number of tokens, 1 or more")
    versions = settings.token_versions
    if not versions or not all(version in ("1.0", "2.0") for version in versions):
        raise wrong("token_versions", f"is {versions!r}", "give a list of '1.0', '2.0' or both")
    if not callable(getattr(settings.http, "AsyncHTTPTransport", None)):
        raise wrong("http", f"is {settings.http!r}", "give the module httpx or httpx2")
    if settings.http2 and importlib.util.find_spec("h2") is None:
        raise wrong("http2", "needs the package h2", "pip install h2, or leave it out")
    telemetry = settings.telemetry
    if telemetry is not None and not all(callable(getattr(telemetry, name, None)) for name in ("count", "begin")):
        kind = type(telemetry).__name__
        raise wrong("telemetry", f"is a {kind}", "give an obo_middleware.telemetry.OpenTelemetry(), or leave it out")
    if settings.app_credential is not None and not callable(getattr(settings.app_credential, "get_token", None)):
        raise wrong("app_credential", "has no get_token", "give a credential, of this package or of azure-identity")


def checked_apis(apis: Mapping[str, DownstreamApi]) -> Mapping[str, DownstreamApi]:
    """Return the APIs to call, not to be changed any more; raises :class:`ConfigurationError`."""
    if not isinstance(apis, Mapping):
        raise wrong("downstream_apis", f"is a {type(apis).__name__}", "give a dict of names and DownstreamApi values")
    for name, api in apis.items():
        if not isinstance(name, str) or not name:
            raise wrong("downstream_apis", f"has the name {name!r}", "name each API with a string")
        if not isinstance(api, DownstreamApi):
            raise wrong(f"downstream_apis[{name!r}]", f"is a {type(api).__name__}", "give a DownstreamApi(...)")
    return MappingProxyType(dict(apis))


def checked_audiences(audiences: Collection[str] | None, client_id: str) -> frozenset[str]:
    """Return the ``aud`` values to accept, without any given those of Entra; raises :class:`ConfigurationError`."""
    if audiences is None:
        return frozenset({client_id, f"api://{client_id}"})
    listed = isinstance(audiences, Collection) and not isinstance(audiences, str)
    if not listed or not audiences or not all(isinstance(a, str) and a for a in audiences):
        raise wrong("audiences", f"is {audiences!r}", "give a list of exact aud values, or leave it out")
    for audience in audiences:
        if audience.rstrip("/") in _GRAPH:
            raise wrong("audiences", "names Microsoft Graph, whose tokens nobody else can validate", "name this API")
    return frozenset(audiences)
