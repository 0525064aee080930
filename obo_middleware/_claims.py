"""What the claims of an access token must be: of Entra's tokens, and of another issuer's.

Facts: RFC 7519, RFC 8725 and its revision (best practices), RFC 9068, Microsoft identity platform "Secure applications
and APIs by validating claims".

Rule of this file: functions of their arguments only. Whoever the text of an error could help reads it in the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from credentials.kernel import key_of
from obo_middleware._discovery import TEMPLATE
from obo_middleware._settings import Settings
from obo_middleware._token import ACCESS_TOKEN_TYPES, ParsedToken
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware._user import claim_at
from obo_middleware.errors import InvalidTokenError

LEEWAY = 60.0
"""Seconds that ``nbf`` and ``iat`` may lie ahead: the provider's clock and ours differ."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID_TOKEN_CLAIMS = frozenset({"nonce", "at_hash", "c_hash"})
_SESSION_CLAIMS = ("sid", "acr", "acrs", "amr", "auth_time")
_PARTITION_CLAIMS = ("iss", "tid", "oid", "azp", "appid", *_SESSION_CLAIMS, "scp", "roles", "idtyp", "cnf")
_LATEST = 253_402_300_800  # the year 10000
_ENCODER = json.JSONEncoder(sort_keys=True)


# Of every issuer's tokens


def check_times(claims: Mapping[str, Any], now: float, max_life: float | None) -> None:
    """Raise :class:`InvalidTokenError` unless the token is valid now (RFC 7519 sections 4.1.4 to 4.1.6).

    ``max_life`` is how many seconds it may still live at most.
    """
    end = _seconds(claims, "exp")
    if not now < end:
        raise InvalidTokenError("the token has expired", reason="expired")
    if max_life is not None and end - now > max_life:
        raise InvalidTokenError("the token lives longer than max_token_life", reason="life")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims, name) > now + LEEWAY:
            raise InvalidTokenError(f"the claim {name} lies in the future", reason="not_yet_valid")


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value: object = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LATEST:
        raise InvalidTokenError(f"the claim {name} is not a time", reason="claims")
    return value


def check_audience(claims: Mapping[str, Any], accepted: Collection[str], *, lists: bool) -> None:
    """Raise :class:`InvalidTokenError` unless ``aud`` names this API, or with ``lists`` is a list that does.

    An exact match: no prefix, no other case (RFC 8725 section 3.9). Entra's access tokens have one audience, a string.
    """
    audience = claims.get("aud")
    named = audience if lists and isinstance(audience, list) else [audience]
    if not _are_texts(named) or not any(one in accepted for one in named):
        raise InvalidTokenError("the claim aud does not name this API", reason="audience")


def _are_texts(values: Collection[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_unbound(claims: Mapping[str, Any]) -> None:
    # RFC 7800: a token bound to a key proves nothing without that key.
    if "cnf" in claims:
        raise InvalidTokenError("the token is bound to a key and not a bearer token", reason="key_bound")


# Of Entra's tokens


def check_issuer(claims: Mapping[str, Any], issuer: str, settings: Settings) -> None:
    """Raise :class:`InvalidTokenError` unless ``iss`` is the issuer, with the token's ``tid`` in its template."""
    tid = claims.get("tid")
    if not isinstance(tid, str) or not _GUID.fullmatch(tid):
        raise InvalidTokenError("the claim tid is not a tenant's id", reason="claims")
    if settings.many_tenants and not {tid, "*"}.intersection(settings.allowed_tenants):
        raise InvalidTokenError("the tenant is not among allowed_tenants", reason="tenant")
    if claims.get("iss") != issuer.replace(TEMPLATE, tid) or tid not in claims["iss"]:
        raise InvalidTokenError("the claim iss is not the provider's issuer", reason="issuer")


def check_shape(claims: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidTokenError` unless the claims are those of a bearer access token."""
    for name in ("sub", "oid"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise InvalidTokenError(f"the claim {name} is missing", reason="claims")
    scopes, roles = claims.get("scp", ""), claims.get("roles", [])
    if not isinstance(scopes, str) or not isinstance(roles, list) or not _are_texts(roles):
        raise InvalidTokenError("the claim scp or roles has the wrong type", reason="claims")
    for name in ("azp", "appid", "idtyp"):
        if not isinstance(claims.get(name, ""), str):
            raise InvalidTokenError(f"the claim {name} has the wrong type", reason="claims")
    _check_unbound(claims)
    # RFC 8725 section 3.12: an ID token is signed alike, but speaks to the client and grants nothing. It may have
    # roles, where client and API share a registration; a user's access token always has scp.
    if _ID_TOKEN_CLAIMS & claims.keys() or not (scopes or is_app_only(claims)):
        raise InvalidTokenError("the token is not an access token", reason="kind")


def is_app_only(claims: Mapping[str, Any]) -> bool:
    """Tell whether a token is an application's own: by ``idtyp``, or no ``scp`` and itself as subject."""
    return claims.get("idtyp") == "app" or ("scp" not in claims and claims.get("oid") == claims.get("sub"))


def is_member(claims: Mapping[str, Any]) -> bool:
    """Tell whether a token says that its user is a member of the tenant and no guest: ``acct`` is the number 0."""
    status: object = claims.get("acct")
    return isinstance(status, int) and not isinstance(status, bool) and status == 0


# Of another issuer's tokens


def check_foreign_shape(parsed: ParsedToken, trusted: TrustedIssuer) -> None:
    """Raise :class:`InvalidTokenError` unless the token of another issuer is a bearer access token with a user's id."""
    claims = parsed.claims
    for name in ("sub", trusted.object_id_claim):
        if not isinstance(value := claim_at(claims, name, ""), str) or not value:
            raise InvalidTokenError(f"the claim {name} is missing", reason="claims")
    for name in (trusted.scopes_claim, trusted.roles_claim):
        words = claim_at(claims, name, [])
        if not isinstance(words, str) and not (isinstance(words, list) and _are_texts(words)):
            raise InvalidTokenError(f"the claim {name} has the wrong type", reason="claims")
    if not isinstance(claim_at(claims, trusted.client_id_claim, ""), str):
        raise InvalidTokenError(f"the claim {trusted.client_id_claim} has the wrong type", reason="claims")
    _check_unbound(claims)
    if _is_other_kind(parsed):
        raise InvalidTokenError("the token is not an access token", reason="kind")


def _is_other_kind(parsed: ParsedToken) -> bool:
    """Tell whether a token says that it is no access token (RFC 8725 section 3.12)."""
    claims = parsed.claims
    # RFC 8417 section 2.2: what tells of events, such as a logout, grants nothing, also where its ``typ`` is just JWT.
    if "events" in claims:
        return True
    # Keycloak's and Amazon Cognito's own claims; their ID and refresh tokens are signed by the same issuer.
    if claims.get("typ") in ("ID", "Refresh", "Offline", "Logout") or claims.get("token_use", "access") != "access":
        return True
    return parsed.header.get("typ") not in ACCESS_TOKEN_TYPES and not _ID_TOKEN_CLAIMS.isdisjoint(claims)


def is_foreign_app_only(claims: Mapping[str, Any], trusted: TrustedIssuer) -> bool:
    """Tell whether a token of another issuer is an application's own, by any of the ways in which issuers say that.

    The subject is the client itself (RFC 9068 section 2.2), as Auth0 writes it too; or ``gty``, the name of Keycloak's
    service accounts, or what Entra's tokens have say so, since a tenant of customers may be described as an issuer too.
    """
    grant = claims.get("gty")
    grants = grant if isinstance(grant, list) else [grant]
    if is_app_only(claims) or "client-credentials" in grants or "client_credentials" in grants:
        return True
    ids, login = (claims["sub"], claim_at(claims, trusted.object_id_claim, "")), claims.get("preferred_username")
    for name in ("client_id", "azp", "cid", "appid", trusted.client_id_claim):
        client = claim_at(claims, name, "")
        if client and (client in ids or f"{client}@clients" in ids or f"service-account-{client}".lower() == login):
            return True
    return False


# Whose downstream tokens


def partition_of(token: str, claims: Mapping[str, Any], mode: str) -> bytes:
    """Return the hash that keeps a user's downstream tokens apart from everybody else's.

    In mode ``session`` it is made of the claims that say who the user is, through which client and with what
    strength of sign-in; a token that says nothing about its session, and every token in mode ``assertion``,
    is its own partition.
    """
    if mode == "assertion" or not any(claims.get(name) for name in _SESSION_CLAIMS):
        return key_of("assertion", token)
    return key_of("session", _ENCODER.encode([claims.get(name) for name in _PARTITION_CLAIMS]))
