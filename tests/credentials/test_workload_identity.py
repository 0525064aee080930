"""WorkloadIdentityCredential in both colours against the local provider."""

from __future__ import annotations

import logging
import os
import pickle
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from credentials import AuthenticationError, ClientAuthenticationError, ClientCertificate, CredentialUnavailableError
from credentials import _token_endpoint as token_endpoint
from credentials._authority import Authority
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine
from credentials._flow import SendRequest
from credentials._token_proxy import TokenProxy
from credentials._workload_identity import WorkloadIdentityCredential, WorkloadIdentityFamily
from obo_middleware.testing import LocalEntra
from tests.credentials.federation import SCOPE, ask_at_once, class_of, foreign_token, trust_issuer
from tests.credentials.helpers import (
    Clock,
    Colour,
    certificate_pem,
    claims_of,
    key_pem,
    local_options,
    play,
    token_answer,
)

VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")
ARGUMENTS = ("tenant_id", "client_id", "token_file_path")


@pytest.fixture
def file(entra: LocalEntra, tmp_path: Path) -> Path:
    """Give the file with the service account's token, as Kubernetes would put it there."""
    trust_issuer(entra)
    path = tmp_path / "azure-identity-token"
    path.write_text(foreign_token())
    return path


def made(entra: LocalEntra, colour: Colour, file: Path, **options: Any) -> Any:
    usual = {"tenant_id": entra.tenant_id, "client_id": entra.api.client_id, "token_file_path": str(file)}
    return class_of(colour, "_workload_identity", "WorkloadIdentityCredential")(
        **(local_options(entra) | usual | options)
    )


# Tokens


def test_the_token_in_the_file_proves_the_application(entra: LocalEntra, colour: Colour, file: Path) -> None:
    claims = claims_of(colour.get_token(made(entra, colour, file), SCOPE).token)
    assert (claims["appid"], claims["appidacr"]) == (entra.api.client_id, "2")
    form = dict(entra.token_requests[0].form)
    assert form == {
        "client_id": entra.api.client_id,
        "grant_type": "client_credentials",
        "scope": SCOPE,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": file.read_text(),
    }


def test_what_stands_in_the_environment_is_used(
    entra: LocalEntra, colour: Colour, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, (entra.tenant_id, entra.api.client_id, str(file)), strict=True):
        monkeypatch.setenv(name, value)
    credential = class_of(colour, "_workload_identity", "WorkloadIdentityCredential")(**local_options(entra))
    assert colour.get_token_info(credential, SCOPE).token


def test_arguments_come_before_the_environment(
    entra: LocalEntra, colour: Colour, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "elsewhere")
    assert colour.get_token(made(entra, colour, file), SCOPE).token


def test_the_path_may_be_an_object(entra: LocalEntra, colour: Colour, file: Path) -> None:
    assert colour.get_token(made(entra, colour, file, token_file_path=file), SCOPE).token


@pytest.mark.peer_defect(17)
def test_the_file_is_read_for_each_exchange_and_stripped(entra: LocalEntra, colour: Colour, file: Path) -> None:
    credential = made(entra, colour, file)
    colour.get_token(credential, SCOPE)
    renewed = foreign_token(jti="renewed")
    file.write_text(f"\n {renewed}\n")
    colour.get_token(credential, SCOPE)
    colour.get_token(credential, SCOPE, claims="{}")
    sent = [request.form["client_assertion"] for request in entra.token_requests]
    assert sent == [foreign_token(), renewed]


def test_another_allowed_tenant_is_asked(entra: LocalEntra, colour: Colour, file: Path) -> None:
    other = entra.add_tenant()
    credential = made(entra, colour, file, additionally_allowed_tenants=["*"])
    assert claims_of(colour.get_token(credential, SCOPE, tenant_id=other.tenant_id).token)["tid"] == other.tenant_id
    with pytest.raises(ValueError, match="tenant_id"):
        colour.get_token(credential, SCOPE, tenant_id="x/../y?z")


def test_many_callers_share_one_exchange(entra: LocalEntra, colour: Colour, file: Path) -> None:
    entra.think_time = 0.05
    assert len(set(ask_at_once(colour, made(entra, colour, file)))) == 1
    assert entra.requests_to("token") == 1


def test_a_token_survives_the_loss_of_the_file(colour: Colour, clock: Clock, tmp_path: Path) -> None:
    with LocalEntra(clock=clock, token_lifetime=3600, refresh_in=1800) as entra:
        trust_issuer(entra)
        path = tmp_path / "token"
        path.write_text(foreign_token())
        credential = made(entra, colour, path)
        token = colour.get_token(credential, SCOPE)
        path.unlink()
        clock.now += 1800
        assert colour.get_token(credential, SCOPE) == token
        clock.now += 1800
        with pytest.raises(CredentialUnavailableError, match="token"):
            colour.get_token(credential, SCOPE)
        path.write_text(foreign_token())
        assert colour.get_token(credential, SCOPE) != token


# What is missing


@pytest.mark.parametrize("absent", range(3))
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_is_named_when_a_token_is_asked_for(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra, colour: Colour, file: Path, absent: int, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[absent], "")
    credential = made(entra, colour, file, **{ARGUMENTS[absent]: value})
    with pytest.raises(CredentialUnavailableError) as caught:
        colour.get_token(credential, SCOPE)
    named = [name for name in (*VARIABLES, *ARGUMENTS) if name in str(caught.value)]
    assert named == [VARIABLES[absent], ARGUMENTS[absent]]


def test_everything_that_is_missing_is_named_at_once(colour: Colour) -> None:
    credential = class_of(colour, "_workload_identity", "WorkloadIdentityCredential")()
    with pytest.raises(CredentialUnavailableError) as caught:
        colour.get_token(credential, SCOPE)
    assert all(name in str(caught.value) for name in (*VARIABLES, *ARGUMENTS))
    with pytest.raises(ValueError, match="at least one scope"):
        colour.get_token(credential)


@pytest.mark.peer_defect(10)
@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", None], ids=["empty", "blank", "no text", "gone"])
def test_a_file_that_cannot_be_used_is_named(
    entra: LocalEntra, colour: Colour, file: Path, content: bytes | None
) -> None:
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(CredentialUnavailableError, match="azure-identity-token"):
        colour.get_token(made(entra, colour, file), SCOPE)
    assert entra.requests_to("token") == 0


@pytest.mark.parametrize("path", ["", "no\0file"])
def test_a_path_that_is_none_is_told(entra: LocalEntra, colour: Colour, tmp_path: Path, path: str) -> None:
    with pytest.raises(CredentialUnavailableError):
        colour.get_token(made(entra, colour, tmp_path, token_file_path=f"{tmp_path}/{path}"), SCOPE)


# Construction


@pytest.mark.peer_defect(17)
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tenant_id": "a/b"}, "tenant_id is not valid"),
        ({"tenant_id": 5}, "tenant_id must be a string"),
        ({"client_id": b"id"}, "client_id"),
        ({"client_id": "  "}, "client_id"),
        ({"token_file_path": b"/file"}, "token_file_path"),
        ({"authority": "http://login.example"}, "https"),
        ({"connection_verify": False}, "connection_verify"),
        ({"additionally_allowed_tenants": "one"}, "additionally_allowed_tenants"),
    ],
)
def test_malformed_arguments_are_refused_at_once(colour: Colour, options: dict[str, Any], problem: str) -> None:
    usual: dict[str, Any] = {"tenant_id": "tenant", "client_id": "client", "token_file_path": "file"}
    kind = class_of(colour, "_workload_identity", "WorkloadIdentityCredential")
    with pytest.raises(ValueError, match=problem):
        kind(**(usual | options))


def test_a_malformed_tenant_in_the_environment_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "a b")
    with pytest.raises(ValueError, match="AZURE_TENANT_ID is not valid"):
        WorkloadIdentityCredential()


def test_an_unknown_option_is_refused_although_something_is_missing(colour: Colour) -> None:
    kind = class_of(colour, "_workload_identity", "WorkloadIdentityCredential")
    with pytest.raises(TypeError, match="WorkloadIdentityCredential does not take the option tenant"):
        kind(tenant="x")
    with pytest.raises(ValueError, match="connection_verify"):
        kind(connection_verify=False)


def test_the_logic_alone_can_be_had_without_colour() -> None:
    assert WorkloadIdentityFamily(tenant_id="t", client_id="c", token_file_path="f")._pools()


def test_nothing_is_opened_and_no_authority_loaded_where_something_is_missing() -> None:
    context = WorkloadIdentityCredential()._pool._ssl_context
    assert context.get_ca_certs() == []


# Nothing is shown, nothing secret pickled


def test_it_is_pickled_as_its_arguments(entra: LocalEntra, colour: Colour, file: Path) -> None:
    credential = made(entra, colour, file)
    token = colour.get_token(credential, SCOPE).token
    pickled = pickle.dumps(credential)
    assert token.encode() not in pickled
    assert file.read_bytes() not in pickled
    again = pickle.loads(pickled)  # noqa: S301  # our own
    assert type(again) is type(credential)
    assert colour.get_token(again, SCOPE).token != token


def test_the_assertion_is_never_shown(
    entra: LocalEntra,
    colour: Colour,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    opaque = "canary-of-an-opaque-assertion"
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for content in (opaque, foreign_token(sub="somebody else"), foreign_token()):
            file.write_text(content)
            credential = made(entra, colour, file)
            try:
                colour.get_token(credential, SCOPE)
            except ClientAuthenticationError as error:
                shown += [str(error), repr(error), repr(vars(error))]
            shown += [repr(credential), repr(vars(credential)), repr(vars(credential._client))]
    everything = "\n".join([*shown, caplog.text])
    hidden = [opaque, foreign_token(), foreign_token(sub="somebody else")]
    assert not [text for text in hidden if text in everything or text.split(".")[-1] in everything]


def test_a_subject_that_is_not_trusted_is_told(entra: LocalEntra, colour: Colour, file: Path) -> None:
    file.write_text(foreign_token(sub="system:serviceaccount:shop:other"))
    with pytest.raises(AuthenticationError, match="AADSTS700213") as caught:
        colour.get_token(made(entra, colour, file), SCOPE)
    assert caught.value.error_codes == (700213,)
    assert os.fspath(file) not in str(caught.value)


# The proxy changes no more than the way


def test_a_signed_assertion_is_for_the_token_endpoint_and_not_for_the_proxy() -> None:
    client = ConfidentialClient(
        authority=Authority("https://login.example"),
        tenant_id="tenant",
        client_id="client",
        authentication=ClientCertificate(data=key_pem() + certificate_pem()),
        engine=TokenEngine(clock=Clock()),
        send_flow=TokenProxy("https://proxy").send_flow,
    )
    [effect] = play(client.token_flow(client.query((SCOPE,))), token_answer()).effects
    assert isinstance(effect, SendRequest)
    assert effect.request.url == "https://proxy/tenant/oauth2/v2.0/token"
    [assertion] = urllib.parse.parse_qs(effect.request.body.decode())["client_assertion"]
    assert claims_of(assertion)["aud"] == "https://login.example/tenant/oauth2/v2.0/token"
