"""The provider's metadata and signing keys: found, kept, and fetched again when that can help.

Facts: OpenID Connect Discovery 1.0 section 4, RFC 7517, Microsoft identity platform "Access tokens" (signing
key rollover, issuer of a key).

Rules of this file:

1. One fetch at a time. A fetch that fails changes nothing: the last good keys stay (an outage of the provider
   is not ours).
2. An unknown ``kid`` may cause a fetch at most once in ``COOL_DOWN`` seconds, and once in ``LONG_COOL_DOWN``
   after one that did not help: a flood of forged tokens costs the provider nothing.
3. Only URLs on the authority's own host are fetched; no redirect is followed; answers are bounded in bytes
   and seconds.
4. Keys belong to their issuer. A key counts only as what it says it is: RSA, for signatures, 2048 bits or
   more.
"""

from __future__ import annotations

import copy
import logging
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from credentials.kernel import (
    USER_AGENT,
    Clock,
    FlightTable,
    Flow,
    HttpRequest,
    HttpResponse,
    ProviderUnavailableError,
    TransportError,
    parse_object,
    send,
)
from obo_middleware.errors import ConfigurationError, OboError, UpstreamUnavailableError

_logger = logging.getLogger("obo_middleware")

COOL_DOWN = 30.0
LONG_COOL_DOWN = 300.0
KEYS_LIVE = 86_400.0
"""Seconds after which keys are fetched again although nothing is missing (Microsoft's guidance: 24 hours)."""
FAILURE_KEPT = 5.0
"""Seconds during which a failed first fetch is not tried again."""
MAX_DOCUMENT = 65_536
_TIMEOUT = 5.0
_MAX_KEYS = 100
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
_PRINTABLE = re.compile(r"[!-~]+")
TEMPLATE = "{tenantid}"


class SigningKey(NamedTuple):
    """Hold one key; ``issuer`` restricts it to that issuer's tokens, and may have a template for the tenant."""

    kid: str
    public_key: RSAPublicKey
    issuer: str | None


class IssuerMetadata(NamedTuple):
    """Hold who signs (``issuer``, with ``{tenantid}`` for many tenants) and with which keys, by ``kid``."""

    issuer: str
    jwks_uri: str
    keys: Mapping[str, SigningKey]
    fetched_at: float


class Issuer:
    """Know one issuer's metadata and keys. ``tenant_id`` may be one that stands for many."""

    def __init__(
        self, *, authority: str, tenant_id: str, version: str, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        prefix = "/v2.0" if version == "2.0" else ""
        self.discovery_url = f"{authority}/{tenant_id}{prefix}/.well-known/openid-configuration"
        self._authority = authority
        self._tenant_id = tenant_id
        self._clock = clock
        self._on_change = on_change
        self._flights: FlightTable[IssuerMetadata] = FlightTable()
        self._metadata: IssuerMetadata | None = None
        self._failure: OboError | None = None
        self._next_fetch = 0.0

    @property
    def metadata(self) -> IssuerMetadata | None:
        """What is known, or None before the first fetch."""
        return self._metadata

    def metadata_flow(self) -> Flow[IssuerMetadata]:
        """Return the metadata, fetched now if there is none.

        Raises :class:`UpstreamUnavailableError` if it cannot be had, :class:`ConfigurationError` if it is not
        this tenant's.
        """
        if self._metadata is not None:
            return self._metadata
        if self._failure is not None and self._cooling():
            raise copy.copy(self._failure)
        return (yield from self._flights.fly_flow(b"", lambda: self._metadata, self._first_fetch_flow))

    def key_flow(self, kid: str) -> Flow[SigningKey | None]:
        """Return the key of that id, after fetching the keys again if that may help, or None."""
        metadata = yield from self.metadata_flow()
        key = metadata.keys.get(kid)
        cooling = self._cooling()
        stale = not 0 <= self._clock() - metadata.fetched_at <= KEYS_LIVE
        if key is not None and (cooling or not stale):
            return key
        if cooling and self._flights.find(b"") is None:
            # What is known now, not what was known above: the flight may have landed in between.
            return (self._metadata or metadata).keys.get(kid)
        renewed = yield from self._renew_flow(metadata, kid)
        return renewed.keys.get(kid)

    def _first_fetch_flow(self) -> Flow[IssuerMetadata]:
        try:
            return (yield from self._fetch_flow(None))
        except (UpstreamUnavailableError, ConfigurationError) as error:
            if isinstance(error, UpstreamUnavailableError):
                error.retry_after = FAILURE_KEPT
            self._failure = error
            self._next_fetch = self._clock() + FAILURE_KEPT
            raise

    def _cooling(self) -> bool:
        """Tell whether it is too early to fetch again; a clock that was set back does not make it so for long."""
        return 0 < self._next_fetch - self._clock() <= LONG_COOL_DOWN

    def _renew_flow(self, old: IssuerMetadata, kid: str) -> Flow[IssuerMetadata]:
        """Fetch again, or wait for whoever does; the old metadata is the answer if it fails."""

        def renewed() -> IssuerMetadata | None:
            return self._metadata if self._metadata is not old else None

        def fetch_flow() -> Flow[IssuerMetadata]:
            self._next_fetch = self._clock() + COOL_DOWN
            metadata = yield from self._fetch_flow(old)
            if kid not in metadata.keys:
                self._next_fetch = self._clock() + LONG_COOL_DOWN
            return metadata

        try:
            return (yield from self._flights.fly_flow(b"", renewed, fetch_flow))
        except (UpstreamUnavailableError, ConfigurationError, ProviderUnavailableError) as error:
            _logger.warning("the provider's keys could not be renewed, the last good ones stay: %s", error)
            return old

    def _fetch_flow(self, old: IssuerMetadata | None) -> Flow[IssuerMetadata]:
        document = process_document((yield from _get_flow(self.discovery_url)), self.discovery_url)
        issuer, jwks_uri = check_discovery(document, self._authority, self._tenant_id)
        keys = process_jwks(process_document((yield from _get_flow(jwks_uri)), jwks_uri))
        if not keys:
            raise UpstreamUnavailableError(f"{jwks_uri} has no usable signing key")
        self._metadata = IssuerMetadata(issuer=issuer, jwks_uri=jwks_uri, keys=keys, fetched_at=self._clock())
        if old is not None and old.keys != keys:
            self._on_change()
        return self._metadata


def _get_flow(url: str) -> Flow[HttpResponse]:
    request = HttpRequest(
        method="GET", url=url, headers={"User-Agent": USER_AGENT}, timeout=_TIMEOUT, max_bytes=MAX_DOCUMENT
    )
    try:
        return (yield from send(request))
    except TransportError as error:
        raise UpstreamUnavailableError(f"{url} could not be fetched: {error}") from error


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
    scheme, host = urllib.parse.urlsplit(authority)[:2]
    hosts = _MICROSOFT if host.lower() in _MICROSOFT else {host}
    tenant = {"organizations": re.escape(TEMPLATE), "common": re.escape(TEMPLATE)}.get(tenant_id)
    tenant = tenant or (re.escape(tenant_id) if re.fullmatch(_GUID, tenant_id) else _GUID)
    parts = urllib.parse.urlsplit(issuer)
    path = re.fullmatch(rf"(?:/sts)?/{tenant}/(?:v2\.0/?)?", parts.path)
    if parts.scheme != scheme or parts.netloc not in hosts or path is None:
        raise ConfigurationError(
            f"the authority's issuer {issuer!r} is not that of tenant_id {tenant_id!r}: check both settings."
        )
    keys_at = urllib.parse.urlsplit(jwks_uri)
    if keys_at.netloc not in hosts or keys_at.scheme != scheme or not _PRINTABLE.fullmatch(jwks_uri):
        raise ConfigurationError(
            f"the authority's jwks_uri {jwks_uri!r} is on another host: check the setting authority."
        )
    return issuer, jwks_uri


def process_jwks(document: Mapping[str, Any]) -> dict[str, SigningKey]:
    """Return the usable keys of a JWK set (RFC 7517 section 5); a malformed or unsuited key is left out, not fatal."""
    keys = document.get("keys")
    candidates = keys[:_MAX_KEYS] if isinstance(keys, list) else []
    usable = (_signing_key(jwk) for jwk in candidates if isinstance(jwk, dict))
    return {key.kid: key for key in usable if key is not None}


def _signing_key(jwk: Mapping[str, Any]) -> SigningKey | None:
    kid, issuer, operations = jwk.get("kid"), jwk.get("issuer"), jwk.get("key_ops", ["verify"])
    suited = jwk.get("kty") == "RSA" and jwk.get("use", "sig") == "sig" and jwk.get("alg", "RS256") == "RS256"
    if not suited or not isinstance(kid, str) or not isinstance(operations, list) or "verify" not in operations:
        return None
    if issuer is not None and not isinstance(issuer, str):
        return None
    try:
        public_key = jwt.PyJWK({"kty": "RSA", "n": jwk.get("n"), "e": jwk.get("e")}, algorithm="RS256").key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        _logger.warning("a key of the provider is malformed and left out: %s", type(error).__name__)
        return None
    if not isinstance(public_key, RSAPublicKey) or public_key.key_size < 2048:
        return None
    return SigningKey(kid=kid, public_key=public_key, issuer=issuer)
