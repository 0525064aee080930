from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import pickle
from pathlib import Path
from typing import Any

import jwt
import pytest

from credentials import (
    AuthenticationError,
    ClientAssertion,
    ClientCertificate,
    ClientSecret,
    CredentialUnavailableError,
)
from credentials._client_authentication import ASSERTION_TYPE, TokenRequestFacts
from credentials._flow import CallFunction
from tests.credentials.helpers import NOW, Drive, certificate_der, certificate_pem, key_pem, play, rsa_key

URL = "https://login.example/tenant-a/oauth2/v2.0/token"
LEAF = key_pem() + certificate_pem()


def facts(tenant: str = "tenant-a", **changes: Any) -> TokenRequestFacts:
    usual: dict[str, Any] = {"client_id": "app", "tenant_id": tenant, "token_endpoint": URL, "now": NOW + 0.7}
    return TokenRequestFacts(**(usual | changes))


# Secret


def test_a_secret_is_one_field_of_the_form() -> None:
    played = play(ClientSecret("s3cret").authenticate_flow(facts()))
    assert (played.effects, played.result) == ([], {"client_secret": "s3cret"})


@pytest.mark.parametrize("secret", ["", "  ", None, b"bytes"])
def test_a_secret_must_be_a_text(secret: Any) -> None:
    with pytest.raises(ValueError, match="client_secret"):
        ClientSecret(secret)


@pytest.mark.parametrize("proof", [ClientSecret("s3cret"), ClientAssertion(lambda: "s3cret")])
def test_a_proof_is_not_pickled_and_a_copy_is_the_proof_itself(proof: object) -> None:
    with pytest.raises(TypeError, match=f"^{type(proof).__name__} may hold a secret, so it is not pickled"):
        pickle.dumps(proof)
    assert copy.copy(proof) is proof
    assert copy.deepcopy(proof) is proof


# Certificate


def proof(certificate: ClientCertificate, request: TokenRequestFacts) -> str:
    fields = play(certificate.authenticate_flow(request)).result
    assert list(fields) == ["client_assertion_type", "client_assertion"]
    assert fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" == ASSERTION_TYPE
    return fields["client_assertion"]


def digest(name: str) -> str:
    value = hashlib.new(name, certificate_der()).digest()
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.mark.peer_defect(1)
@pytest.mark.parametrize(
    ("tenant", "algorithm", "thumbprint"),
    [
        ("tenant-a", "PS256", {"x5t#S256": digest("sha256")}),
        ("adfs", "RS256", {"x5t": digest("sha1")}),
        ("ADFS", "RS256", {"x5t": digest("sha1")}),
    ],
)
@pytest.mark.parametrize("send_chain", [False, True])
def test_an_assertion_is_signed_and_names_the_certificate(
    tenant: str, algorithm: str, thumbprint: dict[str, str], send_chain: bool
) -> None:
    data = LEAF + certificate_pem("root")
    assertion = proof(ClientCertificate(data=data, send_certificate_chain=send_chain), facts(tenant))
    chain = [base64.b64encode(certificate_der(name)).decode() for name in ("leaf", "root")]
    expected = {"alg": algorithm, "typ": "JWT", **thumbprint} | ({"x5c": chain} if send_chain else {})
    assert jwt.get_unverified_header(assertion) == expected
    jwt.decode(
        assertion,
        rsa_key().public_key(),
        [algorithm],
        audience=URL,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert "=" not in assertion


@pytest.mark.attack(158)
def test_an_assertion_is_for_this_request_alone() -> None:
    certificate = ClientCertificate(data=LEAF)
    claims = jwt.decode(proof(certificate, facts(assertion_id="one")), options={"verify_signature": False})
    now = int(NOW)
    names = {"aud": URL, "iss": "app", "sub": "app", "jti": "one"}
    assert claims == names | {"iat": now, "nbf": now, "exp": now + 600}


@pytest.mark.attack(158)
def test_each_assertion_has_an_id_of_its_own() -> None:
    certificate = ClientCertificate(data=LEAF)
    assertions = [proof(certificate, facts()) for _ in range(5)]
    ids = {jwt.decode(one, options={"verify_signature": False})["jti"] for one in assertions}
    assert len(ids) == 5


def test_a_certificate_comes_from_a_path_or_from_data(tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(key_pem(password=b"pw") + certificate_pem())
    assert ClientCertificate(str(path), password="pw").certificate.chain == (certificate_der(),)
    for arguments in ({}, {"path": str(path), "data": LEAF}, {"path": "", "data": b""}):
        with pytest.raises(ValueError, match="path or its data"):
            ClientCertificate(**arguments)  # type: ignore[arg-type]  # wrong in every way


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        ClientCertificate(str(tmp_path / "gone"))


# Assertion


async def asynchronous() -> str:
    await asyncio.sleep(0)
    return "proof"


@pytest.mark.parametrize("callback", [lambda: "proof", asynchronous], ids=["plain", "async"])
def test_a_callback_is_asked_for_each_request(drive: Drive, callback: Any) -> None:
    expected = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": "proof"}
    assert drive(ClientAssertion(callback).authenticate_flow(facts())) == expected


def test_a_callback_is_called_by_the_driver_alone() -> None:
    def callback() -> str:
        raise AssertionError("the flow must not call it itself")

    played = play(ClientAssertion(callback).authenticate_flow(facts()), "proof")
    assert played.effects == [CallFunction(callback)]


@pytest.mark.parametrize("value", [None, "", b"proof", 7, ["proof"]])
def test_a_callback_must_return_a_text(value: Any) -> None:
    played = play(ClientAssertion(lambda: value).authenticate_flow(facts()), value)
    assert isinstance(played.error, AuthenticationError)
    assert "must return the assertion" in str(played.error)


def test_a_callback_that_fails_is_an_authentication_error_that_names_its_kind(drive: Drive) -> None:
    def callback() -> str:
        raise LookupError("hidden")

    with pytest.raises(AuthenticationError, match="LookupError") as caught:
        drive(ClientAssertion(callback).authenticate_flow(facts()))
    assert "hidden" not in str(caught.value)
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_callback_that_is_exhausted_is_an_authentication_error(drive: Drive) -> None:
    assertions = iter(["one"])
    authentication = ClientAssertion(lambda: next(assertions))
    drive(authentication.authenticate_flow(facts()))
    with pytest.raises(AuthenticationError, match="callback raised"):
        drive(authentication.authenticate_flow(facts()))


def test_a_credential_error_of_a_callback_comes_through() -> None:
    error = CredentialUnavailableError("not here")
    assert play(ClientAssertion(lambda: "").authenticate_flow(facts()), error).error is error


def test_an_assertion_must_be_a_function() -> None:
    with pytest.raises(ValueError, match="function"):
        ClientAssertion("proof")  # type: ignore[arg-type]  # a usual mistake


def test_a_file_is_read_for_each_request_and_stripped(tmp_path: Path, drive: Drive) -> None:
    path = tmp_path / "token"
    authentication = ClientAssertion.from_file(str(path))
    for content in ("first", "  second\r\n"):
        path.write_text(content)
        fields = drive(authentication.authenticate_flow(facts()))
        assert fields["client_assertion"] == content.strip()


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file"), (b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "not text")]
)
def test_a_file_without_a_token_makes_the_credential_unavailable(
    tmp_path: Path, drive: Drive, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CredentialUnavailableError, match=rf"token.*{problem}"):
        drive(ClientAssertion.from_file(str(path)).authenticate_flow(facts()))


def test_no_authentication_shows_what_it_proves_with(tmp_path: Path) -> None:
    assert repr(ClientSecret("hidden")) == "ClientSecret()"
    assert "PRIVATE" not in repr(ClientCertificate(data=LEAF))
    assert "Certificate()" in repr(ClientCertificate(data=LEAF))
