from __future__ import annotations

import functools
import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials.kernel import HttpResponse
from obo_middleware._discovery import check_discovery, may_issue, process_document
from obo_middleware._keys import process_jwks
from obo_middleware.errors import ConfigurationError, UpstreamUnavailableError
from obo_middleware.testing import foreign_key
from tests.core.kit import TENANT, encode
from tests.marks import showing

OTHER = "11111111-2222-4333-8444-555555555555"
HOST = "https://login.example"
PUBLIC = "https://login.microsoftonline.com"
KEYS_URL = f"{HOST}/{TENANT}/discovery/v2.0/keys"


def jwk(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (foreign_key().jwk | {"kid": "k"} | changes).items() if value is not None}


@functools.cache
def modulus(bits: int) -> str:
    number = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key().public_numbers().n
    return encode(number.to_bytes(bits // 8, "big"))


def point() -> dict[str, str]:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    return {"crv": "P-256", "x": encode(numbers.x.to_bytes(32, "big")), "y": encode(numbers.y.to_bytes(32, "big"))}


# Keys


@pytest.mark.parametrize(
    "key",
    [
        jwk(),
        jwk(alg="RS256"),
        jwk(use=None),
        jwk(key_ops=["verify"]),
        jwk(key_ops=["sign", "verify"]),
        jwk(issuer=f"{PUBLIC}/{{tenantid}}/v2.0"),
        jwk(x5c=["anything"], x5t="anything", unknown={}),
    ],
)
def test_a_key_for_signatures_is_used(key: dict[str, Any]) -> None:
    (found,) = process_jwks({"keys": [key]}, ["RS256"]).values()
    assert (found.kid, found.issuer) == ("k", key.get("issuer"))
    assert found.public_key.public_numbers() == foreign_key().public_key.public_numbers()


def each(name: str, *values: Any) -> list[dict[str, Any]]:
    """Return a key with each of these values of a member."""
    return [jwk(**{name: value}) for value in values]


UNUSABLE: list[Any] = [
    *showing(52, jwk(use="enc"), *each("key_ops", ["sign"], [], "verify", ["encrypt", "wrapKey"])),
    *showing(52, jwk(kty="EC"), {"kty": "EC", "kid": "k", "use": "sig", **point()}),
    *showing(52, {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "k"}),
    *showing(28, jwk(kty="RSA", alg="PS256"), jwk(alg="HS256"), jwk(alg="RSA-OAEP"), jwk(alg=["RS256"])),
    *showing(53, {"kty": "oct", "k": "c2VjcmV0", "kid": "k"}, jwk(kty="oct", k="c2VjcmV0"), jwk(n=modulus(1024))),
    *showing(115, *each("n", None, "", "!", 5, ["x"])),
    *showing(115, *each("e", None, "AQ", "", {})),
    *showing(115, *each("kid", None, 5, ["k"]), jwk(kty=None), *each("issuer", 5, ["x"])),
    *showing(115, "no object", None, 5, []),
]


@pytest.mark.parametrize("key", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_malformed_or_unsuited_key_is_left_out_and_the_others_stay(key: Any) -> None:
    good = jwk(kid="good")
    assert list(process_jwks({"keys": [key, good]}, ["RS256"])) == [("good", "RS256")]
    assert list(process_jwks({"keys": [good, key]}, ["RS256"])) == [("good", "RS256")]
    assert process_jwks({"keys": [key]}, ["RS256"]) == {}


@pytest.mark.attack(56)
def test_a_key_of_another_kind_does_not_replace_one_of_the_same_kid() -> None:
    others = [{"kty": "oct", "k": "c2VjcmV0", "kid": "k"}, {"kty": "EC", "kid": "k", **point()}]
    for keys in ([jwk(), *others], [*others, jwk()]):
        (found,) = process_jwks({"keys": keys}, ["RS256"]).values()
        assert found.public_key.public_numbers() == foreign_key().public_key.public_numbers()


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": []}, {"keys": [[]]}])
def test_a_document_without_keys_has_none(document: dict[str, Any]) -> None:
    assert process_jwks(document, ["RS256"]) == {}


@pytest.mark.attack(109)
def test_no_more_than_a_hundred_keys_are_read() -> None:
    assert len(process_jwks({"keys": [jwk(kid=str(number)) for number in range(150)]}, ["RS256"])) == 100


@pytest.mark.attack(185)
def test_a_malformed_key_is_logged_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        process_jwks({"keys": [jwk(n="CANARY!", kid="CANARY\nINJECTED")]}, ["RS256"])
    assert "malformed" in caplog.text
    assert "CANARY" not in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEY = st.dictionaries(
    st.sampled_from(["kty", "n", "e", "kid", "use", "alg", "key_ops", "issuer"]), JSON | st.just("RSA")
)


@pytest.mark.attack(53, 115)
@settings(max_examples=40)
@given(st.lists(KEY.map(lambda change: jwk() | change), max_size=3))
def test_any_keys_are_read_without_an_error(keys: list[dict[str, Any]]) -> None:
    assert all(key.public_key.key_size >= 2048 for key in process_jwks({"keys": keys}, ["RS256"]).values())


# Discovery


def discovery(**changes: Any) -> dict[str, Any]:
    document = {"issuer": f"{HOST}/{TENANT}/v2.0", "jwks_uri": KEYS_URL} | changes
    return {name: value for name, value in document.items() if value is not None}


@pytest.mark.parametrize(
    ("authority", "tenant", "issuer", "keys"),
    [
        (HOST, TENANT, f"{HOST}/{TENANT}/v2.0", KEYS_URL),
        (HOST, TENANT, f"{HOST}/sts/{TENANT}/", KEYS_URL),
        (HOST, "organizations", f"{HOST}/{{tenantid}}/v2.0", KEYS_URL),
        (HOST, "common", f"{HOST}/{{tenantid}}/v2.0", KEYS_URL),
        (HOST, "contoso.com", f"{HOST}/{TENANT}/v2.0", KEYS_URL),
        (HOST, f"{OTHER}.contoso.com", f"{HOST}/{TENANT}/v2.0", KEYS_URL),
        (PUBLIC, TENANT, f"https://sts.windows.net/{TENANT}/", f"{PUBLIC}/common/discovery/keys"),
        (
            "https://Login.MicrosoftOnline.com",
            TENANT,
            f"{PUBLIC}/{TENANT}/v2.0",
            f"{PUBLIC}/common/discovery/v2.0/keys",
        ),
        (
            *("https://login.chinacloudapi.cn", TENANT, f"https://sts.chinacloudapi.cn/{TENANT}/"),
            "https://login.chinacloudapi.cn/common/discovery/keys",
        ),
        ("http://127.0.0.1:5", TENANT, f"http://127.0.0.1:5/{TENANT}/v2.0", "http://127.0.0.1:5/k"),
    ],
)
def test_the_tenants_own_issuer_is_taken(authority: str, tenant: str, issuer: str, keys: str) -> None:
    document = discovery(issuer=issuer, jwks_uri=keys)
    assert check_discovery(document, authority, tenant) == (issuer, keys)


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ("login.microsoftonline.com", "login.microsoft.com"),
        ("login.microsoftonline.com", "login.windows.net"),
        ("login.microsoftonline.com", "sts.windows.net"),
        ("login.microsoftonline.us", "sts.windows.net"),
        ("login.chinacloudapi.cn", "sts.chinacloudapi.cn"),
        ("login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
    ],
)
def test_the_hosts_of_a_cloud_issue_for_each_other(host: str, other: str) -> None:
    for authority, issuer in ((host, other), (other, host)):
        assert may_issue(f"https://{authority}", f"https://{issuer}/{TENANT}/v2.0")
        assert not may_issue(f"https://{authority}", f"https://{issuer}.evil.example/{TENANT}/v2.0")


@pytest.mark.attack(112)
@pytest.mark.parametrize(
    "issuer",
    [
        None,
        5,
        "",
        [f"{HOST}/{TENANT}/v2.0"],
        f"{HOST}/{OTHER}/v2.0",
        f"{HOST}/{{tenantid}}/v2.0",
        f"{HOST}/{TENANT}/v2.0/x",
        f"{HOST}/{TENANT}x/v2.0",
        f"{HOST}/{TENANT}/v3.0",
        f"{HOST}/{TENANT}",
        f"{HOST}/x/{TENANT}/v2.0",
        f"{HOST}.evil/{TENANT}/v2.0",
        f"{HOST}:8443/{TENANT}/v2.0",
        f"https://user@login.example/{TENANT}/v2.0",
        f"https://sts.windows.net/{TENANT}/",
        f"http://login.example/{TENANT}/v2.0",
        f"//login.example/{TENANT}/v2.0",
    ],
)
def test_another_issuer_is_refused(issuer: Any) -> None:
    with pytest.raises(ConfigurationError, match="check"):
        check_discovery(discovery(issuer=issuer), HOST, TENANT)


@pytest.mark.attack(112)
@pytest.mark.parametrize(
    ("tenant", "name"), [("organizations", TENANT), ("common", "common"), ("common", "{tenantid}x"), ("common", "")]
)
def test_for_many_tenants_only_the_template_is_an_issuer(tenant: str, name: str) -> None:
    with pytest.raises(ConfigurationError):
        check_discovery(discovery(issuer=f"{HOST}/{name}/v2.0"), HOST, tenant)


@pytest.mark.attack(112)
@pytest.mark.parametrize("name", ["{tenantid}", "contoso.com", "common", f"{TENANT}x"])
def test_for_a_domain_only_a_guid_is_an_issuer(name: str) -> None:
    with pytest.raises(ConfigurationError):
        check_discovery(discovery(issuer=f"{HOST}/{name}/v2.0"), HOST, "contoso.com")


@pytest.mark.attack(112)
def test_a_dot_in_a_tenant_stands_for_a_dot_only() -> None:
    with pytest.raises(ConfigurationError):
        check_discovery(discovery(issuer=f"{HOST}/{TENANT.replace('-', 'x')}/v2.0"), HOST, TENANT)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        5,
        "",
        "/keys",
        *showing(111, "file:///etc/passwd", "file://login.example/keys", "data:application/json,{}"),
        *showing(111, "ftp://login.example/keys", "http://login.example/keys"),
        *showing(113, "https://evil.example/keys", "https://login.example.evil/keys"),
        *showing(113, "https://login.example:8443/keys", "https://login.example@evil.example/keys"),
        *showing(113, "https://user@login.example/keys", "https://login.example\\@evil.example/keys"),
        *showing(113, "https://169.254.169.254/keys"),
        "https://login.example/a b",
        "https://login.exa\nmple/keys",
        "https://login.example/keys\r\nHost: evil",
    ],
)
def test_keys_elsewhere_are_refused(uri: Any) -> None:
    with pytest.raises(ConfigurationError, match="check"):
        check_discovery(discovery(jwks_uri=uri), HOST, TENANT)


@pytest.mark.attack(111)
def test_over_plain_http_no_keys_are_taken_for_an_https_authority() -> None:
    document = discovery(issuer=f"http://login.example/{TENANT}/v2.0", jwks_uri="http://login.example/keys")
    with pytest.raises(ConfigurationError):
        check_discovery(document, HOST, TENANT)


# Answers


def test_an_object_is_read() -> None:
    assert process_document(HttpResponse(status=200, headers={}, body=b'{"a":1}'), "u") == {"a": 1}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *showing(109, (200, b""), (200, b"<html>")),
        (200, b"[]"),
        (200, b'{"a":1,"a":2}'),
        (200, "{}".encode("utf-16")),
        (200, b"\xef\xbb\xbf{}"),
        (200, b"[" * 60_000),
        (200, b'{"a":NaN}'),
        (204, b"{}"),
        *showing(110, (302, b"{}")),
        (404, b"{}"),
        (500, b"{}"),
    ],
)
def test_any_other_answer_is_none(status: int, body: bytes) -> None:
    with pytest.raises(UpstreamUnavailableError, match=r"^u "):
        process_document(HttpResponse(status=status, headers={}, body=body), "u")
