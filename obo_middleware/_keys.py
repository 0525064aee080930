"""An issuer's signing keys: read from a key set, and used for verifying.

Facts: RFC 7517, RFC 7518 sections 3 and 6, RFC 8037, RFC 8725 section 3.1 and its revision (one algorithm for a key).

Rules of this file:

1. A key counts only as what it says it is: for signatures, of the kind and on the curve that the algorithm needs, RSA
   with 2048 bits or more. A key that is malformed or unsuited is left out and costs nobody the others.
2. The key decides the algorithm. It is looked up by its id and an algorithm that it fits, and verifies with that one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from credentials.kernel import event
from obo_middleware._trusted_issuer import ALGORITHMS

_logger = logging.getLogger("obo_middleware")

_MAX_KEYS = 100
_VERIFIERS = {name: jwt.get_algorithm_by_name(name) for name in ALGORITHMS}
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {
    "ES256": frozenset({"P-256"}),
    "ES384": frozenset({"P-384"}),
    "ES512": frozenset({"P-521"}),
    "EdDSA": frozenset({"Ed25519", "Ed448"}),
}
# Only what makes the public key: neither a private part nor a certificate matters.
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}

KeyName = tuple[str, str]
"""A key's id, and an algorithm that it fits."""


class SigningKey(NamedTuple):
    """Hold one key; ``issuer`` restricts it to that issuer's tokens, and may have a template for the tenant."""

    kid: str
    algorithm: str
    public_key: Any
    issuer: str | None

    def verifies(self, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether this key made the signature, by the key's own algorithm."""
        return bool(_VERIFIERS[self.algorithm].verify(signing_input, self.public_key, signature))


def process_jwks(document: Mapping[str, Any], algorithms: Collection[str]) -> dict[KeyName, SigningKey]:
    """Return the keys of a JWK set (RFC 7517 section 5) that fit the algorithms, by id and algorithm."""
    keys = document.get("keys")
    candidates = keys[:_MAX_KEYS] if isinstance(keys, list) else []
    usable = (key for jwk in candidates if isinstance(jwk, dict) for key in _signing_keys(jwk, algorithms))
    return {(key.kid, key.algorithm): key for key in usable}


def _signing_keys(jwk: Mapping[str, Any], algorithms: Collection[str]) -> Iterator[SigningKey]:
    kid, issuer, operations = jwk.get("kid"), jwk.get("issuer"), jwk.get("key_ops", ["verify"])
    if not isinstance(kid, str) or not isinstance(issuer, str | None) or jwk.get("use", "sig") != "sig":
        return
    if not isinstance(operations, list) or "verify" not in operations:
        return
    for algorithm in algorithms:
        public_key = _public_key(jwk, algorithm) if _fits(jwk, algorithm) else None
        if public_key is not None:
            yield SigningKey(kid=kid, algorithm=algorithm, public_key=public_key, issuer=issuer)


def _fits(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Tell whether a key is of an algorithm's kind, on its curve, and not said to be for another algorithm."""
    if jwk.get("kty") != _KINDS[algorithm[:2]] or jwk.get("alg", algorithm) != algorithm:
        return False
    curves, curve = _CURVES.get(algorithm), jwk.get("crv")
    return curves is None or (isinstance(curve, str) and curve in curves)


def _public_key(jwk: Mapping[str, Any], algorithm: str) -> Any:
    kind: str = jwk["kty"]
    members = {"kty": kind} | {name: jwk.get(name) for name in _MEMBERS[kind]}
    try:
        key = jwt.PyJWK(members, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        extra = event("obo.metadata.malformed_key")
        _logger.warning("a key of the provider is malformed and left out: %s", type(error).__name__, extra=extra)
        return None
    return None if isinstance(key, RSAPublicKey) and key.key_size < 2048 else key
