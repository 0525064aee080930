from __future__ import annotations

import base64
import hashlib
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from obo_middleware.testing import LocalEntra, LocalGraph


def certificate_at(url: str) -> x509.Certificate:
    parts = urlsplit(url)
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((str(parts.hostname), parts.port or 0)).encode())


def test_provider_and_graph_present_one_certificate_for_localhost_which_its_pin_names() -> None:
    with LocalEntra(host="localhost", tls=True) as entra, LocalGraph(entra, host="localhost") as graph:
        certificate = certificate_at(entra.authority)
        assert certificate_at(graph.base_url) == certificate
        info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert entra.ca is not None
        assert entra.ca.public_key_pin == base64.b64encode(hashlib.sha256(info).digest()).decode()
