"""Find the bearer token in a request (RFC 6750 section 2.1, and the OAuth 2.1 draft where it is stricter).

Rules of this file: the header is the only place a token may come from; two headers, or one that is not
exactly a scheme and a token, are refused rather than read in one of several ways; nothing is decoded. A proxy in
front of the API may present the token in a header of its own where the settings say so; it is judged the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from obo_middleware.errors import InvalidTokenError, MalformedRequestError

MAX_TOKEN = 16_384
"""Characters; longer tokens are refused unread."""

# RFC 6750 section 2.1: b64token; RFC 9110 section 11.1: the scheme is case-insensitive.
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_OTHER_SCHEME = re.compile(rb"(?!(?i:bearer)(?:[\x00- ]|$))[\x20-\x7e]*")


def presented(authorization: Sequence[bytes], proxied: Sequence[bytes]) -> Sequence[bytes]:
    """Return the values of ``Authorization`` headers, those made of a trusted proxy's own headers included.

    Raises :class:`MalformedRequestError` if a token comes in both ways (RFC 6750 section 2: one method only).
    """
    if not proxied:
        return authorization
    if any(not _OTHER_SCHEME.fullmatch(value) for value in authorization):
        raise MalformedRequestError("the request has a token in the Authorization header and one from the proxy")
    return [b"Bearer " + value for value in proxied]


def bearer_token(values: Sequence[bytes]) -> str | None:
    """Return the token in the values of the ``Authorization`` headers, or None if there is none.

    Raises :class:`MalformedRequestError` for anything ambiguous, :class:`InvalidTokenError` for a token that
    is too long.
    """
    if not values:
        return None
    if len(values) > 1:
        raise MalformedRequestError("the request has more than one Authorization header")
    # Other schemes have no such bound: the ticket of a Negotiate header may be longer.
    if len(values[0]) > MAX_TOKEN + len(b"Bearer ") and values[0][:7].lower() == b"bearer ":
        raise InvalidTokenError("the token is too long", reason="malformed")
    match = _BEARER.fullmatch(values[0])
    if match is None:
        if _OTHER_SCHEME.fullmatch(values[0]):
            return None
        raise MalformedRequestError("the Authorization header is not 'Bearer' and one token")
    return match[1].decode("ascii")
