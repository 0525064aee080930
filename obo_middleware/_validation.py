"""Validate a bearer token: from its text to the user whose it is.

Facts: RFC 7515, RFC 7519, RFC 8725 and its revision (best practices), RFC 9068, Microsoft identity platform
"Access tokens" and "Secure applications and APIs by validating claims".

Rules of this file:

1. Cheap refusals come first: size, alphabet, header, issuer, audience, time. Only then keys are looked up and
   RSA is verified.
2. Every refusal is :class:`InvalidTokenError`; its text is for the log. Decisions that the client may tell
   apart (a missing scope) are taken from verified claims only.
3. Nothing in a token decides where a key comes from; a token that tries (``jku``, ``x5u``, ``x5c``, ``jwk``)
   is refused.
4. PyJWT verifies the signature. The JSON is read by our own strict reader, since PyJWT's takes the last of
   two equal members, any Unicode encoding, and numbers in strings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jwt

from credentials.kernel import ExpiringCache, Flow, UserAssertion, key_of, parse_object
from obo_middleware._metadata import KEYS_LIVE, TEMPLATE, Issuer, SigningKey
from obo_middleware._settings import Settings
from obo_middleware._user import User, user_from_claims
from obo_middleware.errors import InsufficientScopeError, InvalidTokenError

LEEWAY = 60.0
"""Seconds that ``nbf`` and ``iat`` may lie ahead: the provider's clock and ours differ."""
_REMEMBERED = 10_000
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPES = frozenset({None, "JWT", "jwt", "at+jwt", "application/at+jwt"})
# RFC 7515 section 4.1: extensions that change what is verified, and hints to keys of the sender's choice.
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "cty", "jku", "jwk", "x5u", "x5c", "nonce", "enc", "p2c", "p2s"})
_SESSION_CLAIMS = ("sid", "acr", "acrs", "amr", "auth_time")
_PARTITION_CLAIMS = ("iss", "tid", "oid", "azp", "appid", *_SESSION_CLAIMS, "scp", "roles", "idtyp", "cnf")
_LATEST = 253_402_300_800  # the year 10000
_ENCODER = json.JSONEncoder(sort_keys=True)
_RS256 = jwt.get_algorithm_by_name("RS256")


class Validated(NamedTuple):
    """Hold a valid token's user, and the assertion to exchange for them.

    ``good_until``, in seconds since the epoch, is when to validate it again: at its end, or when the keys are old.
    """

    user: User
    assertion: UserAssertion
    app_only: bool
    good_until: float


class TokenValidator:
    """Validate the tokens of one API; safe for threads and tasks at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._remembered: ExpiringCache[bytes, Validated] = ExpiringCache(
            size=_REMEMBERED, until=lambda valid: valid.good_until, clock=settings.clock
        )
        self.issuers = {version: self._issuer(version) for version in sorted(settings.token_versions)}

    def remembered(self, header: bytes) -> Validated | None:
        """Return what the token in this very header was found to be, if it was validated and is still good; no I/O.

        Only the usual spelling of a header is remembered, so that one token cannot take many places.
        """
        return self._remembered.get(header)

    def validate_flow(self, token: str) -> Flow[Validated]:
        """Return the token's user.

        Raises :class:`InvalidTokenError`, :class:`UpstreamUnavailableError` if the keys cannot be had, and
        :class:`ConfigurationError`.
        """
        header = b"Bearer " + token.encode()
        valid = self._remembered.get(header)
        if valid is not None:
            return valid
        parsed = parse_token(token)
        check_header(parsed.header)
        issuer = self._issuer_for(parsed.claims)
        metadata = yield from issuer.metadata_flow()
        self._check_claims(parsed.claims, metadata.issuer)
        key = yield from issuer.key_flow(parsed.header["kid"])
        keys = issuer.metadata or metadata
        check_signature(parsed, key)
        # A withdrawn key must not live on in what is remembered, so that is no older than the keys may be.
        valid = self._validated(token, parsed.claims, keys.fetched_at + KEYS_LIVE)
        self._remembered.put(header, valid)
        # Another thread may have renewed the keys, and cleared what was remembered, since this one got its key.
        if (issuer.metadata or metadata).keys.get(parsed.header["kid"]) != key:
            self._remembered.discard(header)
        return valid

    def check(self, valid: Validated) -> None:
        """Raise :class:`InsufficientScopeError` for an application's own token, or one without the required scopes."""
        settings = self._settings
        if valid.app_only:
            raise InsufficientScopeError(
                "the token is an application's own, but the route is for users",
                scopes=settings.required_scopes,
            )
        if not valid.user.scopes.issuperset(settings.required_scopes):
            raise InsufficientScopeError("the token lacks a required scope", scopes=settings.required_scopes)

    def _issuer(self, version: str) -> Issuer:
        return Issuer(
            authority=self._settings.authority_url,
            tenant_id=self._settings.tenant_id,
            version=version,
            clock=self._clock,
            on_change=self._remembered.clear,
        )

    def _issuer_for(self, claims: Mapping[str, Any]) -> Issuer:
        version = claims.get("ver")
        issuer = self.issuers.get(version) if isinstance(version, str) else None
        if issuer is None:
            raise InvalidTokenError("the claim ver is not an accepted token version")
        return issuer

    def _check_claims(self, claims: Mapping[str, Any], issuer: str) -> None:
        check_issuer(claims, issuer, self._settings)
        check_times(claims, self._clock())
        # Entra's access tokens have one audience, a string. An exact match: no prefix, no other case (RFC
        # 8725 section 3.9).
        audience = claims.get("aud")
        if not isinstance(audience, str) or audience not in self._settings.accepted_audiences:
            raise InvalidTokenError("the claim aud does not name this API")
        check_shape(claims)

    def _validated(self, token: str, claims: Mapping[str, Any], keys_until: float) -> Validated:
        partition = partition_of(token, claims, self._settings.cache_partition)
        user = user_from_claims(claims)
        assertion = UserAssertion(token=token, partition=partition, object_id=user.object_id, tenant_id=user.tenant_id)
        until = min(float(user.expires_on), keys_until)
        return Validated(user=user, assertion=assertion, app_only=is_app_only(claims), good_until=until)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedToken:
    """Hold the parts of a token in JWS compact form, not verified yet."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse_token(token: str) -> ParsedToken:
    """Return the parts of a token in compact form (RFC 7515 section 7.1); raises :class:`InvalidTokenError`."""
    segments = token.split(".")
    if len(segments) != 3:
        raise InvalidTokenError("the token does not have three segments")
    try:
        header, payload, signature = (decode_segment(segment) for segment in segments)
        parsed = ParsedToken(
            header=parse_object(header),
            claims=parse_object(payload),
            signing_input=token.rpartition(".")[0].encode(),
            signature=signature,
        )
    except (ValueError, binascii.Error) as error:
        raise InvalidTokenError(f"the token is malformed: {error}") from error
    return parsed


def decode_segment(segment: str) -> bytes:
    """Return the bytes of a base64url segment; raises ``ValueError`` unless it is their one spelling."""
    if not _SEGMENT.fullmatch(segment):
        raise ValueError("a segment is not base64url")
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    # The last character may have bits that mean nothing; set, they would give one token several texts.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise ValueError("a segment has bits behind its end")
    return data


def check_header(header: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidTokenError` unless the header fits an access token (RFC 8725 sections 3.1, 3.10, 3.11)."""
    if header.get("alg") != "RS256":
        raise InvalidTokenError("the algorithm is not RS256")
    kind = header.get("typ")
    if not (kind is None or isinstance(kind, str)) or kind not in _TYPES:
        raise InvalidTokenError("the header typ is not that of an access token")
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise InvalidTokenError("the header has a member that must not be there")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 256:
        raise InvalidTokenError("the header has no usable kid")


def check_issuer(claims: Mapping[str, Any], issuer: str, settings: Settings) -> None:
    """Raise :class:`InvalidTokenError` unless ``iss`` is the issuer, with the token's ``tid`` in its template."""
    tid = claims.get("tid")
    if not isinstance(tid, str) or not _GUID.fullmatch(tid):
        raise InvalidTokenError("the claim tid is not a tenant's id")
    if settings.many_tenants and not {tid, "*"}.intersection(settings.allowed_tenants):
        raise InvalidTokenError("the tenant is not among allowed_tenants")
    if claims.get("iss") != issuer.replace(TEMPLATE, tid) or tid not in claims["iss"]:
        raise InvalidTokenError("the claim iss is not the provider's issuer")


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """Raise :class:`InvalidTokenError` unless the token is valid now (RFC 7519 sections 4.1.4 to 4.1.6)."""
    if not now < _seconds(claims, "exp"):
        raise InvalidTokenError("the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims, name) > now + LEEWAY:
            raise InvalidTokenError(f"the claim {name} lies in the future")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value: object = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LATEST:
        raise InvalidTokenError(f"the claim {name} is not a time")
    return value


def check_shape(claims: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidTokenError` unless the claims are those of a bearer access token."""
    for name in ("sub", "oid"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise InvalidTokenError(f"the claim {name} is missing")
    scopes, roles = claims.get("scp", ""), claims.get("roles", [])
    if not isinstance(scopes, str) or not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise InvalidTokenError("the claim scp or roles has the wrong type")
    for name in ("azp", "appid", "idtyp"):
        if not isinstance(claims.get(name, ""), str):
            raise InvalidTokenError(f"the claim {name} has the wrong type")
    # RFC 7800: a token bound to a key proves nothing without that key.
    if "cnf" in claims:
        raise InvalidTokenError("the token is bound to a key and not a bearer token")
    # RFC 8725 section 3.12: an ID token is signed alike, but speaks to the client and grants nothing. It may have
    # roles, where client and API share a registration; a user's access token always has scp.
    if {"nonce", "at_hash", "c_hash"} & claims.keys() or not (scopes or is_app_only(claims)):
        raise InvalidTokenError("the token is not an access token")


def is_app_only(claims: Mapping[str, Any]) -> bool:
    """Tell whether a token is an application's own: by ``idtyp``, or no ``scp`` and itself as subject."""
    return claims.get("idtyp") == "app" or ("scp" not in claims and claims.get("oid") == claims.get("sub"))


def check_signature(parsed: ParsedToken, key: SigningKey | None) -> None:
    """Raise :class:`InvalidTokenError` unless the issuer's key signed the token."""
    if key is None:
        raise InvalidTokenError("the key is not one of the issuer's")
    claims = parsed.claims
    if key.issuer is not None and key.issuer.replace(TEMPLATE, claims["tid"]) != claims["iss"]:
        raise InvalidTokenError("the key belongs to another issuer")
    if not _RS256.verify(parsed.signing_input, key.public_key, parsed.signature):
        raise InvalidTokenError("the signature is wrong")


def partition_of(token: str, claims: Mapping[str, Any], mode: str) -> bytes:
    """Return the hash that keeps a user's downstream tokens apart from everybody else's.

    In mode ``session`` it is made of the claims that say who the user is, through which client and with what
    strength of sign-in; a token that says nothing about its session, and every token in mode ``assertion``,
    is its own partition.
    """
    if mode == "assertion" or not any(claims.get(name) for name in _SESSION_CLAIMS):
        return key_of("assertion", token)
    return key_of("session", _ENCODER.encode([claims.get(name) for name in _PARTITION_CLAIMS]))
