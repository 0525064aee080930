"""A bearer token's text: its three parts, and its header. Nothing here is verified yet.

Facts: RFC 7515, RFC 8725 and its revision (best practices).

Rule of this file: a text that could be read in two ways is refused. The JSON is read by our own strict reader, since
PyJWT's takes the last of two equal members, any Unicode encoding, and numbers in strings.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from credentials.kernel import parse_object
from obo_middleware.errors import InvalidTokenError

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""The values of the header ``typ`` that only access tokens have (RFC 9068 section 2.1)."""
_TYPES = frozenset({None, "JWT", "jwt", *ACCESS_TOKEN_TYPES})
# RFC 7515 section 4.1: extensions that change what is verified, and hints to keys of the sender's choice.
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "cty", "jku", "jwk", "x5u", "x5c", "nonce", "enc", "p2c", "p2s"})


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
        raise InvalidTokenError("the token does not have three segments", reason="malformed")
    try:
        header, payload, signature = (decode_segment(segment) for segment in segments)
        parsed = ParsedToken(
            header=parse_object(header),
            claims=parse_object(payload),
            signing_input=token.rpartition(".")[0].encode(),
            signature=signature,
        )
    except (ValueError, binascii.Error) as error:
        raise InvalidTokenError(f"the token is malformed: {error}", reason="malformed") from error
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


def check_header(header: Mapping[str, Any], algorithms: tuple[str, ...]) -> None:
    """Raise :class:`InvalidTokenError` unless the header fits an access token (RFC 8725 sections 3.1, 3.10, 3.11)."""
    kind, kid = header.get("typ"), header.get("kid")
    if header.get("alg") not in algorithms:
        raise InvalidTokenError("the algorithm is not one of the issuer's", reason="algorithm")
    if not isinstance(kind, str | None) or kind not in _TYPES:
        raise InvalidTokenError("the header typ is not that of an access token", reason="header")
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise InvalidTokenError("the header has a member that must not be there", reason="header")
    if not isinstance(kid, str) or not 0 < len(kid) <= 256:
        raise InvalidTokenError("the header has no usable kid", reason="header")
