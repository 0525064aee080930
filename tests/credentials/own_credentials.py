"""An application's credentials that prove themselves by certificate or assertion, as the tests of them make them."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from credentials import _client_credentials as module
from credentials._flow import HttpRequest, SendRequest
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import Colour, certificate, certificate_pem, key_pem, play, rsa_key, token_answer

PASSWORD = "p\u00e4ss"


def kind(colour: Colour, name: str) -> Any:
    """Return a class in its colour."""
    return getattr(module, name if colour.name == "blocking" else f"Async{name}")


def registered(entra: LocalEntra, *, password: str | None = None) -> bytes:
    """Register the certificate with the demo API and return it with its key and its chain, as PEM."""
    if not entra.api.certificates:
        entra.add_certificate(entra.api, certificate_pem())
    return key_pem(password=password.encode() if password else None) + certificate_pem() + certificate_pem("root")


def as_pfx(password: str | None = None) -> bytes:
    """Return the certificate with its key and its chain, as PKCS #12."""
    secret = password.encode() if password else None
    encryption = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"app", rsa_key(), certificate(), [certificate("root")], encryption)


def sent(credential: Any, *answers: object) -> HttpRequest:
    """Return the last request by which a credential gets a token, without sending it; ``answers`` come before it."""
    query = credential._query(("s/.default",), "get_token", {})
    effect = play(credential._token_flow(query), *answers, token_answer()).effects[-1]
    assert isinstance(effect, SendRequest)
    return effect.request
