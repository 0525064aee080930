"""What the tests of the command share."""

from __future__ import annotations

import datetime
import io
import time
from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from obo_middleware import Settings

NOW = time.time()
HERE = datetime.datetime.fromtimestamp(NOW, tz=datetime.UTC)


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]
Make = Callable[..., Settings]
Diagnosed = Callable[[Settings], dict[str, tuple[str, str, str]]]


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def certificate(begin: datetime.datetime, *, days: int) -> bytes:
    """Return a key and its certificate in PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return pem + built.public_bytes(serialization.Encoding.PEM)
