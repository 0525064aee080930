"""Azure Key Vault's client, unmodified, with each of our credentials, against a vault on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import azure.core.exceptions
import azure.keyvault.secrets
import azure.keyvault.secrets.aio
import pytest

import credentials
import credentials.aio
from obo_middleware import Settings
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware._runtime import Runtime
from obo_middleware.testing import Application, LocalEntra
from tests.credentials.azure_services import ENCODED_CLAIMS, VAULT, Vault, register_service, served
from tests.credentials.helpers import SECRET
from tests.credentials.sdk_credentials import FAMILIES, Machine, whose

LIBRARIES = pytest.mark.parametrize("library", [credentials, credentials.aio], ids=["blocking", "async"])


class Running(NamedTuple):
    """A vault that runs."""

    service: Vault
    url: str
    ca_path: str


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as entra:
        yield entra


@pytest.fixture(scope="module")
def registration(provider: LocalEntra) -> Application:
    return register_service(provider, VAULT)


@pytest.fixture
def vault(entra: LocalEntra, registration: Application, tmp_path: Path) -> Iterator[Running]:
    service = Vault(entra)
    with served(service, tmp_path) as (server, ca_path):
        yield Running(service, server.url, ca_path)


@pytest.fixture
def machine(
    entra: LocalEntra, registration: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Any
) -> Iterator[Machine]:
    with ExitStack() as open_:
        yield Machine(entra, registration, tmp_path, monkeypatch, library, open_)


def client_of(library: Any, vault: Running, mine: Any) -> Any:
    return library.SecretClient(vault.url, mine, connection_verify=vault.ca_path, verify_challenge_resource=False)


def read(vault: Running, mine: Any, library: Any) -> list[str]:
    """Read two secrets by the client of the credential's colour, and close both."""
    if library is credentials:
        with mine, client_of(azure.keyvault.secrets, vault, mine) as client:
            return [client.get_secret(name).value for name in ("one", "two")]

    async def main() -> list[str]:
        async with mine, client_of(azure.keyvault.secrets.aio, vault, mine) as client:
            return [(await client.get_secret(name)).value for name in ("one", "two")]

    return asyncio.run(main())


@LIBRARIES
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_secret_client_reads_with_each_credential(vault: Running, machine: Machine, library: Any, kind: str) -> None:
    who = whose(machine.entra, kind)
    assert read(vault, FAMILIES[kind](machine), library) == [f"one of {who}", f"two of {who}"]
    assert len(set(vault.service.tokens)) == 1
    assert len(machine.entra.token_requests) <= 1


@LIBRARIES
@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind != "Azure CLI"])
def test_a_claims_challenge_is_answered_with_a_new_token(
    vault: Running, machine: Machine, library: Any, kind: str
) -> None:
    vault.service.refuse_next()
    who = whose(machine.entra, kind)
    assert read(vault, FAMILIES[kind](machine), library) == [f"one of {who}", f"two of {who}"]
    first, second, third = vault.service.tokens
    assert first != second == third


@LIBRARIES
@pytest.mark.parametrize("kind", ["secret", "on behalf of"])
def test_the_claims_of_a_challenge_are_asked_for_with_the_capability(
    vault: Running, machine: Machine, library: Any, kind: str
) -> None:
    vault.service.refuse_next()
    read(vault, FAMILIES[kind](machine), library)
    first, second = (dict(request.form) for request in machine.entra.token_requests)
    assert {form["scope"] for form in (first, second)} == {f"{VAULT}/.default"}
    assert "CP1" in first["claims"]
    assert "CP1" in second["claims"]
    assert ("nbf" in first["claims"], "nbf" in second["claims"]) == (False, True)


@LIBRARIES
def test_a_tool_that_cannot_ask_for_claims_says_what_to_run(vault: Running, machine: Machine, library: Any) -> None:
    vault.service.refuse_next()
    with pytest.raises(credentials.CredentialUnavailableError) as caught:
        read(vault, FAMILIES["Azure CLI"](machine), library)
    assert f"az login --claims-challenge {ENCODED_CLAIMS}" in str(caught.value)
    assert isinstance(caught.value, azure.core.exceptions.ClientAuthenticationError)


@LIBRARIES
def test_what_is_missing_reaches_the_callers_of_a_client(vault: Running, machine: Machine, library: Any) -> None:
    with pytest.raises(azure.core.exceptions.ClientAuthenticationError, match="AZURE_TENANT_ID"):
        read(vault, library.EnvironmentCredential(), library)


@pytest.mark.parametrize("awaitable", [False, True], ids=["blocking", "async"])
def test_a_secret_client_reads_with_the_credential_of_a_request(
    entra: LocalEntra, vault: Running, awaitable: bool
) -> None:
    runtime = Runtime(
        Settings(
            tenant_id=entra.tenant_id,
            client_id=entra.api.client_id,
            client_credential=SECRET,
            authority=entra.authority,
            allow_local_issuer=True,
            ssl_context=entra.ssl_context(),
        )
    )
    headers = [b"Bearer " + entra.sign_in("alice").encode()]

    async def main() -> Any:
        context = AsyncContext(runtime, await runtime.async_driver.run(runtime.admit_flow(headers, "/")))
        async with (
            context.credential as mine,
            client_of(azure.keyvault.secrets.aio, vault, mine) as client,
        ):
            value = (await client.get_secret("one")).value
        await runtime.aclose()
        return value

    if awaitable:
        value = asyncio.run(main())
    else:
        context = BlockingContext(runtime, runtime.blocking_driver.run(runtime.admit_flow(headers, "/")))
        with context.credential as mine, client_of(azure.keyvault.secrets, vault, mine) as client:
            value = client.get_secret("one").value
        runtime.close()
    assert value == f"one of {entra.alice.object_id}"
