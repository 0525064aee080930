"""The attacks of published advisories on libraries like ours, re-created as tokens against our validator.

Each vector names the advisory and what the attack is, in our own words. They are those that the list of attacks names
and that are about what a validator accepts, and three more of the same kind.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from obo_middleware.testing import LocalEntra, foreign_key
from tests.core import forged_foreign
from tests.core.forged_crypto import encrypted, hmac_signed
from tests.core.forgery import Forge, by_the_forger, good, reworked, unencoded_payload, with_claims, with_header
from tests.core.kit import claims_of, encode, header_of, signature_of, signer

Jwk = dict[str, Any]


@dataclass(frozen=True)
class Vector:
    """One attack: who published it, what it is, the token; and where keys play a part, those that are published."""

    advisory: str
    attack: str
    cases: tuple[int, ...]
    forge: Forge
    keys: Callable[[LocalEntra], list[Jwk]] | None = None

    def __str__(self) -> str:
        return f"{self.advisory}: {self.attack}"


def with_jwk(**changes: Any) -> Callable[[LocalEntra], list[Jwk]]:
    """Publish the provider's key with other members, and one more that is good."""
    return lambda entra: [signer(entra).jwk | changes, foreign_key().jwk]


def signed_by(private: Any, algorithm: str, **header: Any) -> Forge:
    """Sign by an algorithm and key, with a header that says what it wants; None is the provider's own key."""

    def forge(entra: LocalEntra) -> str:
        token = good(entra)
        text = f"{encode(json.dumps(header_of(token) | header).encode())}.{token.split('.')[1]}"
        key = private() if private else signer(entra).private_key
        return f"{text}.{encode(jwt.get_algorithm_by_name(algorithm).sign(text.encode(), key))}"

    return forge


@functools.cache
def short_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is the attack


def published_short_key(entra: LocalEntra) -> list[Jwk]:
    modulus = short_key().public_key().public_numbers().n.to_bytes(128, "big")
    return with_jwk(n=encode(modulus))(entra)


def long_unencoded_payload(entra: LocalEntra) -> str:
    """Sign a detached payload, and fill its place with what decoders would have to read for nothing."""
    header, _, signature = unencoded_payload(entra).split(".")
    return f"{header}.{'A' * 14_000}.{signature}"


def json_around(entra: LocalEntra) -> str:
    """Put a good token into JSON so that one reader verifies it, and another reads the attacker's claims."""
    header, payload, signature = good(entra).split(".")
    claims = encode(json.dumps(claims_of(good(entra)) | {"oid": "somebody else"}).encode())
    around = {f"  {header}.{claims}.": "", "protected": header, "payload": payload, "signature": signature}
    return json.dumps(around)


def own_certificate(entra: LocalEntra) -> str:
    return by_the_forger(x5c=foreign_key().jwk["x5c"])(entra)


def own_detached_jwk(entra: LocalEntra) -> str:
    """Bring the key along, and no kid that would lead to another one."""
    header = {"alg": "RS256", "typ": "JWT", "jwk": foreign_key().jwk}
    text = f"{encode(json.dumps(header).encode())}.{good(entra).split('.')[1]}"
    return f"{text}.{encode(signature_of(foreign_key(), text.encode()))}"


def part_of_issuer(begin: int | None, end: int | None) -> Forge:
    return lambda entra: entra.sign_in("alice", iss=entra.issuer[begin:end])


FOR_PSS = with_jwk(alg="PS256")
SECRET = b"k" * 32
SYMMETRIC = with_jwk(kty="oct", k=encode(SECRET))
BOUND = with_header(crit=["cnf"], cnf={"jkt": "x"})
PADDED = reworked(lambda h, p, s: f"{h}.{p}.{s}==")
JUNK = reworked(lambda h, p, s: f"{h}.{p}.{s[:9]}*{s[9:]}")
TWO_LINES = reworked(lambda h, p, s: f"{h}.{p}.{s[:9]}\n{s[9:]}")
ROUNDS: dict[str, Any] = {"p2c": 2**31 - 1, "p2s": "AAAAAAAAAAA"}
BY_PASSWORD = encrypted(alg="PBES2-HS256+A128KW", **ROUNDS)
SIGNED_BY_PASSWORD = with_header(alg="PBES2-HS512+A256KW", **ROUNDS)


def issuers_in_a_list(entra: LocalEntra) -> str:
    return entra.sign_in("alice", iss=[entra.issuer])


PYJWT = [
    Vector("CVE-2017-11424", "HMAC with a public key in PEM of PKCS #1", (25,), hmac_signed("pkcs1")),
    Vector("CVE-2017-11424", "HMAC with a certificate in PEM", (25,), hmac_signed("x509")),
    Vector("CVE-2022-29217", "HMAC with a public key as SSH writes it", (25,), hmac_signed("ssh")),
    Vector("CVE-2022-29217", "HMAC with a public key in DER", (25,), hmac_signed("der")),
    Vector("CVE-2024-53861", "an issuer that is the beginning of ours", (73,), part_of_issuer(None, -1)),
    Vector("CVE-2024-53861", "an issuer that is the end of ours", (73,), part_of_issuer(1, None)),
    Vector("CVE-2024-53861", "an issuer that is one letter of ours", (73,), part_of_issuer(0, 1)),
    Vector("CVE-2024-53861", "an empty issuer", (73,), with_claims(iss="")),
    Vector("CVE-2024-53861", "an audience that is a part of ours", (63,), lambda e: e.sign_in("alice", aud="api://")),
    Vector("CVE-2025-45768", "an RSA key of 1024 bits", (53,), signed_by(short_key, "RS256"), published_short_key),
    Vector("CVE-2025-45768", "HMAC with an empty key", (25,), signed_by(lambda: b"", "HS256", alg="HS256")),
    Vector("CVE-2026-32597", "an unknown critical header", (33,), with_header(crit=["x"], x=True)),
    Vector("CVE-2026-32597", "a critical header that binds to a key", (33,), BOUND),
    Vector("CVE-2026-48523", "another algorithm than the key's", (27,), signed_by(None, "RS256"), FOR_PSS),
    Vector("CVE-2026-48523", "the key's algorithm as an allowed one", (27,), signed_by(None, "PS256"), FOR_PSS),
    Vector("CVE-2026-48523", "the key's own algorithm", (27, 28), signed_by(None, "PS256", alg="PS256"), FOR_PSS),
    Vector("CVE-2026-48525", "a payload that is decoded for nothing", (35,), long_unencoded_payload),
    Vector("CVE-2026-48525", "an unencoded payload", (35,), unencoded_payload),
    Vector("CVE-2026-48526", "HMAC with the text of the public JWK", (26,), hmac_signed("jwk")),
    Vector("CVE-2026-48526", "HMAC with the canonical text of the public JWK", (26,), hmac_signed("jwk canonical")),
    Vector(
        "CVE-2026-48526", "HMAC with a published key", (53,), signed_by(lambda: SECRET, "HS256", alg="HS256"), SYMMETRIC
    ),
    Vector("GHSA-hxm8-2xgr-2p9m", "junk behind the signature", (43,), reworked(lambda h, p, s: f"{h}.{p}.{s}!!!!")),
    Vector("GHSA-hxm8-2xgr-2p9m", "junk within the signature", (43,), JUNK),
    Vector("GHSA-hxm8-2xgr-2p9m", "a line's end within the signature", (43,), TWO_LINES),
    Vector("GHSA-hxm8-2xgr-2p9m", "padding behind the signature", (44,), PADDED),
]

PYTHON_JOSE = [
    Vector("CVE-2024-33663", "HMAC with a public key in DER", (25,), hmac_signed("der")),
    Vector("CVE-2024-33663", "HMAC with a public key as SSH writes it", (25,), hmac_signed("ssh")),
    Vector("CVE-2024-33663", "HMAC with a public key in PEM, stripped", (25,), hmac_signed("pem stripped")),
    Vector("CVE-2024-33664", "a JWE that inflates to a thousand times its length", (36,), encrypted()),
    Vector("CVE-2024-33664", "a JWE with a direct key", (36,), encrypted(alg="dir")),
    Vector("python-jose#413", "an unknown critical header", (33,), with_header(crit=["myparam"], myparam=1)),
    Vector("python-jose#419", "any algorithm: none", (23,), with_header(alg="none")),
    Vector("python-jose#419", "any algorithm: HMAC", (25,), hmac_signed("pem")),
]

AUTHLIB = [
    Vector("CVE-2024-37568", "HMAC with a public key in PEM", (25,), hmac_signed("pem")),
    Vector("CVE-2024-37568", "HMAC with a public key in DER", (25,), hmac_signed("der")),
    Vector("CVE-2025-59420", "an unknown critical header", (33,), BOUND),
    Vector("CVE-2025-59420", "a critical header that is absent", (34,), with_header(crit=["bork"])),
    Vector("CVE-2026-27962", "a key that comes with the token", (29,), by_the_forger(jwk=foreign_key().jwk)),
    Vector("CVE-2026-27962", "a key that comes with the token, and no kid", (29, 55), own_detached_jwk),
    Vector("CVE-2018-0114", "a key that comes with the token", (29,), by_the_forger(jwk=foreign_key().jwk, kid=None)),
    Vector("CVE-2018-0114", "a certificate that comes with the token", (32,), own_certificate),
]

OTHERS = [
    Vector("joserfc GHSA-wphv-vfrh-23q5", "an unencoded payload past the limit", (35,), long_unencoded_payload),
    Vector("joserfc CVE-2026-75509", "a list of issuers with ours", (73,), issuers_in_a_list),
    Vector("joserfc CVE-2026-62995", "padding behind the signature", (44,), PADDED),
    Vector("jwcrypto CVE-2023-6681", "a key from a password, by 2 ** 31 rounds", (38,), BY_PASSWORD),
    Vector("jwcrypto CVE-2023-6681", "rounds in the header of a signed token", (38,), SIGNED_BY_PASSWORD),
    Vector("python-jwt CVE-2022-39227", "a good token and other claims in one JSON", (40,), json_around),
]

VECTORS = PYJWT + PYTHON_JOSE + AUTHLIB + OTHERS

OF_CURVES = {
    "25 CVE-2022-29217: HMAC with a public key as SSH writes it": forged_foreign.hmac_signed("ssh"),
    "25 CVE-2024-33663: HMAC with a public key in DER": forged_foreign.hmac_signed("der"),
    "25 CVE-2024-37568: HMAC with a public key in PEM": forged_foreign.hmac_signed("pem"),
    "26 CVE-2026-48526: HMAC with the text of the public JWK": forged_foreign.hmac_signed("jwk"),
    "29 CVE-2018-0114: a key that comes with the token": forged_foreign.own_jwk,
    "42 CVE-2022-21449: a signature of zeros": forged_foreign.SIGNATURE["42 all zero"],
}
"""Attacks on keys of other kinds than RSA."""
