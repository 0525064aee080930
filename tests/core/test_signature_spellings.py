"""One signature has one spelling, whatever algorithm made it (case 43)."""

from __future__ import annotations

import string
from collections.abc import Iterator

import pytest

from obo_middleware._runtime import Runtime
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import ForeignIssuer
from tests.core.kit import Clock, bearer, decode, encode, fetch, play, settings_for, signer

ALPHABET = string.ascii_letters + string.digits + "-_"
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519 = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture(scope="module", params=["ES256", "EdDSA"])
def issuer(request: pytest.FixtureRequest, shared_clock: Clock) -> Iterator[ForeignIssuer]:
    with ForeignIssuer(request.param, clock=shared_clock) as running:
        yield running


def refused(runtime: Runtime, token: str) -> bool:
    return isinstance(play(runtime.admit_flow(bearer(token), "/me"), fetch).error, InvalidTokenError)


def spellings(token: str) -> list[str]:
    """Return the token with every other last character of each segment."""
    segments = token.split(".")
    return [
        ".".join([*segments[:at], segment[:-1] + last, *segments[at + 1 :]])
        for at, segment in enumerate(segments)
        for last in ALPHABET.replace(segment[-1], "")
    ]


@pytest.mark.attack(43)
def test_no_other_last_character_of_a_segment_is_accepted(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
    for token in (provider.sign_in("alice"), issuer.token()):
        assert not refused(runtime, token)  # and remembered from now on
        assert [other for other in spellings(token) if not refused(runtime, other)] == []


@pytest.mark.attack(43)
def test_no_number_that_is_equal_by_the_modulus_is_the_same_signature(provider: LocalEntra) -> None:
    runtime = Runtime(settings_for(provider))
    modulus = signer(provider).public_key.public_numbers().n
    text, _, signature = provider.sign_in("alice").rpartition(".")
    number = int.from_bytes(decode(signature), "big")
    assert not refused(runtime, f"{text}.{encode(number.to_bytes(256, 'big'))}")
    for other, length in ((number + modulus, 257), (number, 257), (modulus - number, 256), (number + modulus, 258)):
        assert refused(runtime, f"{text}.{encode(other.to_bytes(length, 'big'))}")


def test_edwards_signatures_are_not_malleable(provider: LocalEntra, shared_clock: Clock) -> None:
    with ForeignIssuer("EdDSA", clock=shared_clock) as issuer:
        runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
        text, _, signature = issuer.token().rpartition(".")
        raw = decode(signature)
        other = int.from_bytes(raw[32:], "little") + ED25519
        assert not refused(runtime, f"{text}.{signature}")
        assert refused(runtime, f"{text}.{encode(raw[:32] + other.to_bytes(32, 'little'))}")


def test_the_second_signature_that_every_ecdsa_signature_has_is_the_same_users(
    provider: LocalEntra, shared_clock: Clock
) -> None:
    # Both are good by the standard (FIPS 186-5 section 6.4), and issuers use either. Nothing may depend on the text.
    with ForeignIssuer("ES256", clock=shared_clock) as issuer:
        runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
        text, _, signature = issuer.token().rpartition(".")
        raw = decode(signature)
        s = int.from_bytes(raw[32:], "big")
        first, second = (
            play(runtime.admit_flow(bearer(f"{text}.{encode(raw[:32] + number.to_bytes(32, 'big'))}"), "/me"), fetch)
            for number in (s, P256 - s)
        )
        assert first.value().user == second.value().user
        for wrong in (raw[:32] + b"\0" + raw[32:], b"\0" + raw, raw + b"\0"):
            assert refused(runtime, f"{text}.{encode(wrong)}")
