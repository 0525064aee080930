"""What azure-identity does wrong with tools, pipelines and chains and we do not, both shown on this machine."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

import credentials
from obo_middleware.testing import LocalEntra
from tests.credentials.developer_tools import AZ, AZD, developer_cli_output, local_time, on_path
from tests.credentials.federation import foreign_token, trust_issuer
from tests.credentials.identities import forget_azure, set_variables
from tests.credentials.peer_defects import (
    ASYNC_PEER,
    BLOCKING_PEER,
    OURS,
    PEERS,
    SCOPE,
    answer_of,
    local_entra,
    of_the_machine,
    options_of,
    still,
)
from tests.credentials.servers import Exchange, Loopback, loopback
from tests.credentials.tools import Life

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:msal.*")
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with local_entra() as entra:
        trust_issuer(entra)
        yield entra


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_machine(monkeypatch)
    forget_azure(monkeypatch)


# Tools


def tool_answer(library: Any, name: str, **options: Any) -> Any:
    return answer_of(getattr(library, name)(**options), SCOPE)


@pytest.mark.peer_defect(10)
def test_malformed_output_is_an_error_of_the_librarys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_path(AZ, tmp_path, monkeypatch).says("[1]")
    for library in OURS:
        assert isinstance(tool_answer(library, "AzureCliCredential"), credentials.AuthenticationError)
    for library in PEERS:
        error = tool_answer(library, "AzureCliCredential")
        still(isinstance(error, TypeError), "output that is a list ends in a TypeError")


@pytest.mark.peer_defect(15)
def test_a_time_in_utc_is_read_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    end = int(time.time()) + 3600
    on_path(AZD, tmp_path, monkeypatch).says(developer_cli_output("the-token", end))

    def expires_on(library: Any) -> Any:
        credential = library.AzureDeveloperCliCredential()
        found = credential.get_token(SCOPE)
        return (asyncio.run(awaited(found, credential)) if asyncio.iscoroutine(found) else found).expires_on

    async def awaited(found: Any, credential: Any) -> Any:
        async with credential:
            return await found

    with local_time(monkeypatch, "EST5"):
        assert [expires_on(library) for library in OURS] == [end, end]
        for library in PEERS:
            still(expires_on(library) != end, "Azure Developer CLI's time in UTC is read as the machine's local time")


@pytest.mark.peer_defect(16)
def test_what_a_tool_started_ends_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    life = Life(tmp_path)
    script = f"exec 3> {life.path}\nsleep 300 > /dev/null 2>&1 &\necho $! >&3\nwait\n"
    on_path(AZ, tmp_path, monkeypatch).does(script)

    def time_out(library: Any) -> int:
        refused = tool_answer(library, "AzureCliCredential", process_timeout=2)
        assert isinstance(refused, credentials.ClientAuthenticationError)
        return life.read_number()

    time_out(OURS[0])
    life.wait_until_all_are_gone()
    child = time_out(BLOCKING_PEER)
    survives = life.is_held()
    if survives:
        os.kill(child, signal.SIGKILL)
    life.wait_until_all_are_gone()
    life.close()
    still(survives, "what a tool started goes on after the time-out")


# Pipelines


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    body = json.dumps({"oidcToken": foreign_token(exp=time.time() + 3600)}).encode()
    with loopback(lambda exchange: exchange.reply(200, body, **JSON)) as server:
        set_variables(monkeypatch, SYSTEM_OIDCREQUESTURI=f"{server.url}/oidctoken")
        yield server


def pipelines(library: Any, entra: LocalEntra, connection: str = "a-connection") -> Any:
    return library.AzurePipelinesCredential(
        tenant_id=entra.tenant_id,
        client_id=entra.api.client_id,
        service_connection_id=connection,
        system_access_token="system-token",
        **options_of(library, entra),
    )


@pytest.mark.peer_defect(14)
def test_the_loop_goes_on_while_the_agent_thinks(entra: LocalEntra, agent: Loopback) -> None:
    inner = agent.respond

    def went_on(library: Any) -> bool:
        asked, go_on = threading.Event(), threading.Event()
        results: list[bool] = []

        def waiting(exchange: Exchange) -> None:
            asked.set()
            results.append(go_on.wait(10 if library in OURS else 0.5))
            inner(exchange)

        async def main() -> None:
            async with pipelines(library, entra) as credential:
                asking = asyncio.create_task(credential.get_token(SCOPE))
                await asyncio.to_thread(asked.wait, 10)
                go_on.set()
                await asking

        agent.respond = waiting
        asyncio.run(main())
        return results[0]

    assert went_on(OURS[1])
    still(not went_on(ASYNC_PEER), "the awaitable AzurePipelinesCredential stops the event loop while it asks")


@pytest.mark.peer_defect(23)
def test_a_service_connections_id_stays_one_value(entra: LocalEntra, agent: Loopback) -> None:
    def sent(library: Any) -> dict[str, str]:
        assert isinstance(answer_of(pipelines(library, entra, "a&api-version=1"), SCOPE), str)
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(agent.asked[-1].path).query))

    for library in OURS:
        assert sent(library) == {"api-version": "7.1", "serviceConnectionId": "a&api-version=1"}
    for library in PEERS:
        still(sent(library)["serviceConnectionId"] == "a", "a service connection's id can add parameters")


# Chains


class Raising:
    """A member that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_token(self, *scopes: str, **options: Any) -> Any:
        raise self.error

    def close(self) -> None:
        """Close nothing, for there is nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()


class Refusal(credentials.ClientAuthenticationError):
    """A refusal of a member's own kind."""


@pytest.mark.peer_defect(12)
def test_nothing_remembers_a_default_credential_that_could_not_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_path(AZ, tmp_path, monkeypatch).says("no JSON at all")
    exchange = {"AZURE_TENANT_ID": "contoso", "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path)}
    set_variables(monkeypatch, **exchange, AZURE_AUTHORITY_HOST="login.microsoftonline.com")

    def answer(library: Any) -> Any:
        try:
            library.DefaultAzureCredential().close()
        except ValueError:
            assert library in PEERS
        return tool_answer(library, "AzureCliCredential")

    def apart(library: Any) -> Any:
        return contextvars.copy_context().run(answer, library)

    assert isinstance(apart(credentials), credentials.AuthenticationError)
    left = apart(BLOCKING_PEER)
    still(
        isinstance(left, BLOCKING_PEER.CredentialUnavailableError),
        "after a DefaultAzureCredential that could not be made, every credential thinks that it is within one",
    )


@pytest.mark.peer_defect(13)
def test_a_chain_tells_whether_it_was_refused_or_had_nobody_to_ask() -> None:
    def chain(library: Any, error: Exception) -> Any:
        return library.ChainedTokenCredential(Raising(error))

    refusal, nobody = Refusal("refused"), BLOCKING_PEER.CredentialUnavailableError("nobody here")
    refused, unavailable = (answer_of(chain(credentials, error)) for error in (refusal, nobody))
    assert (refused.__cause__, refused.errors) == (refusal, (refusal,))
    assert isinstance(unavailable, credentials.CredentialUnavailableError)
    refused, unavailable = (answer_of(chain(BLOCKING_PEER, error)) for error in (refusal, nobody))
    still(refused.__cause__ is None, "a chain hides the error that ended it")
    still(
        not isinstance(unavailable, BLOCKING_PEER.CredentialUnavailableError),
        "a chain within a chain ends the outer one where none of its members is available",
    )
