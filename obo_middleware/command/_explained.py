"""What the members of an access token say, in words; nothing here is verified.

Facts: Microsoft identity platform, "Access token claims reference" and "Optional claims reference"; RFC 7519 section
4.1, RFC 9068 section 2.2, RFC 8176 (``amr``).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

_TEXTS = {
    "alg": "the signature's algorithm",
    "kid": "which of the issuer's keys signed it",
    "typ": "the type of the token",
    "aud": "the API that the token is for",
    "iss": "who issued it",
    "tid": "the user's tenant",
    "oid": "the user, the same in all apps of the tenant",
    "sub": "the user, for this app only",
    "name": "the user's name, for display only",
    "preferred_username": "what the user signed in as; it changes, so decide nothing by it",
    "upn": "what the user signed in as; it changes, so decide nothing by it",
    "unique_name": "what the user signed in as; it changes, so decide nothing by it",
    "email": "an address that nobody verified: decide nothing by it",
    "scp": "what the client may do on behalf of the user",
    "roles": "the roles of the user, or of an application that acts as itself",
    "azp": "the client that asked for the token",
    "appid": "the client that asked for the token",
    "acct": "0 for a member of the tenant, 1 for a guest",
    "acr": "how the user signed in",
    "amr": "how the user proved who they are",
    "acrs": "the authentication contexts that the sign-in satisfied",
    "auth_time": "when the user signed in",
    "sid": "the user's session",
    "xms_cc": "cp1: the client answers claims challenges",
    "cnf": "the key that must be shown with the token",
    "idtyp": "app: the token is an application's own; user: a user's",
    "exp": "when it ends",
    "nbf": "from when it is good",
    "iat": "when it was issued",
    "jti": "the token's own number",
    "uti": "the token's own number, as the sign-in log of Entra has it",
    "ver": "the version of the token",
    "wids": "roles in the tenant's directory",
    "groups": "groups that the user is in",
    "scope": "what the client may do on behalf of the user",
    "client_id": "the client that asked for the token",
    "nonce": "ties an ID token to a sign-in",
    "login_hint": "whom to sign in again",
}
_CLIENTS = {"0": "a public client", "1": "a client with a secret", "2": "a client with a certificate"}
_PROOFS = frozenset({"azpacr", "appidacr"})
_TIMES = frozenset({"exp", "nbf", "iat", "auth_time"})
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def explained(name: str, value: Any, now: float) -> str:
    """Return what a member means, in words, or an empty text; ``now`` is in seconds since the epoch."""
    if name in _TIMES:
        return f"{_TEXTS[name]}: {_moment(value, now)}"
    if name in _PROOFS:
        return f"how the client proved who it is: {_CLIENTS.get(str(value), 'unknown')}"
    return _TEXTS.get(name, "")


def _moment(value: Any, now: float) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(value, tz=datetime.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return "this is no time"
    apart = _span(abs(value - now))
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {f'in {apart}' if value > now else f'{apart} ago'}"


def _span(seconds: float) -> str:
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"


_GRAPH = "It is for a Microsoft API such as Graph, which alone can check it: ask for a token with a scope of your API."
_ID = "This is an ID token, which is for the client: send the access token, asked for with a scope of your API."
_NOTHING = "It grants nothing: neither scopes nor roles are in it. An ID token looks like this too."


def kind_of(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a warning about a token that is no access token for an API of one's own, or an empty text."""
    if "nonce" in header:
        return _GRAPH
    if not {"nonce", "c_hash", "at_hash"}.isdisjoint(claims):
        return _ID
    return _NOTHING if {"scp", "scope", "roles"}.isdisjoint(claims) else ""
