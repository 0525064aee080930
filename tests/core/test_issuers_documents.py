from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from obo_middleware import ConfigurationError, TrustedIssuer
from obo_middleware._discovery import check_trusted, trusted_place
from obo_middleware._keys import process_jwks
from obo_middleware._trusted_issuer import ALGORITHMS
from tests.core.foreign_issuer import key_pair, private_key
from tests.core.forgery import attacks_in
from tests.core.kit import encode
from tests.core.test_metadata_documents import JSON, modulus

IDP = "https://idp.example"


def trusted(issuer: str = IDP, **changes: Any) -> TrustedIssuer:
    return TrustedIssuer(issuer, **{"audiences": ["https://api.example"]} | changes)


# Keys


def jwk(algorithm: str, **changes: Any) -> dict[str, Any]:
    """Return a key that says nothing about its algorithm, unless told to."""
    members = key_pair(algorithm, kid="k").jwk | {"alg": None} | changes
    return {name: value for name, value in members.items() if value is not None}


def names(*keys: Any, algorithms: Any = ALGORITHMS) -> list[str]:
    """Return the algorithms with which the key of the id k is usable."""
    return [algorithm for kid, algorithm in process_jwks({"keys": list(keys)}, algorithms) if kid == "k"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_that_names_its_algorithm_serves_that_one_only(algorithm: str) -> None:
    assert names(jwk(algorithm, alg=algorithm)) == [algorithm]
    others = [other for other in ALGORITHMS if other != algorithm]
    assert names(jwk(algorithm, alg=algorithm), algorithms=others) == []


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        ("RS256", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("ES256", ["ES256"]),
        ("ES384", ["ES384"]),
        ("ES512", ["ES512"]),
        ("EdDSA", ["EdDSA"]),
    ],
)
def test_a_key_serves_the_issuers_algorithms_of_its_kind_and_curve(kind: str, fits: list[str]) -> None:
    assert names(jwk(kind)) == fits
    assert names(jwk(kind), algorithms=fits[:1]) == fits[:1]


def test_both_curves_of_edwards_serve() -> None:
    x = encode(private_key("Ed448").public_key().public_bytes_raw())
    assert names({"kty": "OKP", "crv": "Ed448", "x": x, "kid": "k"}) == ["EdDSA"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_verifies_what_its_own_algorithm_signed(algorithm: str) -> None:
    (key,) = process_jwks({"keys": [jwk(algorithm)]}, [algorithm]).values()
    signature = key_pair(algorithm).signature(b"text")
    assert key.verifies(b"text", signature)
    for text, other in ((b"texT", signature), (b"text", signature[:-1]), (b"text", b""), (b"text", bytes(64))):
        assert not key.verifies(text, other)


P256, ED = "ES256", "EdDSA"
UNUSABLE: dict[str, Any] = {
    "52 use": jwk(P256, use="enc"),
    "52 key_ops": jwk(ED, key_ops=["sign"]),
    "52 kty RSA": jwk(P256, kty="RSA"),
    "52 kty OKP": jwk(P256, kty="OKP"),
    "52 kty EC": jwk(ED, kty="EC"),
    "52 kty list": jwk(ED, kty=["OKP"]),
    "52 key agreement": jwk(ED, crv="X25519"),
    "53 oct": {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
    "53 oct that says ES256": jwk(P256, kty="oct", k="c2VjcmV0", alg="ES256"),
    "53 small RSA": jwk("RS256", n=modulus(1024)),
    "28 symmetric": jwk(P256, alg="HS256"),
    "28 another curve's algorithm": jwk(P256, alg="ES384"),
    "28 no text": jwk(P256, alg=["ES256"]),
    "115 curve missing": jwk(P256, crv=None),
    "115 curve unknown": jwk(P256, crv="P-257"),
    "115 curve no text": jwk(P256, crv=["P-256"]),
    "115 curve an object": jwk(ED, crv={"a": 1}),
    "115 another curve": jwk(P256, crv="P-384"),
    "115 point outside the curve": jwk(P256, x=encode(b"\1" * 32), y=encode(b"\1" * 32)),
    "115 point at nowhere": jwk(P256, x=encode(bytes(32)), y=encode(bytes(32))),
    "115 x missing": jwk(P256, x=None),
    "115 y missing": jwk(P256, y=None),
    "115 x a number": jwk(P256, x=5),
    "115 x not base64": jwk(P256, x="!"),
    "115 x too short": jwk(P256, x=encode(b"\1" * 31)),
    "115 Ed25519 x too short": jwk(ED, x=encode(b"\1" * 31)),
    "115 Ed25519 x missing": jwk(ED, x=None),
    "115 Ed25519 x a list": jwk(ED, x=["x"]),
    "115 kid missing": jwk(ED, kid=None),
    "115 kid a number": jwk(ED, kid=5),
}


UNSUITED = {"28", "52", "53"}  # whose outcome, a refused token, is shown in test_issuers.py


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, id=name, marks=[] if name[:2] in UNSUITED else attacks_in(name))
        for name, key in UNUSABLE.items()
    ],
)
def test_a_malformed_or_unsuited_key_is_left_out_and_the_others_stay(key: dict[str, Any]) -> None:
    good = key_pair("ES256", kid="good").jwk
    for keys in ([key, good], [good, key]):
        assert list(process_jwks({"keys": keys}, ALGORITHMS)) == [("good", "ES256")]


def test_keys_of_one_id_are_told_apart_by_kind_and_algorithm() -> None:
    kinds = ["RS256", "ES256", "ES384", "EdDSA"]
    for order in (kinds, kinds[::-1]):
        keys = [key_pair(kind, kid="k").jwk for kind in order]
        found = process_jwks({"keys": keys}, ALGORITHMS)
        assert set(found) == {("k", kind) for kind in kinds}
        for kind in kinds:
            assert found["k", kind].verifies(b"text", key_pair(kind).signature(b"text"))


def test_private_parts_that_somebody_published_are_not_taken_in() -> None:
    number = private_key("ES256").private_numbers().private_value
    (key,) = process_jwks({"keys": [jwk("ES256", d=encode(number.to_bytes(32, "big")))]}, ["ES256"]).values()
    assert isinstance(key.public_key, ec.EllipticCurvePublicKey)


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use"]), JSON), max_size=3))
def test_any_keys_are_read_without_an_error(changes: list[dict[str, Any]]) -> None:
    keys = [key_pair("ES256").jwk | change for change in changes] + [key_pair("EdDSA").jwk | c for c in changes]
    assert all(name[1] == key.algorithm for name, key in process_jwks({"keys": keys}, ALGORITHMS).items())


# Metadata


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        (IDP, "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
        (f"{IDP}/", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"),
        (f"{IDP}/a/b", "/a/b/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a/b"),
        (f"{IDP}/a/b/", "/a/b/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a/b"),
    ],
)
def test_metadata_is_looked_for_in_both_well_known_places(issuer: str, openid: str, oauth: str) -> None:
    assert trusted_place(trusted(issuer)).urls == (IDP + openid, IDP + oauth)


def document(**changes: Any) -> dict[str, Any]:
    members = {"issuer": IDP, "jwks_uri": f"{IDP}/keys", "token_endpoint": "https://elsewhere.example"} | changes
    return {name: value for name, value in members.items() if value is not None}


@pytest.mark.parametrize(
    ("uri", "given"),
    [
        (f"{IDP}/keys", {}),
        (f"{IDP}/keys?policy=one", {}),
        ("https://IDP.example/keys", {}),
        ("https://keys.example/v3", {"key_hosts": ["keys.example"]}),
        ("https://keys.example:8443/v3", {"key_hosts": ["a.example", "Keys.example:8443"]}),
    ],
)
def test_the_issuers_own_metadata_is_taken(uri: str, given: dict[str, Any]) -> None:
    assert check_trusted(document(jwks_uri=uri), trusted(**given)) == (IDP, uri)


@pytest.mark.attack(112)
@pytest.mark.parametrize(
    "issuer",
    [
        *(None, 5, "", [IDP], f"{IDP}/", f"{IDP}/a", "https://IDP.example", "http://idp.example"),
        *("https://evil.example", "https://idp.example.evil", "https://idp.example:443", "{tenantid}"),
    ],
)
def test_metadata_of_another_issuer_is_refused(issuer: Any) -> None:
    with pytest.raises(ConfigurationError, match="is another issuer's"):
        check_trusted(document(issuer=issuer), trusted())


@pytest.mark.parametrize(
    "uri",
    [
        *(
            pytest.param(uri, marks=pytest.mark.attack(113))
            for uri in (
                *("https://evil.example/keys", "https://idp.example.evil/keys", "https://idp.example:8443/keys"),
                *("https://idp.example@evil.example/keys", "https://user@idp.example/keys", "https://169.254.169.254/"),
                *("https://keys.example:444/keys", "https://idp.example\\@evil.example/keys", "//idp.example/keys"),
            )
        ),
        *(
            pytest.param(uri, marks=pytest.mark.attack(111))
            for uri in (
                *(
                    "http://idp.example/keys",
                    "http://keys.example/keys",
                    "file:///etc/passwd",
                    "data:application/json,{}",
                ),
                *("ftp://idp.example/keys", "file://idp.example/keys"),
            )
        ),
        *(None, 5, "", "/keys", "https://[x", "https://idp.example/a b", "https://idp.exa\nmple/keys"),
    ],
)
def test_keys_elsewhere_are_refused(uri: Any) -> None:
    with pytest.raises(ConfigurationError, match="jwks_uri"):
        check_trusted(document(jwks_uri=uri), trusted(key_hosts=["keys.example"]))


def test_a_local_issuer_may_have_its_keys_on_this_machine_and_nowhere_else_unencrypted() -> None:
    local = trusted("http://127.0.0.1:5000", key_hosts=["localhost:5001", "keys.example"])

    def judge(uri: str) -> str:
        return check_trusted(document(issuer=local.issuer, jwks_uri=uri), local)[1]

    for uri in ("http://127.0.0.1:5000/keys", "http://localhost:5001/keys", "https://keys.example/keys"):
        assert judge(uri) == uri
    for uri in ("http://keys.example/keys", "ftp://127.0.0.1:5000/keys", "file://127.0.0.1:5000/keys"):
        with pytest.raises(ConfigurationError):
            judge(uri)
