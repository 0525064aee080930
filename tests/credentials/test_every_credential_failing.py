"""How every credential fails, in both colours: valid tokens outlive any trouble, and errors say what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import credentials
from credentials import AuthenticationError, ClientAuthenticationError, CredentialUnavailableError, aio
from tests.credentials import every as kinds
from tests.credentials.every import EVERY, NEEDY
from tests.credentials.helpers import Colour
from tests.credentials.places import BLOCKING, Every
from tests.credentials.stand_ins import AGED, LIFE, REFUSAL

BACK_OFF = 31
TROUBLES = ("fail", "be_gone", "talk_garbage", "refuse")
"""What a stand-in can be told to do."""


def _check_that_it_survives(every: Every, colour: Colour, begin: Callable[[], None]) -> None:
    """Check that a token is served to its end while there is trouble, and that an error comes then."""
    credential, scope = every.make(colour.name), every.scopes[0]
    first = colour.get_token(credential, scope).token
    begin()
    every.clock.now += AGED
    assert colour.get_token(credential, scope).token == first
    every.clock.now += BACK_OFF
    assert colour.get_token_info(credential, scope).token == first
    every.clock.now += LIFE - AGED - BACK_OFF
    with pytest.raises(ClientAuthenticationError):
        colour.get_token(credential, scope)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_valid_token_outlives_every_trouble_of_its_giver(every: Every, colour: Colour, trouble: str) -> None:
    _check_that_it_survives(every, colour, getattr(every.stand_in, trouble))


@pytest.mark.parametrize("every", NEEDY, indirect=True, ids=lambda kind: kind.__name__)
def test_a_valid_token_outlives_the_loss_of_what_its_class_needs(every: Every, colour: Colour) -> None:
    _check_that_it_survives(every, colour, every.lose)


@pytest.mark.parametrize("trouble", [name for name in TROUBLES if name != "be_gone"])
def test_when_the_trouble_is_over_the_next_token_is_new(every: Every, colour: Colour, trouble: str) -> None:
    credential, scope = every.make(colour.name), every.scopes[0]
    getattr(every.stand_in, trouble)()
    with pytest.raises(ClientAuthenticationError):
        colour.get_token(credential, scope)
    every.clock.now += BACK_OFF
    every.stand_in.recover()
    assert colour.get_token_info(credential, scope).expires_on > every.clock.now


# Errors

# PowerShell's own trouble cannot be told from a refusal: it counts as unavailable, and the log says more.
TELLING = [kind for kind in EVERY if kind is not kinds.AzurePowerShell]


@pytest.mark.parametrize("every", TELLING, indirect=True, ids=lambda kind: kind.__name__)
def test_a_refusal_carries_what_the_giver_said(every: Every, colour: Colour) -> None:
    every.stand_in.refuse()
    with pytest.raises(AuthenticationError) as caught:
        colour.get_token(every.make(colour.name), every.scopes[0])
    error = caught.value
    assert not isinstance(error, CredentialUnavailableError)
    assert "AADSTS700016" in error.error_description
    assert (error.status_code, error.error, error.correlation_id, error.trace_id) == (
        (401, REFUSAL["error"], "the-correlation", "the-trace") if every.speaks_http else (None, None, "", "")
    )


MISSING: dict[type[Every], str] = {
    kinds.WorkloadIdentity: "AZURE_FEDERATED_TOKEN_FILE",
    kinds.AzurePipelines: "SYSTEM_OIDCREQUESTURI",
    kinds.Environment: "AZURE_CLIENT_SECRET",
    kinds.AppService: "IDENTITY_HEADER",
    kinds.TokenExchange: "AZURE_CLIENT_ID",
    kinds.AzureCli: "PATH",
    kinds.AzureDeveloperCli: "PATH",
    kinds.AzurePowerShell: "PATH",
    kinds.Default: "AZURE_FEDERATED_TOKEN_FILE",
}
TO_SET_UP = {"AzureCliCredential": "az login", "AzureDeveloperCliCredential": "azd auth login"}
TO_SET_UP["AzurePowerShellCredential"] = "Connect-AzAccount"


@pytest.mark.parametrize("every", MISSING, indirect=True, ids=lambda kind: kind.__name__)
def test_a_variable_that_is_missing_is_named(every: Every, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = MISSING[type(every)]
    monkeypatch.delenv(variable)
    if variable == "PATH":
        monkeypatch.setenv("PATH", "/nowhere")
    credential = every.make(colour.name)
    with pytest.raises(CredentialUnavailableError, match=TO_SET_UP.get(every.name, variable)):
        colour.get_token(credential, every.scopes[0])
    assert every.stand_in.count == 0


MALFORMED: dict[type[Every], str] = {
    kinds.AzurePipelines: "SYSTEM_OIDCREQUESTURI",
    kinds.AppService: "IDENTITY_ENDPOINT",
    kinds.AzureMl: "MSI_ENDPOINT",
    kinds.CloudShell: "MSI_ENDPOINT",
    kinds.Imds: "AZURE_POD_IDENTITY_AUTHORITY_HOST",
}


@pytest.mark.parametrize("every", MALFORMED, indirect=True, ids=lambda kind: kind.__name__)
def test_an_address_in_the_environment_that_is_none_is_named(
    every: Every, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MALFORMED[type(every)], "http://user@host:port/#")
    with pytest.raises(CredentialUnavailableError, match=MALFORMED[type(every)]):
        colour.get_token(every.make(colour.name), every.scopes[0])


@pytest.mark.parametrize("every", NEEDY, indirect=True, ids=lambda kind: kind.__name__)
def test_what_is_lost_makes_a_credential_unavailable(every: Every, colour: Colour) -> None:
    every.lose()
    told = re.escape(str(every.file)) if isinstance(every, kinds.WithAFile) else "SYSTEM_OIDC|nstall"
    kind: Any = CredentialUnavailableError
    if isinstance(every, kinds.ClientAssertion):
        # What a function of the user's raises says nothing about this machine.
        kind, told = AuthenticationError, "FileNotFoundError"
    with pytest.raises(kind, match=told):
        colour.get_token(every.make(colour.name), every.scopes[0])
    assert every.stand_in.count == 0


# Constructors

APPLICATION = ("tenant", "client")
BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("OnBehalfOfCredential", APPLICATION, {"client_secret": "s"}, "user_assertion"),
    ("OnBehalfOfCredential", APPLICATION, {"user_assertion": b"t", "client_secret": "s"}, "user_assertion"),
    ("OnBehalfOfCredential", APPLICATION, {"user_assertion": "t"}, "client_secret"),
    ("OnBehalfOfCredential", APPLICATION, {"user_assertion": "t", "client_secret": 7}, "client_secret"),
    ("OnBehalfOfCredential", APPLICATION, {"user_assertion": "t", "client_certificate": b"x"}, "certificate"),
    ("OnBehalfOfCredential", ("a/b", "client"), {"user_assertion": "t", "client_secret": "s"}, "tenant_id"),
    ("ClientSecretCredential", ("a b", "client", "s"), {}, "tenant_id"),
    ("ClientSecretCredential", ("tenant", 5, "s"), {}, "client_id"),
    ("ClientSecretCredential", (*APPLICATION, b"s"), {}, "client_secret"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"authority": "http://login.example"}, "https"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"authority": 7}, "authority"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"additionally_allowed_tenants": "x"}, "additionally_allowed"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"cache_persistence_options": {}}, "cache_persistence_options"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"connection_verify": False}, "connection_verify"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"connection_verify": "/nowhere"}, "connection_verify"),
    ("ClientSecretCredential", (*APPLICATION, "s"), {"regional_authority": "a/b"}, "regional_authority|region"),
    ("ClientCertificateCredential", APPLICATION, {}, "certificate"),
    ("ClientCertificateCredential", (*APPLICATION, "/nowhere"), {}, "/nowhere"),
    ("ClientCertificateCredential", APPLICATION, {"certificate_data": b"\xff\x00"}, "certificate"),
    ("ClientCertificateCredential", APPLICATION, {"certificate_data": "\ud800"}, "certificate"),
    ("ClientCertificateCredential", (*APPLICATION, "\0"), {}, "certificate"),
    ("ClientAssertionCredential", APPLICATION, {}, "client assertion"),
    ("ClientAssertionCredential", (*APPLICATION, "assertion"), {}, "client assertion"),
    ("WorkloadIdentityCredential", (), {"tenant_id": "a/b"}, "tenant_id"),
    ("WorkloadIdentityCredential", (), {"tenant_id": 5}, "tenant_id"),
    ("WorkloadIdentityCredential", (), {"token_file_path": 5}, "token_file_path"),
    ("AzurePipelinesCredential", (*APPLICATION, "", "token"), {}, "service_connection_id"),
    ("AzurePipelinesCredential", (*APPLICATION, "id", "to ken"), {}, "system_access_token"),
    ("AzurePipelinesCredential", (*APPLICATION, "id", "t"), {"organization_url": "x"}, "organization_url"),
    ("AzurePipelinesCredential", ("", "client", "id", "t"), {}, "tenant_id"),
    ("EnvironmentCredential", (), {"authority": "http://login.example"}, "https"),
    ("ManagedIdentityCredential", (), {"client_id": "a", "object_id": "b"}, "client_id"),
    ("ManagedIdentityCredential", (), {"client_id": 5}, "client_id"),
    ("ManagedIdentityCredential", (), {"identity_config": "x"}, "identity_config"),
    ("ManagedIdentityCredential", (), {"identity_config": {"name": "x"}}, "name"),
    ("AzureCliCredential", (), {"tenant_id": "a;b"}, "tenant_id"),
    ("AzureCliCredential", (), {"subscription": "a;b"}, "subscription"),
    ("AzureCliCredential", (), {"process_timeout": 0}, "process_timeout"),
    ("AzureDeveloperCliCredential", (), {"tenant_id": "a;b"}, "tenant_id"),
    ("AzureDeveloperCliCredential", (), {"process_timeout": "10"}, "process_timeout"),
    ("AzurePowerShellCredential", (), {"tenant_id": "'"}, "tenant_id"),
    ("AzurePowerShellCredential", (), {"additionally_allowed_tenants": "x"}, "additionally_allowed"),
    ("ChainedTokenCredential", (), {}, "at least one credential"),
    ("ChainedTokenCredential", ("credential",), {}, "credential 1"),
    ("DefaultAzureCredential", (), {"process_timeout": -1}, "process_timeout"),
    ("DefaultAzureCredential", (), {"authority": "http://login.example"}, "https"),
    ("DefaultAzureCredential", (), {"require_envvar": True}, "AZURE_TOKEN_CREDENTIALS"),
]


@pytest.mark.parametrize(("name", "arguments", "options", "problem"), BAD)
def test_a_bad_argument_is_a_value_error_that_names_it(
    colour: Colour, name: str, arguments: tuple[Any, ...], options: dict[str, Any], problem: str
) -> None:
    kind = getattr(credentials if colour.name == BLOCKING else aio, name)
    with pytest.raises(ValueError, match=problem) as caught:
        kind(*arguments, **options)
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("every", [kind for kind in EVERY if kind.name != "ChainedTokenCredential"], indirect=True)
def test_an_unknown_option_is_a_type_error_that_names_it(every: Every, colour: Colour) -> None:
    arguments, options = every.arguments(colour.name)
    with pytest.raises(TypeError, match="autority"):
        every.kind(colour.name)(*arguments, **options, autority="x")
