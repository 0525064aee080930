"""Tokens whose cryptography is another one than the API's: other algorithms, keys used for what they are not, JWE."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from obo_middleware.testing import LocalEntra, SigningKey
from tests.core.kit import claims_of, encode, header_of, signed, signer

Forge = Callable[[LocalEntra], str]


def good(entra: LocalEntra) -> str:
    return entra.sign_in("alice")


def hmac_signed(form: str) -> Forge:
    """Sign with HMAC and the public key as its secret (algorithm confusion)."""

    def forge(entra: LocalEntra) -> str:
        token = good(entra)
        header = json.dumps(header_of(token) | {"alg": "HS256"}).encode()
        text = f"{encode(header)}.{token.split('.')[1]}"
        return f"{text}.{encode(hmac.digest(public_secret(signer(entra), form), text.encode(), hashlib.sha256))}"

    return forge


_PUBLIC_FORMS = {
    "pem": (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "pkcs1": (Encoding.PEM, PublicFormat.PKCS1),
    "der": (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "ssh": (Encoding.OpenSSH, PublicFormat.OpenSSH),
}


def public_secret(key: SigningKey, form: str) -> bytes:
    """Return the bytes of a public key, which everybody knows, in one of the forms that an API may keep it in."""
    match form:
        case "jwk":
            return json.dumps(key.jwk).encode()
        case "jwk canonical":  # RFC 7638: what a thumbprint is made of
            members = {name: key.jwk[name] for name in ("e", "kty", "n")}
            return json.dumps(members, separators=(",", ":")).encode()
        case "x509":
            return key.certificate.public_bytes(Encoding.PEM)
        case "pem stripped":
            return public_secret(key, "pem").strip()
        case _:
            return key.public_key.public_bytes(*_PUBLIC_FORMS[form])


def otherwise_signed(algorithm: str) -> Forge:
    """Sign rightly by another algorithm: of RSA with the provider's key, of ECDSA with one of the forger's."""

    def forge(entra: LocalEntra) -> str:
        key = signer(entra).private_key if algorithm[1] == "S" and algorithm[0] != "E" else _forgers_curve_key()
        token = good(entra)
        text = f"{encode(json.dumps(header_of(token) | {'alg': algorithm}).encode())}.{token.split('.')[1]}"
        return f"{text}.{encode(jwt.get_algorithm_by_name(algorithm).sign(text.encode(), key))}"

    return forge


@functools.cache
def _forgers_curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def encrypted(**changes: Any) -> Forge:
    """Encrypt a good token to the provider's public key, as a JWE (RFC 7516); None leaves a header out."""

    def forge(entra: LocalEntra) -> str:
        header = {"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF", "cty": "JWT", "kid": signer(entra).kid} | changes
        protected = encode(json.dumps({name: value for name, value in header.items() if value is not None}).encode())
        key, nonce = os.urandom(32), os.urandom(12)
        # A megabyte that is 1 KB on the wire; whoever inflates before looking has it in memory.
        sealed = AESGCM(key).encrypt(nonce, zlib.compress(good(entra).encode() + bytes(2**20)), protected.encode())
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        wrapped = b"" if header["alg"] == "dir" else signer(entra).public_key.encrypt(key, oaep)
        return ".".join([protected, *(encode(part) for part in (wrapped, nonce, sealed[:-16], sealed[-16:]))])

    return forge


def nested(entra: LocalEntra) -> str:
    """Sign a good token as the payload of another one (RFC 7519 section 5.2)."""
    token = good(entra)
    return signed(signer(entra), header_of(token) | {"cty": "JWT"}, token.encode())


def deflated(entra: LocalEntra) -> str:
    token = good(entra)
    return signed(
        signer(entra), header_of(token) | {"zip": "DEF"}, zlib.compress(json.dumps(claims_of(token)).encode())
    )
