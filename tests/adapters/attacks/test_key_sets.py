"""Which published keys verify which tokens: a provider's keys of other kinds, and the keys of other issuers."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from obo_middleware.testing import SigningKey, foreign_key
from tests.adapters.attacks.nothing import nothing_happens
from tests.adapters.conftest import Start
from tests.adapters.harness import KINDS, Served, check_problem, serve
from tests.adapters.outcomes import INVALID, invalid
from tests.adapters.world import World
from tests.core.foreign_issuer import ForeignIssuer, key_pair
from tests.core.forgery import params
from tests.core.kit import claims_of, encode, header_of, signature_of, signer

Jwk = dict[str, Any]
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
OTHER = "11111111-2222-4333-8444-555555555555"
SECRET = b"a secret that the key set publishes"


Make = Callable[[World, str], tuple[str, Jwk]]
"""Makes a token under a key id, and the key that is published under that id."""


def publish(world: World, *keys: Jwk) -> None:
    """Have the provider publish these keys, and another good one, each time it is asked."""
    body = json.dumps({"keys": [*keys, foreign_key().jwk]}).encode()
    for _ in range(8):  # more often than any of these tests has it asked
        world.entra.answer_once(body=body, endpoint="jwks")


def published(world: World, **changes: Any) -> Jwk:
    """Return the key of the provider with other members; None leaves one out."""
    jwk = signer(world.entra).jwk | changes
    return {name: value for name, value in jwk.items() if value is not None}


def labelled(**changes: Any) -> Make:
    """Sign rightly, with a key that is published with other members."""

    def make(world: World, kid: str) -> tuple[str, Jwk]:
        return world.token("alice", headers={"kid": kid}), published(world, **{"kid": kid} | changes)

    return make


def of_tenant(tenant: str) -> Make:
    """Sign rightly, with a key that is published as a tenant's own."""
    return lambda world, kid: labelled(issuer=f"{world.entra.authority}/{tenant}/v2.0")(world, kid)


@functools.cache
def short_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is what the test is about


def short(world: World, kid: str) -> tuple[str, Jwk]:
    """Sign rightly, with an RSA key of 1024 bits that is published."""
    text = world.token("alice", headers={"kid": kid}).rpartition(".")[0]
    signature = short_key().sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    modulus = encode(short_key().public_key().public_numbers().n.to_bytes(128, "big"))
    return f"{text}.{encode(signature)}", published(world, kid=kid, n=modulus)


def symmetric(algorithm: str = "HS256", **changes: Any) -> Make:
    """Sign rightly, with a symmetric key that is published."""

    def make(world: World, kid: str) -> tuple[str, Jwk]:
        text = world.token("alice", headers={"alg": algorithm, "kid": kid}).rpartition(".")[0]
        signature = hmac.digest(SECRET, text.encode(), hashlib.sha256)
        return f"{text}.{encode(signature)}", {"kty": "oct", "kid": kid, "k": encode(SECRET)} | changes

    return make


UNSUITED: dict[str, Make] = {
    **{f"27, 28 key for {alg}": labelled(alg=alg) for alg in ("PS256", "RS384", "RS512", "HS256", "ES256", "none")},
    "27 key for encryption by its alg": labelled(alg="RSA-OAEP"),
    "27 alg a list": labelled(alg=["RS256", "PS256"]),
    "52 use enc": labelled(use="enc"),
    "52 key_ops without verify": labelled(key_ops=["sign", "encrypt", "wrapKey"]),
    "52 key_ops empty": labelled(key_ops=[]),
    "52 kty EC": labelled(kty="EC"),
    "52 kty oct": labelled(kty="oct", k=encode(SECRET)),
    "53 RSA of 1024 bits": short,
    "53 oct": symmetric(),
    "53 oct for HS256": symmetric(alg="HS256", use="sig"),
    "53 oct that says RS256": symmetric("RS256", alg="RS256"),
    "72 key of the consumers' tenant": of_tenant(CONSUMERS),
    "72 key of another tenant": of_tenant(OTHER),
}


def publish_all(world: World) -> None:
    """Have the provider publish every unsuited key under its name, and its own."""
    publish(world, published(world), *(make(world, name)[1] for name, make in UNSUITED.items()))


@pytest.fixture(scope="module", params=KINDS)
def shared_of_many_keys(request: pytest.FixtureRequest, shared_world: World) -> Iterator[Served]:
    publish_all(shared_world)
    with serve(request.param, shared_world.settings()) as served:
        yield served


@pytest.fixture
def of_many_keys(shared_of_many_keys: Served, world: World) -> Served:
    """Give an app whose provider publishes every unsuited key."""
    publish_all(world)
    assert shared_of_many_keys.get("/whoami", world.token("alice")).status_code == 200
    return shared_of_many_keys


@pytest.mark.parametrize("name", params({name: name for name in UNSUITED}))
def test_a_key_that_is_for_something_else_verifies_nothing(of_many_keys: Served, world: World, name: str) -> None:
    with nothing_happens(of_many_keys, world, fetches=2):
        answer = of_many_keys.get("/me", UNSUITED[name](world, name)[0])
        check_problem(answer, 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(72)
def test_a_key_of_one_tenant_signs_for_no_other_where_every_tenant_is_allowed(
    kind: str, start: Start, world: World
) -> None:
    publish_all(world)
    served = start(kind, tenant_id="organizations", allowed_tenants=["*"])
    assert served.get("/whoami", world.token("alice")).status_code == 200
    for name in (name for name in UNSUITED if name.startswith("72")):
        token = UNSUITED[name](world, name)[0]
        check_problem(served.get("/me", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(56)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_keys_of_other_kinds_under_the_same_kid_do_not_hide_the_right_one(
    kind: str, start: Start, world: World, first: bool
) -> None:
    kid = signer(world.entra).kid
    curve_key = key_pair("ES256", kid=kid)
    others = [curve_key.jwk, symmetric()(world, kid)[1], published(world, use="enc"), published(world, alg="PS256")]
    right = published(world)
    publish(world, *([right, *others] if first else [*others, right]))
    served = start(kind)
    assert served.get("/me", world.token("alice")).json()["id"] == world.object_id("alice")
    curve = world.token("alice", headers={"alg": "ES256"}).rpartition(".")[0]
    forged = f"{curve}.{encode(curve_key.signature(curve.encode()))}"
    check_problem(served.get("/me", forged), 401, INVALID, challenge=invalid(world))


# Several issuers in one app


@pytest.fixture(scope="module")
def issuer(shared_world: World) -> Iterator[ForeignIssuer]:
    with ForeignIssuer("RS256", clock=shared_world.clock) as running:
        yield running


def by(key: SigningKey, token: str) -> str:
    """Sign the same header and claims with one of the provider's keys."""
    text = token.rpartition(".")[0]
    return f"{text}.{encode(signature_of(key, text.encode()))}"


@pytest.mark.attack(51, 116)
def test_the_keys_of_one_issuer_sign_for_that_issuer_only(
    kind: str, start: Start, world: World, issuer: ForeignIssuer
) -> None:
    served, own = start(kind, issuers=[issuer.trusted()]), signer(world.entra)
    entras, theirs = world.token("alice"), issuer.token()
    assert [served.get("/whoami", token).status_code for token in (entras, theirs)] == [200, 200]
    crossed = [
        issuer.key.sign(header_of(entras), claims_of(entras)),
        issuer.key.sign(header_of(entras) | {"kid": issuer.key.kid}, claims_of(entras)),
        by(own, theirs),
        by(own, issuer.token(headers={"kid": own.kid})),
    ]
    for token in crossed:
        check_problem(served.get("/whoami", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(116)
def test_two_issuers_may_publish_the_same_kid(kind: str, start: Start, world: World, issuer: ForeignIssuer) -> None:
    kid = signer(world.entra).kid
    twin = key_pair("RS256", kid=kid)
    issuer.publish(issuer.key, twin)
    served = start(kind, issuers=[issuer.trusted()])
    assert served.get("/whoami", world.token("alice")).json()["user"] == world.object_id("alice")
    assert served.get("/whoami", issuer.token(headers={"kid": kid}, key=twin)).json()["user"] == "alice"
    crossed = issuer.key.sign(header_of(world.token("alice")), claims_of(world.token("alice")))
    check_problem(served.get("/whoami", crossed), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(64)
def test_a_list_of_audiences_is_for_issuers_that_use_lists(
    kind: str, start: Start, world: World, issuer: ForeignIssuer
) -> None:
    audiences = ["https://api.example/notes", "https://other.example"]
    lax, strict = (start(kind, issuers=[issuer.trusted(strict_audience=strict)]) for strict in (False, True))
    assert lax.get("/whoami", issuer.token(aud=audiences)).status_code == 200
    check_problem(strict.get("/whoami", issuer.token(aud=audiences)), 401, INVALID, challenge=invalid(world))
    check_problem(lax.get("/whoami", issuer.token(aud=audiences[1:])), 401, INVALID, challenge=invalid(world))
    of_entra = world.token("alice", aud=[world.client_id, *audiences])
    check_problem(lax.get("/whoami", of_entra), 401, INVALID, challenge=invalid(world))
