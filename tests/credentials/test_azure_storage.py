"""Azure Blob Storage's clients, unmodified, with each of our credentials, against an account on this machine."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import azure.core.exceptions
import azure.storage.blob
import azure.storage.blob.aio
import pytest

import credentials
import credentials.aio
from credentials import _token_endpoint as token_endpoint
from obo_middleware.testing import Application, LocalEntra
from tests.credentials.azure_services import ACCOUNT, CLAIMS, STORAGE, BlobService, register_service, served
from tests.credentials.helpers import Clock, claims_of
from tests.credentials.sdk_credentials import FAMILIES, Machine, by_secret, whose

LIBRARIES = pytest.mark.parametrize("library", [credentials, credentials.aio], ids=["blocking", "async"])
SCOPE = f"{STORAGE}/.default"


class Running(NamedTuple):
    """An account that runs."""

    service: BlobService
    url: str
    ca_path: str


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as entra:
        yield entra


@pytest.fixture(scope="module")
def registration(provider: LocalEntra) -> Application:
    return register_service(provider, STORAGE)


@pytest.fixture
def account(entra: LocalEntra, registration: Application, tmp_path: Path) -> Iterator[Running]:
    service = BlobService(entra)
    with served(service, tmp_path) as (server, ca_path):
        yield Running(service, f"{server.url}/{ACCOUNT}", ca_path)


@pytest.fixture
def machine(
    entra: LocalEntra, registration: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Any
) -> Iterator[Machine]:
    with ExitStack() as open_:
        yield Machine(entra, registration, tmp_path, monkeypatch, library, open_)


class Blobs:
    """The same work by the client of either colour: each step returns what a user of the client sees, or its error."""

    def __init__(self, account: Running, mine: Any, library: Any) -> None:
        self.account, self.mine, self.awaitable = account, mine, library is credentials.aio

    def use(self, *steps: Callable[[Any], Any]) -> list[Any]:
        """Take the steps with one client, and close it and the credential."""
        library: Any = azure.storage.blob.aio if self.awaitable else azure.storage.blob
        made = library.BlobServiceClient
        options = {"credential": self.mine, "connection_verify": self.account.ca_path, "retry_total": 0}
        if self.awaitable:
            return asyncio.run(self._use_async(made, options, steps))
        with self.mine, made(self.account.url, **options) as client:
            return [outcome(step, client) for step in steps]

    async def _use_async(
        self, made: Any, options: dict[str, Any], steps: tuple[Callable[[Any], Any], ...]
    ) -> list[Any]:
        async with self.mine, made(self.account.url, **options) as client:
            return [await outcome_async(step, client) for step in steps]


def outcome(step: Callable[[Any], Any], client: Any) -> Any:
    try:
        result = step(client)
        return result.readall() if hasattr(result, "readall") else _whole(result)
    except azure.core.exceptions.AzureError as error:
        return error


def _whole(result: Any) -> Any:
    return list(result) if hasattr(result, "by_page") else result


async def outcome_async(step: Callable[[Any], Any], client: Any) -> Any:
    try:
        result = step(client)
        if hasattr(result, "by_page"):
            return [one async for one in result]
        awaited = await result if asyncio.iscoroutine(result) else result
        return await awaited.readall() if hasattr(awaited, "readall") else awaited
    except azure.core.exceptions.AzureError as error:
        return error


def download(client: Any) -> Any:
    return client.get_blob_client("orders", "today").download_blob()


def list_containers(client: Any) -> Any:
    return client.list_containers()


@LIBRARIES
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_blob_client_downloads_with_each_credential(
    account: Running, machine: Machine, library: Any, kind: str
) -> None:
    mine = FAMILIES[kind](machine)
    content = f"today of {whose(machine.entra, kind)}".encode()
    assert Blobs(account, mine, library).use(download, download) == [content, content]
    assert len(set(account.service.tokens)) == 1
    assert len(machine.entra.token_requests) <= 1


@LIBRARIES
def test_a_service_client_lists_containers(account: Running, machine: Machine, library: Any) -> None:
    (containers,) = Blobs(account, by_secret(machine), library).use(list_containers)
    assert [container.name for container in containers] == ["orders"]


@LIBRARIES
def test_a_challenges_tenant_is_asked_for_where_it_is_allowed(account: Running, machine: Machine, library: Any) -> None:
    other = machine.entra.add_tenant()
    account.service.tenant_id = other.tenant_id
    mine = by_secret(machine, additionally_allowed_tenants=[other.tenant_id])
    assert Blobs(account, mine, library).use(download) == [f"today of {machine.entra.api.object_id}".encode()]
    first, second = account.service.tokens
    assert [claims_of(token)["tid"] for token in (first, second)] == [machine.entra.tenant_id, other.tenant_id]


@LIBRARIES
def test_a_challenges_tenant_that_is_not_allowed_is_told(account: Running, machine: Machine, library: Any) -> None:
    account.service.tenant_id = machine.entra.add_tenant().tenant_id
    (error,) = Blobs(account, by_secret(machine), library).use(download)
    assert isinstance(error, credentials.ClientAuthenticationError)
    assert "additionally_allowed_tenants" in str(error)
    assert len(machine.entra.token_requests) == 1


@LIBRARIES
@pytest.mark.parametrize("kind", ["secret", "on behalf of", "managed identity"])
def test_a_claims_challenge_is_answered_by_asking_the_credential(
    account: Running, machine: Machine, library: Any, kind: str
) -> None:
    """The client asks again without the claims, so that the application must ask; the client then has the new token."""
    mine = FAMILIES[kind](machine)
    account.service.refuse_next()

    def step_up(_: Any) -> Any:
        return mine.get_token(SCOPE, claims=claims_in(account.service.challenges[-1]))

    refused, new, content = Blobs(account, mine, library).use(download, step_up, download)
    assert isinstance(refused, azure.core.exceptions.ClientAuthenticationError)
    assert refused.status_code == 401
    assert content == f"today of {whose(machine.entra, kind)}".encode()
    *before, last = account.service.tokens
    assert (len(set(before)), last in before, last == new.token) == (1, False, True)
    assert [request.form.get("claims") for request in machine.entra.token_requests] in ([], [None, CLAIMS])


def claims_in(challenge: str) -> str:
    """Return the claims that a challenge asks for."""
    found = re.search('claims="([^"]+)"', challenge)
    assert found
    return base64.b64decode(found[1]).decode()


@LIBRARIES
def test_a_token_is_renewed_once_when_it_is_time_and_kept_in_an_outage(
    account: Running, machine: Machine, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    # By the client's clock, two hours ahead of ours, each token is due: it asks the credential for each request.
    clock = Clock(time.time() - 7400)
    asked: list[int] = []

    def later(_: Any) -> None:
        asked.append(len(machine.entra.token_requests))
        clock.now += 3700

    def outage(_: Any) -> None:
        later(_)
        machine.entra.outage(500)

    mine = by_secret(machine, clock=clock)
    seen = Blobs(account, mine, library).use(download, download, later, download, download, outage, download)
    content = f"today of {machine.entra.api.object_id}".encode()
    assert seen == [content, content, None, content, content, None, content]
    assert (asked, len(machine.entra.token_requests)) == ([1, 2], 3)
    first, second, third, fourth, last = account.service.tokens
    assert first == second != third == fourth == last
