"""A certificate authority that lives as long as one server."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path


class ThrowAwayCa:
    """Issue a certificate for this host and trust nobody else; `pem_path` is a file until `remove()`.

    Needs the `trustme` package.
    """

    def __init__(self, host: str) -> None:
        import trustme  # only TLS needs it

        self._authority = trustme.CA()
        self.pem: bytes = self._authority.cert_pem.bytes()
        self._names = tuple(dict.fromkeys((host, "127.0.0.1", "localhost")))
        descriptor, self.pem_path = tempfile.mkstemp(prefix="local-entra-ca-", suffix=".pem")
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.pem)

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server that presents a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*self._names).configure_cert(context)
        return context

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
