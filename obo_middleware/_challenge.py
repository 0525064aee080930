"""Answers to the client of the API, and challenges from the APIs we call.

Facts: RFC 6750 section 3, RFC 9110 section 11.6.1, RFC 9457 (problem details), RFC 9470 section 3, Microsoft
identity platform "Claims challenges, claims requests and client capabilities".

Rules of this file: pure functions; a value that goes into a header is built from characters that may stand
there, whatever came in; no answer tells why a token was refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from credentials.kernel import parse_object
from obo_middleware._protected_resource import ProtectedResource
from obo_middleware._settings import Settings
from obo_middleware._user import User
from obo_middleware.errors import (
    ClaimsChallengeError,
    ConsentNeededError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidTokenError,
    MalformedRequestError,
    MissingTokenError,
    OboError,
    UpstreamUnavailableError,
)

MAX_CLAIMS = 8_192
"""Characters of a claims challenge; a longer one is not believed."""
_PROBLEM = "application/problem+json"
_DEFAULT_WAIT = 5
_LONGEST_WAIT = 86_400
# RFC 6750 section 3: error_description and scope are made of these; the quote and the backslash are left out.
_FORBIDDEN = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
# RFC 9110 section 11.6.1: name = token or quoted-string, commas between parameters and between challenges.
# A scheme stands before the first parameter of its challenge. Each match begins where a token does and gives no
# character back (`++`), so that a hostile header costs time in proportion to its length.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_PARAMETER = re.compile(rf'(?<!{_WORD})(?:({_WORD}++)[ \t]++)?({_WORD}++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]*+))')

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)  # RFC 9110 section 5.6.4


class Reply(NamedTuple):
    """Hold a whole answer: ``status``, header pairs and the body in bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def reply_to(error: OboError, settings: Settings, user: User | None = None) -> Reply:
    """Return the answer that an error becomes; ``user`` is the signed-in user where there is one."""
    status = error.status
    if isinstance(error, ClaimsChallengeError) and not _can_answer(error, user):
        status = 403
    body: dict[str, object] = {"title": error.title, "status": status} | _members(error, settings, status)
    headers = [("Content-Type", _PROBLEM), ("Cache-Control", "no-store")]
    challenge = _challenge(error, settings, status)
    if challenge:
        headers.append(("WWW-Authenticate", challenge))
    if isinstance(error, UpstreamUnavailableError):
        headers.append(("Retry-After", str(_whole_seconds(error.retry_after))))
    return _reply(status, headers, json.dumps(body).encode())


def metadata_reply(resource: ProtectedResource, settings: Settings, method: str) -> Reply:
    """Return the answer that publishes an API's own metadata, which any origin may read (RFC 9728 section 3.2)."""
    for_all = ("Access-Control-Allow-Origin", "*")
    if method == "OPTIONS":
        # Clients of MCP send a header of their own, so that browsers ask first (Fetch standard, CORS preflight).
        allowed = (("Access-Control-Allow-Methods", "GET"), ("Access-Control-Allow-Headers", "*"))
        return Reply(status=204, headers=(for_all, *allowed), body=b"")
    if method not in ("GET", "HEAD"):
        body = json.dumps({"title": "This document can only be read", "status": 405}).encode()
        return _reply(405, [for_all, ("Content-Type", _PROBLEM), ("Allow", "GET, HEAD, OPTIONS")], body)
    kept = ("Cache-Control", "public, max-age=300")
    body = resource.document(settings.accepted_issuers)
    return _reply(200, [for_all, ("Content-Type", "application/json"), kept], body)


def _reply(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Reply:
    return Reply(status=status, headers=(*headers, ("Content-Length", str(len(body)))), body=body)


def _can_answer(error: ClaimsChallengeError, user: User | None) -> bool:
    # Microsoft: a claims challenge is sent to clients only that declared that they handle it.
    told = error.claims is not None and len(error.claims) <= MAX_CLAIMS
    return told and user is not None and user.handles_claims_challenges


def _members(error: OboError, settings: Settings, status: int) -> dict[str, object]:
    members: dict[str, object] = {}
    if error.error and not (isinstance(error, ClaimsChallengeError) and status == 403):
        members["error"] = error.error
    if isinstance(error, InsufficientScopeError) and error.scopes:
        members["scope"] = " ".join(error.scopes)
    if isinstance(error, ConsentNeededError):
        members["consent_uri"] = _consent_uri(error.scopes, settings)
    return members


def _consent_uri(scopes: Sequence[str], settings: Settings) -> str:
    """Return where a user, or an administrator for all users, consents to the scopes (Microsoft identity platform)."""
    query = {
        "client_id": settings.client_id,
        "response_type": "code",
        "scope": " ".join(scopes),
        "prompt": "consent",
    }
    encoded = urllib.parse.urlencode(query, errors="replace")
    return f"{settings.authority_url}/{settings.tenant_id}/oauth2/v2.0/authorize?{encoded}"


def _challenge(error: OboError, settings: Settings, status: int) -> str | None:
    realm = ("realm", settings.client_id)
    code = ("error", error.error or "")
    # RFC 9728 section 5.1: where a client learns which authorization server to ask.
    resource = settings.protected_resource
    about = ("resource_metadata", "" if resource is None else resource.metadata_url)
    match error:
        case MissingTokenError():
            return _bearer([realm, ("scope", _as_asked_for(settings.required_scopes, settings)), about])
        case MalformedRequestError():
            return _bearer([realm, code])
        case InvalidTokenError():
            return _bearer([realm, code, ("error_description", error.title), about])
        case InsufficientScopeError():
            # Those to consent to are the downstream API's, and in its own words.
            theirs = isinstance(error, ConsentNeededError)
            scopes = " ".join(error.scopes) if theirs else _as_asked_for(error.scopes, settings)
            return _bearer([realm, code, ("scope", scopes), about])
        case InsufficientUserAuthenticationError():
            age = "" if error.max_age is None else str(error.max_age)
            return _bearer([code, ("acr_values", " ".join(error.acr_values)), ("max_age", age), about])
        case ClaimsChallengeError() if status == 401:
            return _claims_challenge(error.claims or "", settings)
    return None


def _as_asked_for(scopes: Sequence[str], settings: Settings) -> str:
    """Return scopes as clients ask for them: Entra's tokens name them without the API's URI, requests with it."""
    resource = settings.protected_resource
    published = () if resource is None else resource.scopes_supported
    full = {scope.rpartition("/")[2]: scope for scope in published}
    return " ".join(full.get(scope, scope) for scope in scopes)


def _claims_challenge(claims: str, settings: Settings) -> str:
    uri = f"{settings.authority_url}/{settings.tenant_id}/oauth2/v2.0/authorize"
    encoded = base64.b64encode(claims.encode(errors="replace")).decode()
    parameters = [("authorization_uri", uri), ("error", "insufficient_claims"), ("claims", encoded)]
    return 'Bearer realm="", ' + _bearer(parameters).removeprefix("Bearer ")


def _bearer(parameters: Iterable[tuple[str, str]]) -> str:
    stated = ", ".join(f'{name}="{_FORBIDDEN.sub("_", value)}"' for name, value in parameters if value)
    return f"Bearer {stated}"


def _whole_seconds(retry_after: float | None) -> int:
    if retry_after is None or not math.isfinite(retry_after):
        return _DEFAULT_WAIT
    return min(max(1, math.ceil(retry_after)), _LONGEST_WAIT)


def claims_challenge_in(values: Iterable[str]) -> str | None:
    """Return the claims that the ``WWW-Authenticate`` values of a downstream answer ask for, as JSON text, or None.

    Base64, base64url and plain JSON are understood; anything malformed or very long counts as no challenge.
    """
    for value in values:
        if len(value) > 4 * MAX_CLAIMS:
            continue
        for parameters in _bearer_challenges(value):
            if parameters.get("error") == "insufficient_claims":
                return _decoded_claims(parameters.get("claims", ""))
    return None


def _bearer_challenges(value: str) -> list[dict[str, str]]:
    """Return the parameters of each Bearer challenge in a header value."""
    challenges: list[tuple[str, dict[str, str]]] = []
    for scheme, name, quoted, plain in _PARAMETER.findall(value):
        if scheme:
            challenges.append((scheme.lower(), {}))
        if challenges:
            challenges[-1][1][name.lower()] = quoted or plain
    return [parameters for scheme, parameters in challenges if scheme == "bearer"]


def _decoded_claims(text: str) -> str | None:
    plain = _QUOTED_PAIR.sub(r"\1", text) if text.startswith("{") else _base64_text(text)
    try:
        parse_object(plain.encode())
    except ValueError:
        return None
    return plain if len(plain) <= MAX_CLAIMS else None


def _base64_text(text: str) -> str:
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
