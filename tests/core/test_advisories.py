from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.ciphers import aead
from cryptography.hazmat.primitives.kdf import pbkdf2

from credentials.kernel import HttpResponse
from obo_middleware import ConfigurationError, TrustedIssuer
from obo_middleware._discovery import check_discovery
from obo_middleware._keys import process_jwks
from obo_middleware._metadata import Issuer
from obo_middleware._runtime import Runtime
from obo_middleware._token import parse_token
from obo_middleware._validation import TokenValidator, check_signature
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.core.advisories import OF_CURVES, VECTORS, Vector
from tests.core.foreign_issuer import ForeignIssuer
from tests.core.forged_foreign import Forge as ForeignForge
from tests.core.forgery import params
from tests.core.kit import TENANT, Clock, bearer, fetch, no_answer, play, settings_for, signer

NEVER = [
    (hmac, "new"),
    (hmac, "digest"),
    (hmac, "compare_digest"),
    (hashlib, "pbkdf2_hmac"),
    (hashlib, "scrypt"),
    (pbkdf2, "PBKDF2HMAC"),
    (zlib, "decompress"),
    (zlib, "decompressobj"),
    (aead, "AESGCM"),
    (jwt.algorithms.HMACAlgorithm, "verify"),
    (jwt.algorithms.HMACAlgorithm, "prepare_key"),
]
"""What a validator of signatures by key pairs never needs: MACs, keys from passwords, decryption, inflation."""


def forbid(patch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a validator of signatures never does this")

    for owner, name in NEVER:
        patch.setattr(owner, name, never)


def answering(keys: list[dict[str, Any]] | None) -> Any:
    """Answer as the provider does, with other keys where some are given."""

    def answer(effect: Any) -> object:
        response = fetch(effect)
        if keys is None or not isinstance(response, HttpResponse) or b'"keys"' not in response.body:
            return response
        return replace(response, body=json.dumps({"keys": keys}).encode())

    return answer


def warm(validator: TokenValidator, answer: Any) -> set[str]:
    """Have the validator know every issuer's keys; return the URLs that it asked for."""
    urls: set[str] = set()
    for issuer in validator.issuers.values():
        played = play(issuer.metadata_flow(), answer)
        assert played.error is None
        urls.update(played.urls)
    return urls


@pytest.mark.parametrize(
    "vector", [pytest.param(one, id=str(one), marks=pytest.mark.attack(*one.cases)) for one in VECTORS]
)
def test_the_attack_of_an_advisory_fails_and_costs_nothing(
    provider: LocalEntra, monkeypatch: pytest.MonkeyPatch, vector: Vector
) -> None:
    token, keys = vector.forge(provider), vector.keys and vector.keys(provider)
    answer = answering(keys)
    validator = TokenValidator(settings_for(provider))
    known = warm(validator, answer)
    with monkeypatch.context() as patch:
        forbid(patch)
        played = play(validator.validate_flow(token), answer if keys else no_answer)
    assert isinstance(played.error, InvalidTokenError)
    assert set(played.urls) <= (known if keys else set())
    assert validator.remembered(*bearer(token)) is None


@pytest.mark.parametrize("vector", [pytest.param(one, id=str(one)) for one in VECTORS if one.keys])
def test_the_keys_of_an_advisory_are_not_even_kept(provider: LocalEntra, vector: Vector) -> None:
    assert vector.keys is not None
    kept = process_jwks({"keys": vector.keys(provider)}, ["RS256"])
    assert [kid for kid, _ in kept] != []
    assert signer(provider).kid not in {kid for kid, _ in kept}


@pytest.fixture(scope="module", params=["ES256", "EdDSA"])
def issuer(request: pytest.FixtureRequest, shared_clock: Clock) -> Iterator[ForeignIssuer]:
    with ForeignIssuer(request.param, clock=shared_clock) as running:
        yield running


@pytest.mark.parametrize("forge", params(OF_CURVES))
def test_the_attack_of_an_advisory_fails_for_keys_on_curves(
    provider: LocalEntra, issuer: ForeignIssuer, monkeypatch: pytest.MonkeyPatch, forge: ForeignForge
) -> None:
    token = forge(issuer)
    validator = TokenValidator(settings_for(provider, issuers=[issuer.trusted()]))
    warm(validator, fetch)
    with monkeypatch.context() as patch:
        forbid(patch)
        played = play(validator.validate_flow(token), no_answer)
    assert isinstance(played.error, InvalidTokenError)


# Advisories on what stands around a token


@pytest.mark.attack(111)
@pytest.mark.parametrize("url", ["file:///tmp/keys.json", "ftp://login.example/keys", "data:application/json,{}"])
def test_cve_2026_48522_keys_are_fetched_over_https_only(url: str) -> None:
    host = "https://login.example"
    with pytest.raises(ConfigurationError):
        check_discovery({"issuer": f"{host}/{TENANT}/v2.0", "jwks_uri": url}, host, TENANT)
    with pytest.raises(ConfigurationError):
        TrustedIssuer(host, audiences=["a"], jwks_uri=url)


def failing(effect: Any) -> object:
    """Answer as a provider does that is out of order."""
    return HttpResponse(status=503, headers={}, body=b"")


@pytest.mark.attack(102, 103, 107)
@pytest.mark.parametrize("answer", [fetch, failing], ids=["answered", "failing"])
def test_cve_2026_48524_unknown_keys_cost_one_fetch_and_no_known_key(provider: LocalEntra, answer: Any) -> None:
    validator = TokenValidator(settings_for(provider))
    warm(validator, fetch)
    urls: list[str] = []
    for number in range(20):
        played = play(validator.validate_flow(provider.sign_in("alice", headers={"kid": f"unknown-{number}"})), answer)
        assert isinstance(played.error, InvalidTokenError)
        urls += played.urls
    assert len(urls) == len(set(urls)) <= 2, "metadata and keys, once"
    assert play(validator.validate_flow(provider.sign_in("alice")), no_answer).error is None


@pytest.mark.attack(194)
@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["none"], ["RS256", "HS256"], None])
def test_python_jose_419_an_issuer_without_a_list_of_algorithms_is_no_issuer(algorithms: Any) -> None:
    with pytest.raises(ConfigurationError):
        TrustedIssuer("https://issuer.example", audiences=["a"], algorithms=algorithms)


@pytest.mark.attack(12)
@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
def test_cve_2025_61920_a_token_past_the_limit_is_not_even_split(
    provider: LocalEntra, monkeypatch: pytest.MonkeyPatch, segment: int
) -> None:
    parts = provider.sign_in("alice").split(".")
    parts[segment] += "A" * 4_000_000
    monkeypatch.setattr("obo_middleware._validation.parse_token", no_answer)
    played = play(Runtime(settings_for(provider)).admit_flow(bearer(".".join(parts)), "/me"), no_answer)
    assert isinstance(played.error, InvalidTokenError)


class Opaque(bytes):
    """Bytes that only code outside of Python can look at."""

    __hash__ = None  # type: ignore[assignment]  # what has no equality has no hash

    def _never(self, *_arguments: object) -> Any:
        raise AssertionError("a signature is looked at in Python")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __iter__ = __contains__ = _never


@pytest.mark.attack(59)
def test_cve_2016_7036_no_signature_is_compared_in_python(provider: LocalEntra) -> None:
    validator, token = TokenValidator(settings_for(provider)), provider.sign_in("alice")
    warm(validator, fetch)
    found: Issuer = validator.issuers["2.0"]
    assert found.metadata is not None
    key, parsed = found.metadata.keys[signer(provider).kid, "RS256"], parse_token(token)
    check_signature(replace(parsed, signature=Opaque(parsed.signature)), key)
    wrong = Opaque(parsed.signature[:-1] + bytes([parsed.signature[-1] ^ 1]))
    with pytest.raises(InvalidTokenError):
        check_signature(replace(parsed, signature=wrong), key)
