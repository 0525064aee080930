from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from obo_middleware.testing import FederatedCredential, LocalEntra, SigningKey, foreign_key
from obo_middleware.testing._jws import _segment, encode_base64url
from tests.testing.kit import (
    JWT_BEARER,
    NOW,
    ask,
    assertion_claims,
    assertion_form,
    claims_of,
    client_credentials_form,
    refusal,
    registered_key,
    token_url,
)


def test_a_secret_is_proof(entra: LocalEntra, http: httpx.Client) -> None:
    response = ask(entra, http, client_credentials_form(entra))
    assert claims_of(response.json()["access_token"])["appidacr"] == "1"


def test_a_wrong_secret_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    response = ask(entra, http, client_credentials_form(entra, client_secret="guess"))
    assert refusal(response) == (401, "invalid_client", 7000215)


def test_an_expired_secret_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    entra.add_secret(entra.api, "old", expires_on=NOW)
    response = ask(entra, http, client_credentials_form(entra, client_secret="old"))
    assert refusal(response) == (401, "invalid_client", 7000222)


def test_a_secret_not_yet_expired_is_taken(entra: LocalEntra, http: httpx.Client) -> None:
    entra.add_secret(entra.api, "new", expires_on=NOW + 1)
    assert ask(entra, http, client_credentials_form(entra, client_secret="new")).status_code == 200


def test_no_proof_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    form = client_credentials_form(entra)
    del form["client_secret"]
    assert refusal(ask(entra, http, form)) == (401, "invalid_client", 7000218)


def test_a_public_client_cannot_act_as_itself(entra: LocalEntra, http: httpx.Client) -> None:
    form = client_credentials_form(entra, client_id=entra.client.client_id)
    assert refusal(ask(entra, http, form))[:2] == (401, "invalid_client")


def test_a_public_client_has_no_secret(entra: LocalEntra, http: httpx.Client) -> None:
    form = client_credentials_form(entra, client_id=entra.client.client_id, grant_type="refresh_token")
    assert refusal(ask(entra, http, form)) == (401, "invalid_client", 700025)


def test_an_unknown_application_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    response = ask(entra, http, client_credentials_form(entra, client_id="nobody"))
    assert refusal(response) == (400, "unauthorized_client", 700016)


@pytest.mark.parametrize("name", ["grant_type", "client_id", "scope"])
def test_a_missing_field_is_named(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    form = client_credentials_form(entra)
    del form[name]
    response = ask(entra, http, form)
    assert refusal(response) == (400, "invalid_request", 900144)
    assert f"'{name}'" in response.json()["error_description"]


def test_a_doubled_field_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    body = "grant_type=client_credentials&grant_type=refresh_token"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = http.post(token_url(entra), content=body, headers=headers)
    assert refusal(response) == (400, "invalid_request", 9000411)


def test_a_body_that_is_no_form_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    response = http.post(token_url(entra), json=client_credentials_form(entra))
    assert refusal(response) == (400, "invalid_request", 900144)


def test_an_unknown_grant_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    response = ask(entra, http, client_credentials_form(entra, grant_type="password"))
    assert refusal(response) == (400, "unsupported_grant_type", 70003)


# Certificates


def sha256(key: SigningKey) -> str:
    return encode_base64url(key.certificate.fingerprint(hashes.SHA256()))


def by_ps256(key: SigningKey, claims: dict[str, Any]) -> str:
    """Sign as azure-identity does: PS256, the longer thumbprint, and padding that does not belong there."""
    text = f"{_segment({'alg': 'PS256', 'typ': 'JWT', 'x5t#S256': sha256(key)})}.{_segment(claims)}"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    signature = key.private_key.sign(text.encode(), pss, hashes.SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode()}"


def test_a_certificate_is_proof(entra: LocalEntra, http: httpx.Client) -> None:
    key = registered_key(entra)
    response = ask(entra, http, assertion_form(entra, key.sign(assertion_claims(entra))))
    assert claims_of(response.json()["access_token"])["appidacr"] == "2"


def test_ps256_with_the_long_thumbprint_and_padding_is_taken(entra: LocalEntra, http: httpx.Client) -> None:
    assertion = by_ps256(registered_key(entra), assertion_claims(entra))
    assert assertion.endswith("=")
    assert ask(entra, http, assertion_form(entra, assertion)).status_code == 200


def test_a_certificate_issued_here_is_registered(entra: LocalEntra, http: httpx.Client) -> None:
    pem = entra.issue_certificate(entra.api)
    private = serialization.load_pem_private_key(pem, None)
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.public_key() == private.public_key()
    assert len(entra.api.certificates) == 1


def test_only_rsa_certificates_can_be_registered(entra: LocalEntra) -> None:
    name = x509.Name([])
    key = ec.generate_private_key(ec.SECP256R1())
    moment = x509.load_pem_x509_certificate(foreign_key().pem).not_valid_before_utc
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(moment).not_valid_after(moment)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ValueError, match="RSA"):
        entra.add_certificate(entra.api, pem)


@pytest.mark.parametrize("name", ["tenant issuer", "v1 issuer", "endpoint"])
def test_an_assertion_may_be_for_issuer_or_endpoint(entra: LocalEntra, http: httpx.Client, name: str) -> None:
    audiences = {
        "tenant issuer": entra.issuer,
        "v1 issuer": f"{entra.authority}/sts/{entra.tenant_id}/",
        "endpoint": token_url(entra),
    }
    assertion = registered_key(entra).sign(assertion_claims(entra, aud=audiences[name]))
    assert ask(entra, http, assertion_form(entra, assertion)).status_code == 200


def test_a_shared_endpoint_is_an_audience_too(entra: LocalEntra, http: httpx.Client) -> None:
    key = registered_key(entra)
    assertion = key.sign(assertion_claims(entra, aud=token_url(entra, "organizations")))
    form = assertion_form(entra, assertion, grant_type=JWT_BEARER, assertion=entra.sign_in("alice"))
    form |= {"requested_token_use": "on_behalf_of"}
    assert ask(entra, http, form, "organizations").status_code == 200


BAD_CLAIMS: dict[str, tuple[dict[str, Any], int]] = {
    "for somebody else": ({"aud": "https://elsewhere.example"}, 700023),
    "for a list": ({"aud": ["x"]}, 700023),
    "expired": ({"exp": NOW}, 700024),
    "without an end": ({"exp": None}, 700024),
    "with a text as end": ({"exp": str(NOW + 9)}, 700024),
    "with a truth as beginning": ({"nbf": True}, 700024),
    "more than a day long": ({"exp": NOW + 86_401}, 700024),
    "not yet valid": ({"nbf": NOW + 1}, 700024),
    "without an id": ({"jti": ""}, 50027),
    "about another subject": ({"sub": "somebody"}, 700021),
    "by another issuer": ({"iss": "somebody"}, 700021),
}


@pytest.mark.parametrize(("changes", "code"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_an_assertion_is_refused(entra: LocalEntra, http: httpx.Client, changes: dict[str, Any], code: int) -> None:
    assertion = registered_key(entra).sign(assertion_claims(entra, **changes))
    assert refusal(ask(entra, http, assertion_form(entra, assertion))) == (401, "invalid_client", code)


def test_an_unregistered_certificate_is_refused(entra: LocalEntra, http: httpx.Client) -> None:
    registered_key(entra)
    assertion = foreign_key().sign(assertion_claims(entra))
    assert refusal(ask(entra, http, assertion_form(entra, assertion))) == (401, "invalid_client", 700027)


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
def test_a_signature_by_another_key_is_refused(entra: LocalEntra, http: httpx.Client, algorithm: str) -> None:
    header = {"x5t": registered_key(entra).kid, "alg": algorithm}
    assertion = foreign_key().sign(assertion_claims(entra), header)
    assert refusal(ask(entra, http, assertion_form(entra, assertion))) == (401, "invalid_client", 700027)


def test_a_chain_must_begin_with_the_registered_certificate(entra: LocalEntra, http: httpx.Client) -> None:
    key = registered_key(entra)
    claims = assertion_claims(entra)
    answers = []
    for chain in (key.jwk["x5c"], foreign_key().jwk["x5c"], [], "text", ["!"]):
        assertion = key.sign(claims, {"x5c": chain})
        answers.append(ask(entra, http, assertion_form(entra, assertion)).status_code)
    assert answers == [200, 401, 401, 401, 401]


@pytest.mark.parametrize("text", ["opaque", "a.b.c", "bm8.bm8.bm8", "W10.W10.W10", "ä.b.c", "!!.!!.!!"])
def test_an_assertion_that_is_no_token_is_refused(entra: LocalEntra, http: httpx.Client, text: str) -> None:
    assert refusal(ask(entra, http, assertion_form(entra, text))) == (401, "invalid_client", 50027)


def test_the_type_of_an_assertion_must_be_said(entra: LocalEntra, http: httpx.Client) -> None:
    form = assertion_form(entra, "x", client_assertion_type="urn:saml")
    assert refusal(ask(entra, http, form)) == (400, "invalid_request", 90023)


def test_an_assertion_is_taken_again_as_entra_does(entra: LocalEntra, http: httpx.Client) -> None:
    form = assertion_form(entra, registered_key(entra).sign(assertion_claims(entra)))
    assert [ask(entra, http, form).status_code for _ in range(2)] == [200, 200]


def test_an_assertion_is_taken_once_where_that_is_asked_for(http: httpx.Client) -> None:
    with LocalEntra(single_use_assertions=True) as entra:
        form = assertion_form(entra, registered_key(entra).sign(assertion_claims(entra)))
        assert ask(entra, http, form).status_code == 200
        assert refusal(ask(entra, http, form)) == (401, "invalid_client", 700027)


# Federation

ISSUER, SUBJECT, AUDIENCE = "https://cluster.example", "system:serviceaccount:a:b", "api://AzureADTokenExchange"


@pytest.fixture
def trusting(entra: LocalEntra) -> LocalEntra:
    key = foreign_key()
    entra.update_app(entra.api, federated=(FederatedCredential(ISSUER, SUBJECT, {key.kid: key.jwk}),))
    return entra


def foreign_claims(**changes: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": NOW + 3600} | changes


def test_a_foreign_token_is_proof_where_it_is_trusted(trusting: LocalEntra, http: httpx.Client) -> None:
    response = ask(trusting, http, assertion_form(trusting, foreign_key().sign(foreign_claims())))
    assert claims_of(response.json()["access_token"])["appidacr"] == "2"


BAD_FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "another issuer": ({"iss": "https://other.example"}, {}, 700211),
    "another subject": ({"sub": "system:serviceaccount:a:c"}, {}, 700213),
    "another audience": ({"aud": "api://other"}, {}, 700212),
    "an end that is past": ({"exp": NOW}, {}, 700024),
    "an unknown key": ({}, {"kid": "unknown"}, 700027),
    "no key": ({}, {"kid": None}, 700027),
}


@pytest.mark.parametrize(("changes", "header", "code"), BAD_FOREIGN.values(), ids=BAD_FOREIGN)
def test_a_foreign_token_is_refused_with(
    trusting: LocalEntra, http: httpx.Client, changes: dict[str, Any], header: dict[str, Any], code: int
) -> None:
    assertion = foreign_key().sign(foreign_claims(**changes), header)
    assert refusal(ask(trusting, http, assertion_form(trusting, assertion))) == (401, "invalid_client", code)
