"""AzurePipelinesCredential in both colours against the local provider and an agent's server of our own."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from credentials import AuthenticationError, ClientAuthenticationError, CredentialUnavailableError
from credentials import _token_endpoint as token_endpoint
from obo_middleware.testing import LocalEntra
from tests.credentials.federation import SCOPE, ask_at_once, class_of, foreign_token, trust_issuer
from tests.credentials.helpers import Clock, Colour, claims_of, local_options
from tests.credentials.servers import Exchange, Loopback, loopback

SYSTEM_TOKEN = "canary-of-the-system-token"


class Agent:
    """Give the service connection's token to a job that shows the system token, as long as nothing else is set."""

    def __init__(self) -> None:
        self.status = 200
        self.body = json.dumps({"oidcToken": foreign_token()}).encode()

    def __call__(self, exchange: Exchange) -> None:
        if exchange.headers["Authorization"] != f"Bearer {SYSTEM_TOKEN}":
            exchange.reply(401, b'{"message":"no"}')
        else:
            exchange.reply(self.status, self.body)


@pytest.fixture
def agent(entra: LocalEntra, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """Serve what the agent's variable names."""
    trust_issuer(entra)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0, 0.0))
    with loopback(Agent()) as server:
        monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", f"{server.url}/oidctoken/")
        yield server


def answer_with(agent: Loopback, status: int, body: bytes = b"") -> None:
    assert isinstance(agent.respond, Agent)
    agent.respond.status, agent.respond.body = status, body


def made(entra: LocalEntra, colour: Colour, system_access_token: str = SYSTEM_TOKEN, **options: Any) -> Any:
    return class_of(colour, "_azure_pipelines", "AzurePipelinesCredential")(
        entra.tenant_id, entra.api.client_id, "a connection", system_access_token, **(local_options(entra) | options)
    )


# Tokens


def test_the_service_connection_proves_the_application(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    claims = claims_of(colour.get_token(made(entra, colour), SCOPE).token)
    assert (claims["appid"], claims["appidacr"]) == (entra.api.client_id, "2")
    [asked] = agent.asked
    assert (asked.method, asked.body) == ("POST", b"")
    assert asked.path == "/oidctoken?api-version=7.1&serviceConnectionId=a%20connection"
    assert (asked.headers["content-type"], asked.headers["x-tfs-fedauthredirect"]) == ("application/json", "Suppress")
    assert entra.token_requests[0].form["client_assertion"] == foreign_token()


def test_the_arguments_have_names_too(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    credential = class_of(colour, "_azure_pipelines", "AzurePipelinesCredential")(
        tenant_id=entra.tenant_id,
        client_id=entra.api.client_id,
        service_connection_id="id",
        system_access_token=SYSTEM_TOKEN,
        organization_url=f"{agent.url}/contoso",
        **local_options(entra),
    )
    assert colour.get_token_info(credential, SCOPE).token


def test_a_kept_token_needs_no_variable(
    entra: LocalEntra, colour: Colour, agent: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = made(entra, colour)
    token = colour.get_token(credential, SCOPE)
    monkeypatch.delenv("SYSTEM_OIDCREQUESTURI")
    assert colour.get_token(credential, SCOPE) == token
    with pytest.raises(CredentialUnavailableError, match=r"^Missing value for the SYSTEM_OIDCREQUESTURI"):
        colour.get_token(credential, SCOPE, claims="{}")
    assert len(agent.asked) == 1


def test_many_callers_share_one_exchange(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    entra.think_time = 0.05
    assert len(set(ask_at_once(colour, made(entra, colour)))) == 1
    assert (len(agent.asked), entra.requests_to("token")) == (1, 1)


def test_a_token_survives_failures_of_the_agent(colour: Colour, clock: Clock, agent: Loopback) -> None:
    with LocalEntra(clock=clock, token_lifetime=3600, refresh_in=1800) as entra:
        trust_issuer(entra)
        credential = made(entra, colour)
        token = colour.get_token(credential, SCOPE)
        clock.now += 1200
        for status in (500, 401, 200):
            answer_with(agent, status)
            clock.now += 600
            assert colour.get_token(credential, SCOPE) == token
        clock.now += 3600
        with pytest.raises(AuthenticationError):
            colour.get_token(credential, SCOPE)


@pytest.mark.peer_defect(14)
def test_other_work_of_the_loop_goes_on_while_the_agent_thinks(entra: LocalEntra, agent: Loopback) -> None:
    asked, go_on = threading.Event(), threading.Event()
    inner = agent.respond
    went_on: list[bool] = []

    def waiting(exchange: Exchange) -> None:
        asked.set()
        went_on.append(go_on.wait(10))
        inner(exchange)

    async def main() -> Any:
        async with made(entra, Colour("async")) as credential:
            asking = asyncio.create_task(credential.get_token(SCOPE))
            await asyncio.to_thread(asked.wait, 10)
            go_on.set()
            return await asking

    agent.respond = waiting
    assert asyncio.run(main()).token
    assert went_on == [True]


# Refusals


def test_a_bad_system_token_is_told(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    with pytest.raises(AuthenticationError, match="SYSTEM_ACCESSTOKEN is mapped") as caught:
        colour.get_token(made(entra, colour, "canary-of-another-token"), SCOPE)
    assert caught.value.status_code == 401
    assert (len(agent.asked), entra.requests_to("token")) == (1, 0)


def test_a_failing_agent_is_asked_three_times(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    answer_with(agent, 500, b"sorry")
    with pytest.raises(AuthenticationError, match="sorry") as caught:
        colour.get_token(made(entra, colour), SCOPE)
    assert caught.value.status_code == 500
    assert len(agent.asked) == 3


def test_a_redirect_is_not_followed(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    agent.respond = lambda exchange: exchange.reply(302, b"", Location=f"{agent.url}/signin")
    with pytest.raises(AuthenticationError, match="302"):
        colour.get_token(made(entra, colour), SCOPE)
    assert len(agent.asked) == 1


@pytest.mark.peer_defect(22)
def test_another_organizations_server_gets_nothing(entra: LocalEntra, colour: Colour, agent: Loopback) -> None:
    credential = made(entra, colour, organization_url="https://dev.azure.com/contoso")
    with pytest.raises(AuthenticationError, match=r"dev\.azure\.com:443.*127\.0\.0\.1"):
        colour.get_token(credential, SCOPE)
    assert agent.asked == []


# Construction, and what is shown


@pytest.mark.parametrize("position", range(4))
def test_an_empty_argument_is_refused(colour: Colour, position: int) -> None:
    arguments = ["tenant", "client", "connection", "token"]
    names = ["tenant_id", "client_id", "service_connection_id", "system_access_token"]
    arguments[position] = ""
    with pytest.raises(ValueError, match=names[position]):
        class_of(colour, "_azure_pipelines", "AzurePipelinesCredential")(*arguments)


def test_an_unknown_option_is_refused(colour: Colour) -> None:
    with pytest.raises(TypeError, match="AzurePipelinesCredential does not take the option organization"):
        class_of(colour, "_azure_pipelines", "AzurePipelinesCredential")("t", "c", "s", "a", organization="x")


def test_it_is_not_pickled(entra: LocalEntra, colour: Colour) -> None:
    with pytest.raises(TypeError, match="may hold a secret"):
        pickle.dumps(made(entra, colour))


def test_neither_token_nor_assertion_is_shown(
    entra: LocalEntra, colour: Colour, agent: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    opaque = "canary-of-an-assertion"
    answers = [
        (200, json.dumps({"oidcToken": opaque})),
        (200, f'{{"oidcToken":"{opaque}'),
        (400, f"you sent {SYSTEM_TOKEN}"),
        (200, json.dumps({"oidcToken": foreign_token()})),
    ]
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for status, body in answers:
            answer_with(agent, status, body.encode())
            credential = made(entra, colour)
            try:
                colour.get_token(credential, SCOPE)
            except ClientAuthenticationError as error:
                shown += [str(error), repr(error), repr(vars(error))]
            shown += [repr(credential), repr(vars(credential)), repr(vars(credential._client))]
    everything = "\n".join([*shown, caplog.text])
    assert not [text for text in (SYSTEM_TOKEN, opaque, foreign_token()) if text in everything]
