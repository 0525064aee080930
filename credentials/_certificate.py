"""Read an application's certificate with its private key, from PEM or PKCS #12 (RFC 7292).

The leaf is the certificate that belongs to the private key, wherever it stands in the file; the rest is its
chain.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.+?-----END (?P=kind)-----", re.DOTALL)

_PATH_LIKE = re.compile(r"[/\\]|\.(?:cer|crt|key|p12|pem|pfx)$", re.IGNORECASE)
_LONGEST_PATH = 300
FEWEST_BITS = 2048
"""The length of the shortest RSA key that may sign an assertion (RFC 7518 sections 3.3 and 3.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Hold an RSA private key and the DER of its certificate chain, the leaf first."""

    private_key: RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)

    def thumbprint(self, algorithm: str) -> str:
        """Return the leaf's hash by that algorithm in base64url (RFC 7515 sections 4.1.7 and 4.1.8)."""
        digest = hashlib.new(algorithm, self.chain[0], usedforsecurity=False).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def x5c(self) -> list[str]:
        """Return the chain as the ``x5c`` header has it (RFC 7515 section 4.1.6)."""
        return [base64.b64encode(der).decode() for der in self.chain]


def read_certificate_file(path: str) -> bytes:
    """Return the content of a certificate file; raises ``ValueError`` that names the path if it cannot be read."""
    if "-----BEGIN" in path:
        raise ValueError("the path of the certificate file is a certificate itself: give the path of a file, or data")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        problem: Exception = OSError(error.errno, error.strerror)
        reason = error.strerror
    except ValueError:
        problem, reason = ValueError("it is no path"), "it is no path"
    # Not where it was caught: Python's errors hold the path, which may be a secret in the wrong place.
    raise ValueError(f"the certificate file{shown_path(path)} cannot be read: {reason}") from problem


def shown_path(path: object) -> str:
    """Return a path in quotes, with a space before it, to stand in a text, or nothing if it does not look like a path.

    It may be a secret in the wrong place then.
    """
    text = str(path)
    return f" {text!r}" if len(text) <= _LONGEST_PATH and _PATH_LIKE.search(text) else ""


def load_certificate(data: bytes, password: str | bytes | None = None) -> Certificate:
    """Return the certificate in PEM or PKCS #12 bytes.

    Raises ``ValueError`` for data without a private key and its certificate, a wrong or missing password, or
    a key that is not RSA or too short.
    """
    secret = _secret(password)
    try:
        key, certificates = (_from_pem if b"-----BEGIN" in data else _from_pkcs12)(data, secret)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the certificate cannot be read as PEM or PKCS12: {_reason(error)}") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(
            "the certificate's private key must be RSA, since client assertions are signed with PS256 or RS256"
        )
    if key.key_size < FEWEST_BITS:
        raise ValueError(f"the certificate's private key has {key.key_size} bits, and must have {FEWEST_BITS} or more")
    return Certificate(private_key=key, chain=_leaf_first(key, certificates))


def _secret(password: str | bytes | None) -> bytes | None:
    """Return the bytes of a password; an empty one is none."""
    # Replaced, where half a character stands in it: an encoding error would hold the whole password.
    secret = (password.encode(errors="replace") if isinstance(password, str) else password) or None
    if secret is not None and not isinstance(secret, bytes | bytearray):
        raise ValueError(
            f"the password of the certificate must be a string or bytes, and not {type(password).__name__}"
        )
    # The library for PKCS #12 ends in a panic over it, whose text has the password.
    if secret is not None and 0 in secret:
        raise ValueError("the password of the certificate has a NUL character, which no password can have")
    return secret


def _from_pem(data: bytes, password: bytes | None) -> tuple[object, list[x509.Certificate]]:
    # Imported here, as PKCS #12 below: an application without a certificate would pay for it at start.
    from cryptography import x509

    block = _PRIVATE_KEY.search(data)
    if block is None:
        raise ValueError("it has no private key")
    key = serialization.load_pem_private_key(block.group(), password)
    return key, x509.load_pem_x509_certificates(data)


def _from_pkcs12(data: bytes, password: bytes | None) -> tuple[object, list[x509.Certificate]]:
    from cryptography.hazmat.primitives.serialization import pkcs12

    key, leaf, others = pkcs12.load_key_and_certificates(data, password)
    if key is None or leaf is None:
        raise ValueError("it has no private key or no certificate")
    return key, [leaf, *others]


def _reason(error: Exception) -> str:
    """Say in our words what OpenSSL says in many; its own texts differ between versions."""
    if isinstance(error, UnsupportedAlgorithm):
        return "its private key, or its encryption, is of a kind that is not supported"
    text = str(error)
    if "was not given but private key is encrypted" in text:
        return "its private key is encrypted, give the password"
    if "private key is not encrypted" in text:
        return "a password was given, but its private key is not encrypted"
    return text if text.startswith("it has no") else "the data is damaged or the password is wrong"


def _leaf_first(key: RSAPrivateKey, certificates: list[x509.Certificate]) -> tuple[bytes, ...]:
    public = _spki(key.public_key())
    ours = [c for c in certificates if _public_key_of(c) == public]
    if not ours:
        raise ValueError("the certificate data has no certificate that belongs to its private key")
    rest = [c for c in certificates if c is not ours[0]]
    return tuple(c.public_bytes(serialization.Encoding.DER) for c in [ours[0], *rest])


def _public_key_of(certificate: x509.Certificate) -> bytes | None:
    """Return a certificate's public key, or None if it is of a kind that cannot be read: ours can."""
    try:
        return _spki(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spki(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
