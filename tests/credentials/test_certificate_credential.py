"""ClientCertificateCredential in both colours against the local provider."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jwt
import pytest

from credentials import AzureAuthorityHosts, ClientAuthenticationError, ClientConfigurationError
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import (
    GRAPH,
    Colour,
    certificate_der,
    certificate_pem,
    claims_of,
    key_pem,
    local_options,
)
from tests.credentials.own_credentials import PASSWORD, as_pfx, kind, registered, sent
from tests.credentials.secret_credentials import SCOPE

LEAF = key_pem() + certificate_pem()


def made(entra: LocalEntra, colour: Colour, *path: Any, **options: Any) -> Any:
    arguments = local_options(entra) | options
    return kind(colour, "ClientCertificateCredential")(entra.tenant_id, entra.api.client_id, *path, **arguments)


def construct(colour: Colour, *path: Any, tenant: str = "tenant", **options: Any) -> Any:
    if not path and "certificate_path" not in options:
        options = {"certificate_data": LEAF} | options
    return kind(colour, "ClientCertificateCredential")(tenant, "client", *path, **options)


def proof_in(entra: LocalEntra) -> str:
    """Return the assertion of the last token request."""
    form = entra.token_requests[-1].form
    assert "client_secret" not in form
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return form["client_assertion"]


# Certificates


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize("form", ["pem", "pfx"])
@pytest.mark.parametrize("given", ["path", "text path", "bytes"])
def test_a_certificate_proves_the_application(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra, colour: Colour, tmp_path: Path, form: str, given: str, password: str | None
) -> None:
    pem = registered(entra, password=password)
    path = tmp_path / "app.certificate"
    path.write_bytes(pem if form == "pem" else as_pfx(password))
    secret = {"password": password} if password else {}
    if given == "bytes":
        credential = made(entra, colour, certificate_data=path.read_bytes(), **secret)
    else:
        credential = made(entra, colour, path if given == "path" else str(path), **secret)
    claims = claims_of(colour.get_token(credential, SCOPE).token)
    assert (claims["aud"], claims["appid"], claims["appidacr"]) == (GRAPH, entra.api.client_id, "2")
    assert jwt.get_unverified_header(proof_in(entra))["alg"] == "PS256"


def test_a_pem_certificate_may_be_a_text(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour, certificate_data=registered(entra).decode())
    assert colour.get_token(credential, SCOPE).token


@pytest.mark.parametrize("name", ["password", "certificate_password"])
@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.encode()])
def test_a_password_has_two_names_and_two_types(
    entra: LocalEntra, colour: Colour, name: str, password: str | bytes
) -> None:
    options: dict[str, Any] = {name: password}
    credential = made(entra, colour, certificate_data=registered(entra, password=PASSWORD), **options)
    assert colour.get_token(credential, SCOPE).token


@pytest.mark.peer_defect(1)
def test_the_chain_is_sent_only_where_it_is_wanted(entra: LocalEntra, colour: Colour) -> None:
    for wanted in (False, True):
        credential = made(entra, colour, certificate_data=registered(entra), send_certificate_chain=wanted)
        assert colour.get_token(credential, SCOPE).token
        chain = [base64.b64encode(certificate_der(name)).decode() for name in ("leaf", "root")]
        assert jwt.get_unverified_header(proof_in(entra)).get("x5c") == (chain if wanted else None)


def test_an_unregistered_certificate_is_our_configuration(entra: LocalEntra, colour: Colour) -> None:
    registered(entra)
    credential = made(entra, colour, certificate_data=key_pem("other") + certificate_pem("other"))
    with pytest.raises(ClientConfigurationError, match="AADSTS700027") as caught:
        colour.get_token(credential, SCOPE)
    assert proof_in(entra) not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.peer_defect(1)
def test_an_ad_fs_assertion_is_signed_by_rs256(entra: LocalEntra, colour: Colour) -> None:
    entra.add_tenant(None, "adfs")
    arguments = local_options(entra) | {"certificate_data": registered(entra)}
    credential = kind(colour, "ClientCertificateCredential")("adfs", entra.api.client_id, **arguments)
    assert colour.get_token(credential, SCOPE).token
    header = jwt.get_unverified_header(proof_in(entra))
    assert (header["alg"], set(header)) == ("RS256", {"alg", "typ", "x5t"})
    assert claims_of(proof_in(entra))["aud"] == f"{entra.authority}/adfs/oauth2/v2.0/token"


# Tenants, claims, authorities


def test_an_assertion_is_for_the_tenant_that_is_asked(entra: LocalEntra, colour: Colour) -> None:
    other = entra.add_tenant()
    allowed = {"additionally_allowed_tenants": [other.tenant_id]}
    credential = made(entra, colour, certificate_data=registered(entra), **allowed)
    token = colour.get_token(credential, SCOPE, tenant_id=other.tenant_id).token
    assert claims_of(token)["tid"] == other.tenant_id
    assert claims_of(proof_in(entra))["aud"] == f"{entra.authority}/{other.tenant_id}/oauth2/v2.0/token"
    with pytest.raises(ClientAuthenticationError, match="additionally_allowed_tenants"):
        colour.get_token(credential, SCOPE, tenant_id="third.example")


def test_each_request_is_proved_by_an_assertion_of_its_own(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour, certificate_data=registered(entra))
    proofs = set()
    for claims in (None, "{}", '{"access_token":{}}'):
        colour.get_token(credential, SCOPE, claims=claims)
        proofs.add(claims_of(proof_in(entra))["jti"])
    assert len(proofs) == 3


def test_continuous_access_evaluation_and_claims_are_asked_for(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour, certificate_data=registered(entra))
    info = colour.get_token_info(credential, SCOPE, options={"enable_cae": True})
    assert claims_of(info.token)["xms_cc"] == ["cp1"]
    assert "xms_cc" not in claims_of(colour.get_token(credential, SCOPE).token)
    colour.get_token(credential, SCOPE, claims='{"access_token": {"nbf": {"value": "1"}}}')
    assert entra.token_requests[-1].form["claims"] == '{"access_token": {"nbf": {"value": "1"}}}'


@pytest.mark.parametrize("name", ["authority", "authority_host"])
@pytest.mark.parametrize(
    "host",
    [AzureAuthorityHosts.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_CHINA, AzureAuthorityHosts.AZURE_GOVERNMENT],
)
def test_each_clouds_authority_is_asked_under_either_name(colour: Colour, name: str, host: str) -> None:
    options: dict[str, Any] = {name: host}
    assert sent(construct(colour, **options)).url == f"https://{host}/tenant/oauth2/v2.0/token"


def test_a_token_at_hand_costs_no_assertion(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour, certificate_data=registered(entra))
    assert len({colour.get_token(credential, SCOPE).token for _ in range(3)}) == 1
    assert entra.requests_to("token") == 1


# Construction


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"certificate_data": None}, "path or its data"),
        ({"certificate_data": b""}, "path or its data"),
        ({"certificate_path": "app.pem", "certificate_data": LEAF}, "not both"),
        ({"certificate_path": "/does/not/exist.pem"}, r"'/does/not/exist.pem' cannot be read: No such file"),
        ({"certificate_path": "/"}, "'/' cannot be read"),
        ({"certificate_data": b"garbage"}, "PEM or PKCS12"),
        ({"certificate_data": "garbage"}, "PEM or PKCS12"),
        ({"certificate_data": certificate_pem()}, "has no private key"),
        ({"certificate_data": key_pem() + certificate_pem("other")}, "belongs to its private key"),
        ({"certificate_data": key_pem(elliptic=True) + certificate_pem(elliptic=True)}, "must be RSA"),
        ({"certificate_data": key_pem(password=b"x") + certificate_pem()}, "encrypted, give the password"),
        ({"certificate_data": key_pem(password=b"x") + certificate_pem(), "password": "y"}, "password is wrong"),
        ({"certificate_data": as_pfx("x"), "password": "y"}, "password is wrong"),
        ({"certificate_data": as_pfx("x")}, "password is wrong"),
        ({"certificate_data": LEAF, "password": "needless"}, "is not encrypted"),
        ({"password": "x", "certificate_password": "y"}, "password is given twice"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_at_once(
    colour: Colour, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        construct(colour, **options)


@pytest.mark.parametrize("tenant", ["", "a/b", None])
def test_the_tenant_is_checked(colour: Colour, tenant: Any) -> None:
    with pytest.raises(ValueError, match="tenant_id"):
        construct(colour, tenant=tenant)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"authority": "a.example", "authority_host": "b.example"}, "authority is given twice"),
        ({"authority_host": "http://login.example"}, "https"),
        ({"cache_persistence_options": object()}, "cache_persistence_options is not supported"),
        ({"additionally_allowed_tenants": "other"}, "must be a list of strings"),
        ({"connection_verify": False}, "connection_verify"),
        ({"regional_authority": "not a region"}, "regional_authority"),
    ],
)
def test_an_option_that_cannot_be_had_is_named(colour: Colour, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        construct(colour, **options)


def test_an_unknown_option_is_a_type_error_that_names_it(colour: Colour) -> None:
    with pytest.raises(TypeError, match=r"ClientCertificateCredential does not take.*certificat_path"):
        construct(colour, certificat_path="x")


def test_options_of_azure_identity_are_taken(colour: Colour) -> None:
    assert construct(
        colour,
        authority="login.example",
        authority_host="login.example",
        additionally_allowed_tenants=None,
        disable_instance_discovery=True,
        cache_persistence_options=None,
    )


def test_a_credential_shows_neither_key_nor_token(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour, certificate_data=registered(entra, password=PASSWORD), password=PASSWORD)
    token = colour.get_token(credential, SCOPE).token
    shown = f"{credential!r} {vars(credential)} {vars(credential._client)} {credential._client._authentication!r}"
    assert not [hidden for hidden in (token, "PRIVATE", PASSWORD) if hidden in shown]
