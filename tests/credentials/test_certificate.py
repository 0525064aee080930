from __future__ import annotations

import base64
import contextlib
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials._certificate import load_certificate, read_certificate_file
from tests.credentials.helpers import certificate, certificate_der, certificate_pem, ec_key, key_pem, rsa_key

TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
LEAF = key_pem() + certificate_pem()


def pfx(
    password: bytes | None = None,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    leaf: str | None = "leaf",
    others: tuple[str, ...] = ("root",),
) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    chain = [certificate(name) for name in others]
    first = certificate(leaf) if leaf else None
    return pkcs12.serialize_key_and_certificates(b"name", key or rsa_key(), first, chain or None, encryption)


def test_the_leaf_and_its_key_are_read_from_pem() -> None:
    loaded = load_certificate(LEAF)
    assert loaded.chain == (certificate_der(),)
    assert loaded.private_key.private_numbers() == rsa_key().private_numbers()


@pytest.mark.peer_defect(24)
@pytest.mark.parametrize(
    "parts",
    [
        [key_pem(), certificate_pem(), certificate_pem("root")],
        [certificate_pem("root"), key_pem(), certificate_pem()],
        [certificate_pem("root"), certificate_pem(), key_pem()],
        [
            b"Bag Attributes\n  name: x\n",
            certificate_pem("root"),
            b"\ngarbage\n",
            key_pem(),
            certificate_pem(),
            b"\n\n",
        ],
    ],
)
def test_pem_blocks_may_stand_in_any_order_and_the_leaf_comes_first(parts: list[bytes]) -> None:
    assert load_certificate(b"".join(parts)).chain == (certificate_der(), certificate_der("root"))


def test_windows_line_ends_are_read() -> None:
    assert load_certificate(LEAF.replace(b"\n", b"\r\n")).chain == (certificate_der(),)


def test_the_old_form_of_a_key_is_read() -> None:
    assert load_certificate(key_pem(form=TRADITIONAL) + certificate_pem()).chain == (certificate_der(),)
    encrypted = key_pem(password=b"pw", form=TRADITIONAL) + certificate_pem()
    assert load_certificate(encrypted, "pw").chain == (certificate_der(),)


@pytest.mark.parametrize("password", ["p\u00e4ss", "p\u00e4ss".encode()])
@pytest.mark.parametrize("form", ["pem", "pfx"])
def test_an_encrypted_key_needs_its_password(form: str, password: str | bytes) -> None:
    secret = "p\u00e4ss".encode()
    data = key_pem(password=secret) + certificate_pem() if form == "pem" else pfx(secret)
    assert load_certificate(data, password).chain[0] == certificate_der()
    for wrong in (None, "", "wrong"):
        with pytest.raises(ValueError, match="password"):
            load_certificate(data, wrong)


def test_an_empty_password_is_none() -> None:
    assert load_certificate(LEAF, "").chain == load_certificate(LEAF, b"").chain
    assert load_certificate(pfx(), "").chain[0] == certificate_der()


def test_a_needless_password_is_refused() -> None:
    with pytest.raises(ValueError, match="not encrypted"):
        load_certificate(LEAF, "pw")


def test_the_chain_of_a_pfx_follows_its_leaf() -> None:
    assert load_certificate(pfx()).chain == (certificate_der(), certificate_der("root"))
    assert load_certificate(pfx(others=())).chain == (certificate_der(),)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "damaged"),
        (b"garbage", "damaged"),
        (certificate_pem(), "no private key"),
        (key_pem(), "damaged"),
        (key_pem() + certificate_pem("root"), "belongs to its private key"),
        (key_pem("root") + certificate_pem(), "belongs to its private key"),
        (pfx(leaf=None, others=()), "no certificate"),
        (key_pem(elliptic=True) + certificate_pem(elliptic=True), "must be RSA"),
        (pfx(key=ec_key(), leaf=None, others=()), "no certificate"),
        (LEAF.replace(b"MII", b"!!!"), "damaged"),
        (LEAF[:200], "no private key"),
        (b"-----BEGIN ", "no private key"),
    ],
)
def test_data_that_cannot_be_used_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        load_certificate(data)
    assert type(caught.value) is ValueError


@given(st.binary(max_size=80), st.none() | st.text(max_size=4))
def test_garbage_is_a_value_error(data: bytes, password: str | None) -> None:
    for prefix in (b"", b"-----BEGIN PRIVATE KEY-----\n", b"0\x82"):
        with pytest.raises(ValueError, match="certificate"):
            load_certificate(prefix + data, password)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["pem", "pfx", "der in pem"]))
def test_a_changed_byte_is_a_certificate_or_a_value_error(position: int, value: int, form: str) -> None:
    source = {"pem": LEAF, "pfx": PFX, "der in pem": certificate_der("root")}[form]
    data = bytearray(source)
    data[position % len(data)] = value
    changed = bytes(data)
    if form == "der in pem":
        block = base64.encodebytes(changed)
        changed = LEAF + b"-----BEGIN CERTIFICATE-----\n" + block + b"-----END CERTIFICATE-----\n"
    with contextlib.suppress(ValueError):
        assert load_certificate(changed).chain


PFX = pfx()


def test_no_error_shows_the_key_or_the_password() -> None:
    data = key_pem(password=b"pw-hidden") + certificate_pem()
    with pytest.raises(ValueError, match="password") as caught:
        load_certificate(data, "wrong-hidden")
    text = str(caught.value) + repr(caught.value.__cause__)
    assert "hidden" not in text
    assert "PRIVATE" not in text


def test_thumbprints_and_chain_are_those_of_the_leaf() -> None:
    loaded = load_certificate(certificate_pem("root") + LEAF)
    der = certificate_der()
    for algorithm, digest in (("sha1", hashlib.sha1(der, usedforsecurity=False)), ("sha256", hashlib.sha256(der))):
        expected = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        assert loaded.thumbprint(algorithm) == expected
    assert [base64.b64decode(text) for text in loaded.x5c()] == [der, certificate_der("root")]


def test_a_certificate_shows_nothing() -> None:
    assert repr(load_certificate(LEAF)) == "Certificate()"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(LEAF)
    assert read_certificate_file(str(path)) == LEAF


def test_a_certificate_given_as_a_path_is_told_from_one_and_not_shown() -> None:
    with pytest.raises(ValueError, match="give the path of a file, or data") as caught:
        read_certificate_file(LEAF.decode())
    assert "BEGIN" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.pem.*No such file"):
        read_certificate_file(str(tmp_path / "gone.pem"))
    with pytest.raises(ValueError, match="directory"):
        read_certificate_file(str(tmp_path))
