"""A certificate authority that lives as long as one server."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization


class ThrowAwayCa:
    """Issue a certificate for this host and trust nobody else; `pem_path` is a file until `remove()`.

    Needs the `trustme` package.
    """

    def __init__(self, host: str) -> None:
        import trustme  # only TLS needs it

        self._authority = trustme.CA()
        self.pem: bytes = self._authority.cert_pem.bytes()
        names = dict.fromkeys((host, "127.0.0.1", "localhost"))
        # One certificate for every server: a person accepts it once, since browsers remember certificate and host.
        self._certificate = self._authority.issue_cert(*names)
        descriptor, self.pem_path = tempfile.mkstemp(prefix="local-entra-ca-", suffix=".pem")
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.pem)

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server that presents a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        return context

    @property
    def public_key_pin(self) -> str:
        """Return the SHA-256 of the servers' public key in base64, as Chromium takes it on its command line."""
        chain = self._certificate.cert_chain_pems[0].bytes()
        key = x509.load_pem_x509_certificate(chain).public_key()
        info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(info).digest()).decode()

    def client_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority only."""
        context = client_context()
        context.load_verify_locations(cadata=self.pem.decode("ascii"))
        return context

    def remove(self) -> None:
        """Remove the file."""
        Path(self.pem_path).unlink()


def client_context() -> ssl.SSLContext:
    """Return the context of a client that trusts nobody, which is enough for http and costs no CA store."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
