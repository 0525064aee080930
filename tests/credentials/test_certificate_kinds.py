"""Keys that cannot sign an assertion are refused when the credential is made; odd certificates of the chain are not."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from credentials import OnBehalfOfCredential
from credentials import aio as awaitable
from credentials._certificate import load_certificate
from tests.credentials import odd_keys
from tests.credentials.helpers import certificate, certificate_der, certificate_pem, key_pem, rsa_key
from tests.credentials.own_credentials import kind

LEAF = key_pem() + certificate_pem()
ODD = {
    "brainpoolP160r1": (odd_keys.BRAINPOOL_KEY, odd_keys.BRAINPOOL_CERTIFICATE),
    "sm2": (odd_keys.SM2_KEY, odd_keys.SM2_CERTIFICATE),
    "secp112r1": (odd_keys.SECP112_KEY, odd_keys.SECP112_CERTIFICATE),
}


def with_bits(bits: int) -> bytes:
    """Return an RSA key of so many bits, with its certificate."""
    key = rsa.generate_private_key(65537, bits)
    leaf = certificate()
    builder = x509.CertificateBuilder().subject_name(leaf.subject).issuer_name(leaf.subject).serial_number(2)
    builder = builder.public_key(key.public_key()).not_valid_before(leaf.not_valid_before_utc)
    signed = builder.not_valid_after(leaf.not_valid_after_utc).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)


def as_pfx(*others: bytes, password: bytes = b"right") -> bytes:
    chain = [x509.load_pem_x509_certificate(other) for other in others]
    encryption = serialization.BestAvailableEncryption(password)
    return pkcs12.serialize_key_and_certificates(b"name", rsa_key(), certificate(), chain or None, encryption)


@pytest.mark.parametrize("curve", ODD)
def test_a_key_on_a_curve_that_is_not_supported_is_refused(curve: str) -> None:
    key, own = ODD[curve]
    for data in (key + own, key + certificate_pem()):
        with pytest.raises(ValueError, match=r"of a kind that is not supported|must be RSA") as caught:
            load_certificate(data)
        assert type(caught.value) is ValueError


@pytest.mark.parametrize("curve", ODD)
@pytest.mark.parametrize("form", ["pem", "pem, first", "pfx"])
def test_a_certificate_of_the_chain_may_be_on_any_curve(curve: str, form: str) -> None:
    odd = ODD[curve][1]
    data = {"pem": LEAF + odd, "pem, first": odd + LEAF, "pfx": as_pfx(odd)}[form]
    loaded = load_certificate(data, "right" if form == "pfx" else None)
    encoded = x509.load_pem_x509_certificate(odd).public_bytes(serialization.Encoding.DER)
    assert loaded.chain == (certificate_der(), encoded)


def test_a_certificate_whose_key_cannot_be_read_belongs_to_no_key() -> None:
    with pytest.raises(ValueError, match="no certificate that belongs to its private key"):
        load_certificate(key_pem() + odd_keys.BRAINPOOL_CERTIFICATE)


@pytest.mark.parametrize("bits", [512, 1024, 2047])
def test_a_short_rsa_key_is_refused_when_the_credential_is_made(bits: int, colour: Any) -> None:
    data = odd_keys.RSA512 if bits == 512 else with_bits(bits)
    with pytest.raises(ValueError, match=f"has {bits} bits, and must have 2048 or more"):
        kind(colour, "ClientCertificateCredential")("tenant", "client", certificate_data=data)


@pytest.mark.parametrize("password", ["geheim\0x", b"geheim\0x", "\0"])
@pytest.mark.parametrize("form", ["pem", "pfx"])
def test_a_password_with_a_nul_is_refused_without_being_told(form: str, password: str | bytes) -> None:
    data = as_pfx() if form == "pfx" else key_pem(password=b"right") + certificate_pem()
    for kind_of in (OnBehalfOfCredential, awaitable.OnBehalfOfCredential):
        with pytest.raises(ValueError, match="has a NUL character") as caught:
            kind_of("t", "c", user_assertion="u", client_certificate=data, password=password)
        assert "geheim" not in f"{caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("password", [5, ["geheim"]])
def test_a_password_of_another_type_is_refused_without_being_told(password: Any) -> None:
    with pytest.raises(ValueError, match="password of the certificate must be a string or bytes") as caught:
        load_certificate(as_pfx(), password)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("password", [b"\xff\xfe", b"\xc3", "\ud800", "x" * 100_000])
def test_a_password_that_is_no_text_is_a_wrong_one(password: str | bytes) -> None:
    with pytest.raises(ValueError, match="password is wrong"):
        load_certificate(as_pfx(), password)
