"""Which source the environment describes, which identity the arguments name, and what is told of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from credentials import CredentialUnavailableError
from credentials import _managed_identity as module
from credentials._azure_arc import AzureArc
from credentials._managed_identity import (
    ManagedIdentityCredential,
    ManagedIdentityFamily,
    TokenExchange,
    identity_of,
    resource_of,
    select_source,
)
from credentials._managed_identity_answer import Identity, IdentitySource
from credentials._managed_identity_sources import CloudShell, Imds, SecretHeaderSource, Unavailable
from credentials._service_fabric import ServiceFabric
from tests.credentials.helpers import Colour, play
from tests.credentials.identities import (
    HEADER_SECRET,
    SCOPE,
    credential_of,
    forget_azure,
    query,
    set_variables,
)

ENDPOINT = "http://localhost:8081/token"
IDENTITY = {"IDENTITY_ENDPOINT": ENDPOINT}
APP_SERVICE = IDENTITY | {"IDENTITY_HEADER": HEADER_SECRET}
ARC = IDENTITY | {"IMDS_ENDPOINT": "http://localhost:40342"}
FABRIC = APP_SERVICE | {"IDENTITY_ENDPOINT": "https://10.0.0.4:2377/token", "IDENTITY_SERVER_THUMBPRINT": "ab" * 20}
SHELL = {"MSI_ENDPOINT": ENDPOINT}
ML = SHELL | {"MSI_SECRET": HEADER_SECRET}
EXCHANGE = {
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
    "AZURE_TENANT_ID": "contoso.onmicrosoft.com",
    "AZURE_CLIENT_ID": "client-of-the-pod",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
}
POD = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://localhost:8082/"}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_azure(monkeypatch)


def select(environ: dict[str, str], **identity: str) -> IdentitySource:
    return select_source(environ, Identity(**identity), {})


def problem(source: IdentitySource) -> str:
    with pytest.raises(CredentialUnavailableError) as caught:
        assert play(source.token_flow(query())).result
    return str(caught.value)


# Sources


@pytest.mark.parametrize(
    ("environ", "kind", "name"),
    [
        ({}, Imds, "IMDS"),
        (dict.fromkeys((*FABRIC, *ML, *EXCHANGE, *ARC, *POD), ""), Imds, "IMDS"),
        (APP_SERVICE, SecretHeaderSource, "App Service"),
        (APP_SERVICE | {"IMDS_ENDPOINT": ENDPOINT}, SecretHeaderSource, "App Service"),
        (APP_SERVICE | {"IDENTITY_SERVER_THUMBPRINT": ""}, SecretHeaderSource, "App Service"),
        (APP_SERVICE | ML | EXCHANGE | POD, SecretHeaderSource, "App Service"),
        (FABRIC, ServiceFabric, "Service Fabric"),
        (FABRIC | ARC | FABRIC, ServiceFabric, "Service Fabric"),
        (ARC, AzureArc, "Azure Arc"),
        (ARC | ML, AzureArc, "Azure Arc"),
        (ARC | {"IDENTITY_SERVER_THUMBPRINT": "ab" * 20}, AzureArc, "Azure Arc"),
        (IDENTITY, Unavailable, "unavailable"),
        (IDENTITY | ML, Unavailable, "unavailable"),
        (SHELL, CloudShell, "Cloud Shell"),
        (SHELL | EXCHANGE, CloudShell, "Cloud Shell"),
        (ML, SecretHeaderSource, "Azure ML"),
        (ML | EXCHANGE | POD, SecretHeaderSource, "Azure ML"),
        (EXCHANGE, TokenExchange, "AKS token exchange"),
        (EXCHANGE | POD, TokenExchange, "AKS token exchange"),
        (EXCHANGE | {"AZURE_AUTHORITY_HOST": ""}, Imds, "IMDS"),
        (EXCHANGE | {"AZURE_FEDERATED_TOKEN_FILE": ""}, Imds, "IMDS"),
        ({"MSI_SECRET": HEADER_SECRET, "IDENTITY_HEADER": HEADER_SECRET, "IMDS_ENDPOINT": ENDPOINT}, Imds, "IMDS"),
        (POD, Imds, "IMDS"),
    ],
)
def test_the_environment_says_which_source_there_is(
    environ: dict[str, str], kind: type[IdentitySource], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, **environ)
    source = select(environ)
    assert (type(source), source.name) == (kind, name)


def test_only_a_metadata_service_of_unknown_presence_is_probed() -> None:
    assert (vars(select({}))["_unknown"], vars(select(POD))["_unknown"]) == (True, False)
    assert vars(select({}))["_endpoint"] == "http://169.254.169.254/metadata/identity/oauth2/token"
    assert vars(select(POD))["_endpoint"] == "http://localhost:8082/metadata/identity/oauth2/token"


def test_the_agent_of_azure_arc_is_found_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = {"ProgramFiles": str(tmp_path)}
    assert isinstance(select(windows), Imds)
    agent = tmp_path / "AzureConnectedMachineAgent" / "himds.exe"
    agent.parent.mkdir()
    agent.touch()
    assert isinstance(select(windows), AzureArc)
    assert isinstance(select(windows | POD), Imds)
    monkeypatch.setattr(module, "_ARC_AGENT", agent)
    assert isinstance(select({}), AzureArc)


def test_an_agent_that_may_not_be_looked_for_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", refuse)
    assert isinstance(select({}), Imds)


# What cannot be used


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (IDENTITY, "neither IDENTITY_HEADER"),
        (APP_SERVICE | {"IDENTITY_ENDPOINT": "localhost"}, "IDENTITY_ENDPOINT must be"),
        (APP_SERVICE | {"IDENTITY_HEADER": "two words"}, "IDENTITY_HEADER has characters"),
        (FABRIC | IDENTITY, "IDENTITY_ENDPOINT must be the https URL"),
        (FABRIC | {"IDENTITY_SERVER_THUMBPRINT": "ab"}, "IDENTITY_SERVER_THUMBPRINT must be"),
        (ARC | {"IDENTITY_ENDPOINT": "localhost"}, "IDENTITY_ENDPOINT must be"),
        (ML | {"MSI_ENDPOINT": "ftp://localhost"}, "MSI_ENDPOINT must be"),
        (SHELL | {"MSI_ENDPOINT": "http://"}, "MSI_ENDPOINT must be"),
        ({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "169.254.169.254"}, "AZURE_POD_IDENTITY_AUTHORITY_HOST must be"),
        (EXCHANGE | {"AZURE_CLIENT_ID": ""}, "set AZURE_CLIENT_ID or give client_id"),
        (EXCHANGE | {"AZURE_TENANT_ID": "not/a/tenant"}, "AZURE_TENANT_ID"),
        (EXCHANGE | {"AZURE_AUTHORITY_HOST": "http://login.example"}, "must use https"),
    ],
)
def test_an_unusable_environment_is_told_when_a_token_is_asked_for(
    environ: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, colour: Colour
) -> None:
    set_variables(monkeypatch, **environ)
    credential = credential_of(colour)
    with pytest.raises(CredentialUnavailableError, match=told) as caught:
        colour.get_token(credential, SCOPE)
    assert HEADER_SECRET not in str(caught.value)


@pytest.mark.parametrize("identity", [{"object_id": "o-1"}, {"resource_id": "r-1"}])
def test_the_token_exchange_takes_client_ids_only(identity: dict[str, str]) -> None:
    assert "neither object_id nor resource_id" in problem(select(EXCHANGE, **identity))


def test_an_option_that_the_token_exchange_cannot_use_is_a_bad_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, **EXCHANGE)
    with pytest.raises(ValueError, match="must use https"):
        ManagedIdentityCredential(authority="http://login.example")


# Identities


@pytest.mark.parametrize("name", ["client_id", "object_id", "resource_id"])
def test_each_identifier_is_an_argument_or_in_the_configuration(name: str) -> None:
    named: dict[str, Any] = {name: "é (1)"}
    assert identity_of(**named) == Identity(**named)
    assert identity_of(config=named) == Identity(**named)
    assert vars(ManagedIdentityFamily(identity_config={name: "x"}))["_identity"] == Identity(**{name: "x"})


@pytest.mark.parametrize("arguments", [{}, {"client_id": ""}, {"client_id": None, "config": {}}])
def test_no_identifier_is_the_system_assigned_identity(arguments: dict[str, Any]) -> None:
    assert identity_of(**arguments) == Identity()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"client_id": "c", "object_id": "o"}, "one identifier, and not by client_id, object_id"),
        ({"client_id": "c", "identity_config": {"resource_id": "r"}}, "not by client_id, resource_id"),
        ({"client_id": "c", "identity_config": {"client_id": "c"}}, "not by client_id, client_id"),
        ({"identity_config": {"object_id": "o", "resource_id": "r"}}, "one identifier"),
        ({"identity_config": {"msi_res_id": "r"}}, "knows client_id, object_id and resource_id, and not msi_res_id"),
        ({"identity_config": {7: "r", "x": ""}}, "and not 7, x"),
        ({"identity_config": ["client_id"]}, "must be a dictionary"),
        ({"client_id": 7}, "client_id must be a string"),
        ({"object_id": "two\nlines"}, "object_id must be a string of printable"),
        ({"resource_id": "\udcff"}, "resource_id must be a string of printable"),
    ],
)
def test_bad_identifiers_are_told_by_name(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ManagedIdentityCredential(**arguments)


def test_an_unknown_option_is_a_type_error() -> None:
    unknown: dict[str, Any] = {"colour": "blue"}
    for make in (ManagedIdentityCredential, ManagedIdentityCredential._for_default):
        with pytest.raises(TypeError, match="ManagedIdentityCredential does not take the option colour"):
            make(**unknown)


def test_cloud_shell_has_one_identity_only(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, **SHELL)
    identities: list[dict[str, Any]] = [
        {"client_id": "x"},
        {"object_id": "x"},
        {"identity_config": {"resource_id": "x"}},
    ]
    for identity in identities:
        with pytest.raises(ValueError, match="Cloud Shell gives tokens of the user"):
            ManagedIdentityCredential(**identity)
    assert ManagedIdentityCredential()._source.name == "Cloud Shell"


def test_in_the_default_credential_cloud_shell_leaves_a_client_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, **SHELL)
    assert ManagedIdentityCredential._for_default("client-of-somebody")._source.name == "Cloud Shell"


@pytest.mark.parametrize("identity", [{"client_id": "x"}, {"resource_id": "/subscriptions/1"}])
def test_cloud_shell_does_not_answer_for_an_identity_that_was_chosen(
    identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, **SHELL)
    chosen = ManagedIdentityCredential._for_default(chosen=True, **identity)
    with pytest.raises(CredentialUnavailableError, match="Cloud Shell gives tokens of the user"):
        chosen.get_token(SCOPE)


def test_the_default_credential_may_leave_out_the_token_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, **EXCHANGE)
    assert ManagedIdentityCredential._for_default()._source.name == "AKS token exchange"
    node = ManagedIdentityCredential._for_default(resource_id="/subscriptions/1", workload_identity=False)
    assert (node._source.name, node._identity) == ("IMDS", Identity(resource_id="/subscriptions/1"))


# Scopes


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        (SCOPE, "https://vault.azure.net"),
        ("https://vault.azure.net", "https://vault.azure.net"),
        ("https://vault.azure.net//.default", "https://vault.azure.net/"),
        ("api://app/.default/.default", "api://app/.default"),
        ("https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/User.Read"),
    ],
)
def test_the_resource_is_the_scope_without_its_suffix(scope: str, resource: str) -> None:
    assert resource_of((scope,), "get_token") == resource


@pytest.mark.parametrize(
    ("scopes", "told"),
    [
        ((), '"get_token" requires at least one scope'),
        ((SCOPE, "other"), '"get_token" takes exactly one scope'),
        ((SCOPE, SCOPE), "exactly one scope"),
        (("two words",), "is not valid"),
        (("/.default",), "names no resource"),
    ],
)
def test_anything_but_one_scope_is_a_value_error(scopes: tuple[str, ...], told: str, colour: Colour) -> None:
    with pytest.raises(ValueError, match=told):
        colour.get_token(credential_of(colour), *scopes)


# The log


def test_the_log_says_which_source_and_identity_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "credentials")
    set_variables(monkeypatch, **APP_SERVICE)
    ManagedIdentityCredential()
    ManagedIdentityCredential(resource_id="/subscriptions/1")
    assert caplog.messages == [
        "managed identity: source App Service, system-assigned identity",
        "managed identity: source App Service, resource_id /subscriptions/1",
    ]
    assert all(record.levelno == logging.INFO for record in caplog.records)
