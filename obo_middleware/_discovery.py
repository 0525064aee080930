"""Where an issuer publishes its metadata, and whether a document is that issuer's.

Facts: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3, Microsoft identity platform "Access tokens".
Rule of this file: a document says neither who the issuer is nor on which host its keys are; it is held to what the
settings say.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from credentials.kernel import HttpResponse, is_loopback, parse_object
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware.errors import ConfigurationError, UpstreamUnavailableError

_MICROSOFT = frozenset(
    {"login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"}
    | {
        "login.microsoftonline.us",
        "login.chinacloudapi.cn",
        "sts.chinacloudapi.cn",
        "login.partner.microsoftonline.cn",
    }
)
_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[!-~]+")
TEMPLATE = "{tenantid}"
"""What stands for the tenant in an issuer that many tenants share."""


class Place(NamedTuple):
    """Say where an issuer's metadata is, and how it is judged: ``judge`` returns its issuer and key set URL.

    ``urls`` are tried in turn while one is not found. With ``known``, that issuer and key set URL, none is fetched.
    """

    urls: tuple[str, ...]
    judge: Callable[[Mapping[str, Any]], tuple[str, str]]
    algorithms: tuple[str, ...]
    known: tuple[str, str] | None = None


def entra_place(authority: str, tenant_id: str, version: str) -> Place:
    """Return where Entra publishes the metadata of a token version; ``tenant_id`` may be one that stands for many."""
    prefix = "/v2.0" if version == "2.0" else ""
    return Place(
        urls=(f"{authority}/{tenant_id}{prefix}/.well-known/openid-configuration",),
        judge=lambda document: check_discovery(document, authority, tenant_id),
        algorithms=("RS256",),
    )


def trusted_place(trusted: TrustedIssuer) -> Place:
    """Return where another issuer publishes its metadata (OpenID Connect Discovery 1.0, RFC 8414, section 3)."""
    parts = urllib.parse.urlsplit(trusted.issuer)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return Place(
        urls=(
            f"{host}{path}/.well-known/openid-configuration",
            f"{host}/.well-known/oauth-authorization-server{path}",
        ),
        judge=lambda document: check_trusted(document, trusted),
        algorithms=tuple(trusted.algorithms),
        known=None if trusted.jwks_uri is None else (trusted.issuer, trusted.jwks_uri),
    )


def process_document(response: HttpResponse, url: str) -> dict[str, Any]:
    """Return the JSON object in an answer; raises :class:`UpstreamUnavailableError` for any other answer."""
    if response.status != 200:
        raise UpstreamUnavailableError(f"{url} answered with status {response.status}")
    try:
        return parse_object(response.body)
    except ValueError as error:
        raise UpstreamUnavailableError(f"{url} is no JSON document: {error}") from error


def check_discovery(document: Mapping[str, Any], authority: str, tenant_id: str) -> tuple[str, str]:
    """Return issuer and key set URL of a discovery document (OpenID Connect Discovery 1.0 section 4.3).

    Raises :class:`ConfigurationError` if the document is another tenant's, or names keys on a host that is
    not the provider's.
    """
    issuer, jwks_uri = document.get("issuer"), document.get("jwks_uri")
    if not isinstance(issuer, str) or not isinstance(jwks_uri, str):
        raise ConfigurationError(
            "the authority's discovery document lacks issuer or jwks_uri: check the setting authority."
        )
    scheme, hosts = _homes(authority)
    tenant = {"organizations": re.escape(TEMPLATE), "common": re.escape(TEMPLATE)}.get(tenant_id)
    tenant = tenant or (re.escape(tenant_id) if re.fullmatch(_GUID, tenant_id) else _GUID)
    parts = _split(issuer)
    path = re.fullmatch(rf"(?:/sts)?/{tenant}/(?:v2\.0/?)?", parts.path)
    if parts.scheme != scheme or parts.netloc not in hosts or path is None:
        raise ConfigurationError(
            f"the authority's issuer {issuer!r} is not that of tenant_id {tenant_id!r}: check both settings."
        )
    keys_at = _split(jwks_uri)
    if keys_at.netloc not in hosts or keys_at.scheme != scheme or not _PRINTABLE.fullmatch(jwks_uri):
        raise ConfigurationError(
            f"the authority's jwks_uri {jwks_uri!r} is on another host: check the setting authority."
        )
    return issuer, jwks_uri


def check_trusted(document: Mapping[str, Any], trusted: TrustedIssuer) -> tuple[str, str]:
    """Return issuer and key set URL of another issuer's metadata (RFC 8414 section 3.3).

    Raises :class:`ConfigurationError` if the document is not exactly that issuer's, or names keys on a host that is
    neither its own nor among its ``key_hosts``.
    """
    jwks_uri = document.get("jwks_uri")
    if document.get("issuer") != trusted.issuer or not isinstance(jwks_uri, str) or not _PRINTABLE.fullmatch(jwks_uri):
        raise ConfigurationError(
            f"the metadata of the issuer {trusted.issuer!r} is another issuer's, or lacks jwks_uri: write the issuer "
            "exactly as its own metadata does, or give TrustedIssuer(jwks_uri=...)."
        )
    home = urllib.parse.urlsplit(trusted.issuer).netloc.lower()
    if not _is_at(jwks_uri, {home, *trusted.key_hosts}):
        raise ConfigurationError(
            f"the jwks_uri {jwks_uri!r} of the issuer {trusted.issuer!r} is on another host, or not https: add its "
            "host to TrustedIssuer(key_hosts=...), if it is the issuer's."
        )
    return trusted.issuer, jwks_uri


def may_issue(authority: str, issuer: str) -> bool:
    """Tell whether an issuer, by its host, may be the authority's; what is fetched later says whether it is."""
    scheme, hosts = _homes(authority)
    parts = _split(issuer)
    return parts.scheme == scheme and parts.netloc in hosts


def is_at_authority(authority: str, url: str) -> bool:
    """Tell whether a URL leads to the authority, by any of its hosts and in any spelling of them."""
    here, there = _server_of(authority), _server_of(url)
    return here == there or {here, there} <= {(host, 443) for host in _MICROSOFT}


def _server_of(url: str) -> tuple[str, int]:
    """Return the host and port that a URL leads to; the case of a name and the dot at its end mean nothing."""
    parts = urllib.parse.urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]


def _homes(authority: str) -> tuple[str, Collection[str]]:
    """Return the scheme of the authority, and the hosts that are one with it."""
    scheme, host = urllib.parse.urlsplit(authority)[:2]
    return scheme, _MICROSOFT if host.lower() in _MICROSOFT else {host}


def _is_at(url: str, hosts: Collection[str]) -> bool:
    """Tell whether a URL is on one of the hosts, over https or within this machine."""
    parts = _split(url)
    if parts.netloc.lower() not in hosts:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def _split(url: str) -> urllib.parse.SplitResult:
    """Return the parts of a URL out of a document; those of none if it is malformed."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.urlsplit("")
