"""EnvironmentCredential in both colours against the local provider."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import jwt
import pytest

from credentials import ClientAuthenticationError, ClientConfigurationError, CredentialUnavailableError
from credentials import _token_endpoint as token_endpoint
from credentials._environment import EnvironmentCredential
from obo_middleware.testing import LocalEntra
from tests.credentials.federation import SCOPE, ask_at_once, class_of
from tests.credentials.helpers import SECRET, Clock, Colour, certificate_pem, claims_of, key_pem, local_options

PASSWORD = "canary-of-a-password"


class Variables:
    """Set variables, those of an application first."""

    def __init__(self, entra: LocalEntra, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self(AZURE_TENANT_ID=entra.tenant_id, AZURE_CLIENT_ID=entra.api.client_id)

    def __call__(self, **variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                self._patch.delenv(name, raising=False)
            else:
                self._patch.setenv(name, value)


@pytest.fixture
def variables(entra: LocalEntra, monkeypatch: pytest.MonkeyPatch) -> Variables:
    return Variables(entra, monkeypatch)


@pytest.fixture
def certificate(entra: LocalEntra, tmp_path: Path) -> Path:
    """Give the file with a certificate that is registered with the demo API, and its encrypted key."""
    if not entra.api.certificates:
        entra.add_certificate(entra.api, certificate_pem())
    path = tmp_path / "app.pem"
    path.write_bytes(key_pem(password=PASSWORD.encode()) + certificate_pem())
    return path


def made(entra: LocalEntra, colour: Colour, **options: Any) -> Any:
    return class_of(colour, "_environment", "EnvironmentCredential")(**(local_options(entra) | options))


# Tokens


def test_a_secret_comes_first(entra: LocalEntra, colour: Colour, variables: Variables, certificate: Path) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET, AZURE_CLIENT_CERTIFICATE_PATH=str(certificate))
    claims = claims_of(colour.get_token(made(entra, colour), SCOPE).token)
    assert (claims["appid"], claims["appidacr"]) == (entra.api.client_id, "1")
    assert entra.token_requests[0].form["client_secret"] == SECRET


@pytest.mark.peer_defect(25)
@pytest.mark.peer_defect(3)
@pytest.mark.parametrize("secret", [None, "", " "], ids=["not set", "empty", "blank"])
@pytest.mark.parametrize(
    ("chain", "sent"),
    [(None, False), ("", False), ("false", False), ("0", False), ("yes", False), ("1", True), ("True", True)],
)
def test_a_certificate_proves_the_application(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra,
    colour: Colour,
    variables: Variables,
    certificate: Path,
    secret: str | None,
    chain: str | None,
    sent: bool,
) -> None:
    variables(AZURE_CLIENT_SECRET=secret, AZURE_CLIENT_SEND_CERTIFICATE_CHAIN=chain)
    variables(AZURE_CLIENT_CERTIFICATE_PATH=str(certificate), AZURE_CLIENT_CERTIFICATE_PASSWORD=PASSWORD)
    assert claims_of(colour.get_token(made(entra, colour), SCOPE).token)["appidacr"] == "2"
    header = jwt.get_unverified_header(entra.token_requests[0].form["client_assertion"])
    assert ("x5c" in header) == sent


def test_the_environment_is_read_once(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET)
    credential = made(entra, colour)
    variables(AZURE_CLIENT_SECRET=None, AZURE_TENANT_ID=None)
    assert colour.get_token_info(credential, SCOPE).token


def test_additional_tenants_stand_between_semicolons(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    other = entra.add_tenant()
    variables(AZURE_CLIENT_SECRET=SECRET, AZURE_ADDITIONALLY_ALLOWED_TENANTS=f" first.example ; {other.tenant_id};")
    token = colour.get_token(made(entra, colour), SCOPE, tenant_id=other.tenant_id).token
    assert claims_of(token)["tid"] == other.tenant_id
    for given in ([], ["first.example"]):
        with pytest.raises(ClientAuthenticationError, match="additionally_allowed_tenants"):
            colour.get_token(made(entra, colour, additionally_allowed_tenants=given), SCOPE, tenant_id=other.tenant_id)


def test_the_authority_is_the_environments(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET, AZURE_AUTHORITY_HOST=entra.authority)
    assert colour.get_token(made(entra, colour, authority=None), SCOPE).token
    variables(AZURE_AUTHORITY_HOST="http://login.example")
    with pytest.raises(ValueError, match="must use https"):
        made(entra, colour, authority=None)


def test_many_callers_share_one_exchange(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET)
    entra.think_time = 0.05
    assert len(set(ask_at_once(colour, made(entra, colour)))) == 1
    assert entra.requests_to("token") == 1


def test_a_token_survives_an_outage(colour: Colour, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    with LocalEntra(clock=clock, token_lifetime=3600, refresh_in=1800) as entra:
        Variables(entra, monkeypatch)(AZURE_CLIENT_SECRET=SECRET)
        credential = made(entra, colour)
        token = colour.get_token(credential, SCOPE)
        entra.outage(503)
        clock.now += 1800
        assert colour.get_token(credential, SCOPE) == token


# What is missing


def unavailable(entra: LocalEntra, colour: Colour) -> str:
    with pytest.raises(CredentialUnavailableError) as caught:
        colour.get_token(made(entra, colour), SCOPE)
    assert entra.requests_to("token") == 0
    assert str(caught.value).startswith("EnvironmentCredential authentication unavailable. ")
    return str(caught.value)


@pytest.mark.parametrize("name", ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"])
@pytest.mark.parametrize("value", [None, "", " "], ids=["not set", "empty", "blank"])
def test_a_variable_that_is_missing_is_named(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra, colour: Colour, variables: Variables, name: str, value: str | None, certificate: Path
) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET)
    variables(**{name: value})
    text = unavailable(entra, colour)
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH")
    pair = {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"}
    assert {each for each in names if each in text} == (pair if name in pair else {name})
    assert "AZURE_USERNAME" not in text


@pytest.mark.parametrize("name", ["AZURE_USERNAME", "AZURE_PASSWORD"])
def test_user_names_and_passwords_are_not_supported(
    entra: LocalEntra, colour: Colour, variables: Variables, name: str
) -> None:
    variables(**{name: "canary-of-a-user"})
    text = unavailable(entra, colour)
    assert "user names and passwords are not supported" in text
    assert "canary" not in text


def test_a_certificate_file_that_is_not_there_is_told_when_a_token_is_asked_for(
    entra: LocalEntra, colour: Colour, variables: Variables, tmp_path: Path
) -> None:
    variables(AZURE_CLIENT_CERTIFICATE_PATH=str(tmp_path / "gone.pem"))
    text = unavailable(entra, colour)
    assert "AZURE_CLIENT_CERTIFICATE_PATH" in text
    assert "gone.pem" in text


# What is malformed


def test_a_malformed_tenant_names_its_variable(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    variables(AZURE_TENANT_ID="a/b")
    with pytest.raises(ValueError, match="AZURE_TENANT_ID is not valid"):
        made(entra, colour)


def test_what_is_no_text_is_refused_in_our_terms(entra: LocalEntra, colour: Colour, variables: Variables) -> None:
    variables(AZURE_CLIENT_SECRET="\udcff")
    with pytest.raises(ClientConfigurationError):
        colour.get_token(made(entra, colour), SCOPE)
    variables(AZURE_CLIENT_ID="\udcff")
    with pytest.raises(ValueError, match="client_id must be"):
        made(entra, colour)


@pytest.mark.parametrize("content", [b"", b"garbage", certificate_pem()], ids=["empty", "garbage", "no key"])
def test_a_file_that_is_no_certificate_names_its_variable(
    entra: LocalEntra, colour: Colour, variables: Variables, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(content)
    variables(AZURE_CLIENT_CERTIFICATE_PATH=str(path))
    with pytest.raises(ValueError, match="AZURE_CLIENT_CERTIFICATE_PATH: the certificate"):
        made(entra, colour)


@pytest.mark.parametrize("password", ["canary-wrong", "canary-\udcff"])
def test_a_wrong_password_names_its_variable(
    entra: LocalEntra, colour: Colour, variables: Variables, certificate: Path, password: str
) -> None:
    variables(AZURE_CLIENT_CERTIFICATE_PATH=str(certificate), AZURE_CLIENT_CERTIFICATE_PASSWORD=password)
    with pytest.raises(ValueError, match=r"AZURE_CLIENT_CERTIFICATE_PASSWORD.*password is wrong") as caught:
        made(entra, colour)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_unknown_options_are_refused(
    entra: LocalEntra, colour: Colour, variables: Variables, secret: str | None
) -> None:
    variables(AZURE_CLIENT_SECRET=secret)
    for name in ("tenant_id", "authentication", "send_flow"):
        with pytest.raises(TypeError, match=f"EnvironmentCredential does not take the option {name}"):
            made(entra, colour, **{name: "x"})
    with pytest.raises(ValueError, match="must be a list"):
        made(entra, colour, additionally_allowed_tenants="one")


# What is told, shown and pickled


def test_the_log_tells_how_it_authenticates_or_what_is_missing(
    entra: LocalEntra, colour: Colour, variables: Variables, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="credentials"):
        made(entra, colour)
        variables(AZURE_CLIENT_CERTIFICATE_PATH=str(certificate), AZURE_CLIENT_CERTIFICATE_PASSWORD=PASSWORD)
        made(entra, colour)
        variables(AZURE_CLIENT_SECRET=SECRET)
        made(entra, colour)
    missing, with_certificate, with_secret = [record.getMessage() for record in caplog.records]
    assert "AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH" in missing
    assert with_certificate.endswith("ClientCertificate")
    assert with_secret.endswith("ClientSecret")


def test_secrets_are_never_shown(
    entra: LocalEntra,
    colour: Colour,
    variables: Variables,
    certificate: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown: list[str] = []
    variables(AZURE_CLIENT_CERTIFICATE_PATH=str(certificate), AZURE_CLIENT_CERTIFICATE_PASSWORD=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        for secret in (None, SECRET, "canary-of-a-wrong-secret"):
            variables(AZURE_CLIENT_SECRET=secret)
            credential = made(entra, colour)
            try:
                shown.append(repr(colour.get_token(credential, SCOPE)))
            except ClientAuthenticationError as error:
                shown += [str(error), repr(error), repr(vars(error))]
            shown += [repr(credential), repr(vars(credential)), repr(vars(credential._client))]
    everything = "\n".join([*shown, caplog.text])
    key = key_pem(password=PASSWORD.encode()).decode().splitlines()[1]
    assert not [text for text in (SECRET, PASSWORD, "canary-of-a-wrong-secret", key) if text in everything]


def test_it_is_pickled_without_secret_and_made_anew_from_the_environment(
    entra: LocalEntra, colour: Colour, variables: Variables
) -> None:
    variables(AZURE_CLIENT_SECRET=SECRET)
    credential = made(entra, colour)
    colour.get_token(credential, SCOPE)
    pickled = pickle.dumps(credential)
    assert SECRET.encode() not in pickled
    assert colour.get_token(pickle.loads(pickled), SCOPE).token  # noqa: S301  # our own
    variables(AZURE_CLIENT_SECRET=None)
    with pytest.raises(CredentialUnavailableError):
        colour.get_token(pickle.loads(pickled), SCOPE)  # noqa: S301  # our own


def test_nothing_is_opened_where_something_is_missing() -> None:
    with EnvironmentCredential() as credential:
        assert credential._pool._ssl_context.get_ca_certs() == []
