from __future__ import annotations

import functools
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from obo_middleware._runtime import Runtime
from obo_middleware._trusted_issuer import ALGORITHMS
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import ForeignIssuer, ForeignKey, key_pair, outcome
from tests.core.kit import encode, settings_for


class Secret(ForeignKey):
    """A key that signs with HMAC, whatever it says."""

    def signature(self, text: bytes) -> bytes:
        return hmac.digest(b"secret", text, "sha256")


@functools.cache
def small_key() -> ForeignKey:
    return ForeignKey("RS256", "k", rsa.generate_private_key(65537, 1024))  # noqa: S505  # that is what is tested


def judged(provider: LocalEntra, algorithms: Any, keys: list[Any], *signers: ForeignKey, **headers: Any) -> list[str]:
    """Return what happens to tokens of each signer, at an issuer with these algorithms and keys."""
    with ForeignIssuer("ES256", clock=provider.clock) as issuer:
        issuer.publish(*keys, key_pair("ES256", 5))
        runtime = Runtime(settings_for(provider, issuers=[issuer.trusted(algorithms=algorithms)]))
        header = {"kid": "k", **headers}
        return [outcome(runtime, issuer.token(key=key, headers={"alg": key.algorithm, **header})) for key in signers]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_verified(provider: LocalEntra, algorithm: str) -> None:
    good, other = key_pair(algorithm, 0, "k"), key_pair(algorithm, 1, "k")
    assert judged(provider, [algorithm, "ES256"], [good], good, other) == ["OK", "T"]


@pytest.mark.attack(27, 28)
@pytest.mark.parametrize(("named", "used"), [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")])
def test_a_key_serves_no_other_algorithm_than_its_own(provider: LocalEntra, named: str, used: str) -> None:
    key, misused = key_pair(named, 0, "k"), key_pair(used, 0, "k")
    assert key.private is misused.private
    assert judged(provider, [named, used, "ES256"], [key], key, misused) == ["OK", "T"]


@pytest.mark.attack(28)
@pytest.mark.parametrize("used", ["PS256", "ES256", "EdDSA", "RS384"])
def test_an_issuers_algorithms_are_its_only_ones(provider: LocalEntra, used: str) -> None:
    published = {name: value for name, value in key_pair(used, 0, "k").jwk.items() if name != "alg"}
    assert judged(provider, ["RS256", "ES384"], [published, key_pair("RS256")], key_pair(used, 0, "k")) == ["T"]


@pytest.mark.attack(28)
def test_the_header_does_not_choose_how_a_key_verifies(provider: LocalEntra) -> None:
    elliptic, edwards = key_pair("ES256", 0, "k"), key_pair("EdDSA", 0, "k")
    assert judged(provider, ["ES256", "EdDSA"], [elliptic], edwards, elliptic, alg="EdDSA") == ["T", "T"]
    assert judged(provider, ["ES256", "EdDSA"], [elliptic], edwards, elliptic, alg="ES256") == ["T", "OK"]


@pytest.mark.attack(52)
@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": ["sign"]}, {"kty": "RSA"}])
def test_a_key_for_something_else_verifies_no_token(provider: LocalEntra, change: dict[str, Any]) -> None:
    key = key_pair("ES256", 0, "k")
    assert judged(provider, ["ES256"], [key.jwk | change], key) == ["T"]


@pytest.mark.attack(53)
def test_a_small_key_verifies_no_token(provider: LocalEntra) -> None:
    assert judged(provider, ["RS256", "ES256"], [small_key()], small_key()) == ["T"]


@pytest.mark.attack(53)
def test_a_secret_among_the_keys_verifies_no_token(provider: LocalEntra) -> None:
    oct_key = {"kty": "oct", "k": encode(b"secret"), "kid": "k", "use": "sig", "alg": "HS256"}
    for published in (oct_key, oct_key | {"alg": "ES256"}, {**key_pair("ES256", 0, "k").jwk, **oct_key}):
        assert judged(provider, ["ES256"], [published], Secret("HS256", "k", None)) == ["T"]
        assert judged(provider, ["ES256"], [published], Secret("ES256", "k", None)) == ["T"]


@pytest.mark.attack(56)
def test_of_keys_with_one_id_the_one_of_the_headers_algorithm_verifies(provider: LocalEntra) -> None:
    keys = [key_pair(algorithm, 0, "k") for algorithm in ("RS256", "ES256", "EdDSA")]
    for published in (keys, keys[::-1]):
        assert judged(provider, ["RS256", "ES256", "EdDSA"], published, *keys) == ["OK", "OK", "OK"]
        assert judged(provider, ["RS256", "ES256", "EdDSA"], published, *keys, alg="ES256") == ["T", "OK", "T"]
