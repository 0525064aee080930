from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from cryptography import x509

from obo_middleware.testing import LocalEntra
from obo_middleware.testing._jws import public_key_from_jwk
from tests.testing.kit import access_token, ask, client_credentials_form, header_of, refusal


def configuration(entra: LocalEntra, http: httpx.Client, tenant: str, version: str = "/v2.0") -> httpx.Response:
    return http.get(f"{entra.authority}/{tenant}{version}/.well-known/openid-configuration")


@pytest.mark.parametrize("name", ["tenant id", "CONTOSO.example"])
def test_a_tenant_is_found_by_id_and_by_domain(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    tenant = entra.tenant_id if name == "tenant id" else name
    document = configuration(entra, http, tenant).json()
    assert document["issuer"] == entra.issuer == f"{entra.authority}/{entra.tenant_id}/v2.0"
    assert document["token_endpoint"] == f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/token"
    assert document["jwks_uri"] == f"{entra.authority}/{entra.tenant_id}/discovery/v2.0/keys"
    assert document["authorization_endpoint"] == f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/authorize"
    assert document["tenant_region_scope"] == "EU"
    assert document["msgraph_host"] == "graph.microsoft.com"


def test_the_issuer_of_version_1_is_another_one(entra: LocalEntra, http: httpx.Client) -> None:
    document = configuration(entra, http, entra.tenant_id, "").json()
    assert document["issuer"] == f"{entra.authority}/sts/{entra.tenant_id}/"
    assert document["jwks_uri"] == f"{entra.authority}/{entra.tenant_id}/discovery/keys"


@pytest.mark.parametrize("name", ["common", "organizations"])
def test_shared_endpoints_have_a_template_as_issuer(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    document = configuration(entra, http, name).json()
    assert document["issuer"] == entra.authority + "/{tenantid}/v2.0"
    assert document["token_endpoint"] == f"{entra.authority}/{name}/oauth2/v2.0/token"
    assert document["tenant_region_scope"] is None


@pytest.mark.parametrize("path", ["v2.0/.well-known/openid-configuration", "discovery/keys"])
def test_an_unknown_tenant_is_refused(entra: LocalEntra, http: httpx.Client, path: str) -> None:
    response = http.get(f"{entra.authority}/nobody.example/{path}")
    assert refusal(response) == (400, "invalid_tenant", 90002)


def keys(entra: LocalEntra, http: httpx.Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"{entra.authority}/{path}").json()["keys"]
    return found


def test_a_key_is_published_with_its_certificate(entra: LocalEntra, http: httpx.Client) -> None:
    (key,) = keys(entra, http, f"{entra.tenant_id}/discovery/v2.0/keys")
    (certificate,) = key["x5c"]
    leaf = x509.load_der_x509_certificate(base64.b64decode(certificate))
    assert leaf.public_key() == public_key_from_jwk(key)
    assert (key["kty"], key["use"], key["kid"]) == ("RSA", "sig", key["x5t"])


def test_only_version_2_says_whose_key_it_is(entra: LocalEntra, http: httpx.Client) -> None:
    assert keys(entra, http, f"{entra.tenant_id}/discovery/v2.0/keys")[0]["issuer"] == entra.issuer
    assert keys(entra, http, "common/discovery/v2.0/keys")[0]["issuer"] == entra.authority + "/{tenantid}/v2.0"
    assert "issuer" not in keys(entra, http, f"{entra.tenant_id}/discovery/keys")[0]


def kids(entra: LocalEntra, http: httpx.Client) -> list[object]:
    return [key["kid"] for key in keys(entra, http, "common/discovery/keys")]


def test_a_rotated_key_stays_published(entra: LocalEntra, http: httpx.Client) -> None:
    (old,) = kids(entra, http)
    entra.rotate_keys()
    assert kids(entra, http)[0] == old
    token = access_token(ask(entra, http, client_credentials_form(entra)))
    assert header_of(token)["kid"] == kids(entra, http)[1]


def test_a_withdrawn_key_does_not(entra: LocalEntra, http: httpx.Client) -> None:
    (old,) = kids(entra, http)
    entra.rotate_keys(withdraw_old=True)
    assert old not in kids(entra, http)
    assert len(kids(entra, http)) == 1


def test_the_host_is_a_known_authority(entra: LocalEntra, http: httpx.Client) -> None:
    query = {"authorization_endpoint": "https://127.0.0.1/my-tenant/oauth2/v2.0/authorize"}
    document = http.get(f"{entra.authority}/common/discovery/instance", params=query).json()
    host = entra.authority.removeprefix("http://")
    assert document["metadata"][0]["aliases"] == [host, "127.0.0.1"]
    assert document["tenant_discovery_endpoint"].startswith(f"{entra.authority}/my-tenant/v2.0")


def test_no_other_host_is_known(entra: LocalEntra, http: httpx.Client) -> None:
    url = f"{entra.authority}/common/discovery/instance"
    elsewhere = {"authorization_endpoint": "https://elsewhere.example/common/oauth2/v2.0/authorize"}
    assert refusal(http.get(url, params=elsewhere)) == (400, "invalid_instance", 50049)
    assert refusal(http.get(url)) == (400, "invalid_request", 900144)
