"""JSON Web Signatures, as little of them as an identity provider needs (RFC 7515, RFC 7517, RFC 7518).

Written on `cryptography` rather than PyJWT for two reasons: Entra tolerates base64 padding inside client
assertions, which PyJWT rightly refuses, and signing is the cost of a token endpoint, so nothing is done
twice.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

_PKCS1 = padding.PKCS1v15()
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
_SHA256 = hashes.SHA256()


class MalformedTokenError(ValueError):
    """Say that a text is not a compact JSON Web Signature."""


def encode_base64url(data: bytes) -> str:
    """Encode bytes as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode base64url with or without padding, as Entra does; raise `MalformedTokenError`."""
    bare = text.rstrip("=")
    if "+" in bare or "/" in bare:
        raise MalformedTokenError("the alphabet of plain base64")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise MalformedTokenError("not base64url") from error


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A compact JWS taken apart, its signature not yet checked."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse(token: str) -> ParsedToken:
    """Take a compact JWS apart; raise `MalformedTokenError` when it is none."""
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise MalformedTokenError("not three segments")
    header, claims = _json_object(parts[0]), _json_object(parts[1])
    signed = token.rpartition(".")[0].encode("ascii")
    return ParsedToken(header, claims, signed, decode_base64url(parts[2]))


def _json_object(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(decode_base64url(segment))
    except (ValueError, RecursionError) as error:
        raise MalformedTokenError("not JSON") from error
    if not isinstance(value, dict):
        raise MalformedTokenError("not a JSON object")
    return value


def verify(token: ParsedToken, key: rsa.RSAPublicKey) -> bool:
    """Tell whether the RS256 or PS256 signature of a token was made with this key."""
    algorithm = token.header.get("alg")
    if algorithm not in ("RS256", "PS256"):
        return False
    try:
        key.verify(token.signature, token.signed, _PKCS1 if algorithm == "RS256" else _PSS, _SHA256)
    except InvalidSignature:
        return False
    return True


def public_key_from_jwk(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    """Build the RSA public key that a JSON Web Key describes (RFC 7518 section 6.3.1)."""
    numbers = (int.from_bytes(decode_base64url(jwk[name]), "big") for name in ("e", "n"))
    return rsa.RSAPublicNumbers(*numbers).public_key()


class SigningKey:
    """An RSA key of 2048 bits with the self-signed certificate that gives it its name, as Entra's have.

    Parameters: `subject`, the common name in the certificate.
    """

    def __init__(self, subject: str = "LocalEntra") -> None:
        self.private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public_key = self.private_key.public_key()
        self.certificate = _self_signed(self.private_key, subject)
        self.certificate_der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.kid = encode_base64url(hashlib.sha1(self.certificate_der, usedforsecurity=False).digest())

    def sign(self, claims: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> str:
        """Sign claims as a compact JWS with RS256; a header given as None is left out."""
        header = {"typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid, **(headers or {})}
        header = {name: value for name, value in header.items() if value is not None}
        text = f"{_segment(header)}.{_segment(claims)}"
        signature = self.private_key.sign(text.encode("ascii"), _PKCS1, _SHA256)
        return f"{text}.{encode_base64url(signature)}"

    @functools.cached_property
    def jwk(self) -> dict[str, Any]:
        """Describe the public half as Entra's key document does (RFC 7517)."""
        numbers = self.public_key.public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": encode_base64url(numbers.n.to_bytes(256, "big")),
            "e": encode_base64url(numbers.e.to_bytes(3, "big")),
            "x5c": [base64.b64encode(self.certificate_der).decode("ascii")],
        }

    @functools.cached_property
    def pem(self) -> bytes:
        """Return private key and certificate in one PEM text, as a client certificate file holds them."""
        private = self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + self.certificate.public_bytes(serialization.Encoding.PEM)


def _segment(value: Mapping[str, Any]) -> str:
    return encode_base64url(json.dumps(value, separators=(",", ":")).encode("utf-8"))


def _self_signed(key: rsa.RSAPrivateKey, subject: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
    )
    return builder.sign(key, _SHA256)


class KeyPool:
    """Lend signing keys, so that a provider started again need not wait for new ones.

    Two providers alive at once never hold the same key: a token of one is a forgery to the other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[SigningKey] = []

    def borrow(self) -> SigningKey:
        """Take a key nobody else holds, a used one if there is one."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return SigningKey()

    def give_back(self, keys: list[SigningKey]) -> None:
        """Return keys whose holder has stopped."""
        with self._lock:
            self._free.extend(reversed(keys))


POOL = KeyPool()


def foreign_key() -> SigningKey:
    """Return a key that no provider here ever signs with: the forger's key of a test, always the same."""
    return _foreign_key()


@functools.cache
def _foreign_key() -> SigningKey:
    return SigningKey("Somebody else")
