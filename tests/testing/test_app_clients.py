"""Calls as the application with credentials that we did not write, and with chains of theirs and ours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import azure.identity
import azure.identity.aio
import pytest

from credentials import ChainedTokenCredential
from credentials.aio import ClientSecretCredential as OurAwaitableSecret
from obo_middleware import DownstreamApi, OnBehalfOf, Settings
from obo_middleware.testing import LocalEntra, LocalGraph

DEFAULT = "https://graph.microsoft.com/.default"


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as running:
        # The variable comes before what a session of requests was told, wherever it is set.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", running.ca_pem_path)
        yield running


def theirs(module: Any, entra: LocalEntra) -> Any:
    names = (entra.tenant_id, entra.api.client_id, entra.api.secret)
    host = entra.authority.removeprefix("https://")
    given = {"authority": host, "disable_instance_discovery": True, "connection_verify": entra.ca_pem_path}
    return module.ClientSecretCredential(*names, **given)


def ours(entra: LocalEntra) -> Any:
    names = (entra.tenant_id, entra.api.client_id, entra.api.secret)
    return OurAwaitableSecret(
        *names, authority=entra.authority, connection_verify=entra.ssl_context(), allow_local_authority=True
    )


MADE: dict[str, Callable[[LocalEntra], Any]] = {
    "azure-identity": lambda entra: theirs(azure.identity, entra),
    "azure-identity.aio": lambda entra: theirs(azure.identity.aio, entra),
    "ours": ours,
    "a chain of azure-identity": lambda entra: azure.identity.ChainedTokenCredential(theirs(azure.identity, entra)),
    "a chain of ours with one of azure-identity": lambda entra: ChainedTokenCredential(theirs(azure.identity, entra)),
}


@contextmanager
def application(entra: LocalEntra, credential: Any) -> Iterator[OnBehalfOf]:
    """Give an application that calls as itself with a credential."""
    with LocalGraph(entra) as graph:
        settings = Settings(
            tenant_id=entra.tenant_id,
            client_id=entra.api.client_id,
            client_credential=entra.api.secret,
            authority=entra.authority,
            allow_local_issuer=True,
            ssl_context=entra.ssl_context(),
            downstream_apis={"graph": DownstreamApi(graph.base_url, scopes=["User.Read"], app_scopes=[DEFAULT])},
            app_credential=credential,
        )
        yield OnBehalfOf(settings)
        assert {request.client_id for request in graph.requests} == {entra.api.client_id}


@pytest.mark.parametrize("name", sorted(set(MADE) - {"azure-identity.aio"}))
def test_any_credential_calls_as_the_application_in_a_script(name: str, entra: LocalEntra) -> None:
    credential = MADE[name](entra)
    with application(entra, credential) as obo, obo:
        assert obo.blocking_app_client("graph").get("/users").raise_for_status().json()["value"]
    closed = credential.close()
    if inspect.isawaitable(closed):
        asyncio.run(closed)  # type: ignore[arg-type]  # a coroutine of ours


@pytest.mark.parametrize("name", MADE)
def test_any_credential_calls_as_the_application_at_the_start_of_an_app(name: str, entra: LocalEntra) -> None:
    async def main() -> None:
        credential = MADE[name](entra)
        with application(entra, credential) as obo:
            async with obo:
                assert (await obo.app_client("graph").get("/users")).raise_for_status().json()["value"]
        closed = credential.close()
        if inspect.isawaitable(closed):
            await closed

    asyncio.run(main())
