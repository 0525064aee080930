"""Attacks on the credentials: what must hold when callers come at once, a machine lies, or something is at its end."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from credentials import (
    AccessToken,
    ChainUnavailableError,
    ClientAssertion,
    ClientAssertionCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    aio,
)
from credentials._authority import Authority
from credentials._drivers import BlockingDriver
from credentials._flow import Flow, call, sleep
from credentials._pool import ConnectionPool, is_loopback
from credentials._single_flight import PATIENCE, FlightTable
from tests.credentials.flights import KEY, Work, until, waiting
from tests.credentials.helpers import NOW, Clock, in_threads
from tests.credentials.servers import Exchange, Loopback, loopback

SCOPE = "https://vault.azure.net/.default"
TOKEN = json.dumps({"access_token": "a-token", "expires_in": 10_000, "token_type": "Bearer"}).encode()


@dataclass
class Machine:
    """A machine with a managed identity, and a token endpoint at the same server; the identity's answers can wait."""

    server: Loopback
    asked: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    def respond(exchange: Exchange) -> None:
        if exchange.path.startswith("/identity"):
            itself.asked.set()
            itself.go.wait(20)
        exchange.reply(200, TOKEN)

    with loopback(respond) as server:
        itself = Machine(server)
        for name in ("IDENTITY_SERVER_THUMBPRINT", "HTTP_PROXY", "http_proxy", "AZURE_AUTHORITY_HOST"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "the-header")
        yield itself


# Engines within engines


@pytest.mark.timeout(30)
def test_a_blocking_call_on_a_loop_waits_for_no_thread_that_waits_for_a_task_of_that_loop(machine: Machine) -> None:
    credential = ClientAssertionCredential(
        "tenant",
        "client",
        ClientAssertion.from_managed_identity(),
        authority=machine.server.url,
        allow_local_authority=True,
    )
    assertion: Any = credential._client._authentication
    outer, inner = credential._client.engine, assertion.callback.credential._engine
    got: list[str] = []

    async def main() -> None:
        async with aio.ChainedTokenCredential(credential) as chain:
            leader = asyncio.create_task(chain.get_token("https://one/.default"))
            await asyncio.to_thread(machine.asked.wait, 10)
            thread = threading.Thread(target=lambda: got.append(credential.get_token("https://two/.default").token))
            thread.start()
            (flight,) = inner._flights._flights.values()
            await asyncio.to_thread(until, lambda: waiting(flight, 1))
            assert len(outer._flights) == 2
            machine.go.set()
            # The thread leads this token's flight and follows the task, which goes on only when this call is over.
            got.append(credential.get_token("https://two/.default").token)
            got.append((await leader).token)
            await asyncio.to_thread(thread.join, 10)

    with credential:
        asyncio.run(main())
    assert got == ["a-token"] * 3
    assert (len(outer._flights), len(inner._flights)) == (0, 0)


def test_a_blocking_call_on_a_loop_follows_nobody(table: FlightTable[str], pool: ConnectionPool) -> None:
    work = Work(table)
    thread = threading.Thread(target=lambda: BlockingDriver(pool).run(work.flow()))
    thread.start()
    assert work.begun.wait(10)

    def own_flow() -> Flow[str]:
        yield from sleep(0)
        return "own"

    async def main() -> str:
        return BlockingDriver(pool).run(table.fly_flow(KEY, lambda: None, own_flow))

    assert asyncio.run(main()) == "own"
    work.go.set()
    thread.join(10)


def test_a_follower_outwaits_a_managed_identity_that_proves_a_token_request() -> None:
    from credentials import _managed_identity_sources as imds
    from credentials import _region as region
    from credentials import _token_endpoint as endpoint

    each = 10.0  # seconds, the timeout of a request
    identity = each * (1 + len(imds.IMDS_DELAYS_GONE)) + sum(imds.IMDS_DELAYS_GONE)
    exchange = each * (1 + len(endpoint.RETRY_DELAYS)) + sum(endpoint.RETRY_DELAYS)
    assert imds.PROBE_TIMEOUT + identity + region._PATIENCE + exchange < PATIENCE


# Which identity answers


class Slow:
    """A credential that answers when it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        self.asked.set()
        assert self.go.wait(10), "never let go"
        return AccessToken("the-second-ones", int(NOW))


class Late:
    """A credential that is available from the second request on, up to ``last``."""

    def __init__(self, last: int = 1000) -> None:
        self.count, self.last = 0, last

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        self.count += 1
        if not 1 < self.count <= self.last:
            raise CredentialUnavailableError("not here")
        return AccessToken("the-first-ones", int(NOW))


def race(default: DefaultAzureCredential, slow: Slow) -> list[object]:
    """Let one request come as far as the slow member, then let another one win, then let the first go on."""
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(default.get_token(SCOPE).token)
        except ChainUnavailableError as error:
            outcomes.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert slow.asked.wait(10)
    ask()
    slow.go.set()
    thread.join(10)
    return outcomes


def test_of_several_requests_at_once_the_first_token_decides_whose_the_others_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    late, slow = Late(), Slow()
    default = DefaultAzureCredential()
    default.credentials = (late, slow)
    with caplog.at_level("INFO", logger="credentials"):
        assert race(default, slow) == ["the-first-ones", "the-first-ones"]
    assert default.get_token(SCOPE).token == "the-first-ones"
    told = [record.getMessage() for record in caplog.records if "acquired" in record.getMessage()]
    assert told == ["DefaultAzureCredential acquired a token from Late"] * 2


def test_a_request_that_lost_the_race_gets_nobodys_token_if_the_winner_has_none() -> None:
    late, slow = Late(last=2), Slow()
    default = DefaultAzureCredential()
    default.credentials = (late, slow)
    first, second = race(default, slow)
    assert first == "the-first-ones"
    assert isinstance(second, ChainUnavailableError)


# Where secrets go


@pytest.mark.parametrize("host", ["http://localhost:8400", "http://127.0.0.1:8400/x", "http://[::1]:8400"])
def test_a_local_authority_has_no_region(host: str) -> None:
    assert Authority(host).in_region("westus").url == host


def test_a_local_authoritys_secret_goes_to_no_proxy_for_a_regions_sake(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback(lambda exchange: exchange.reply(200, TOKEN)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("AZURE_REGIONAL_AUTHORITY_NAME", "westus")
        authority = machine.server.url.replace("127.0.0.1", "localhost")
        with ClientSecretCredential(
            "tenant", "client", "the-secret", authority=authority, allow_local_authority=True
        ) as credential:
            assert credential.get_token(SCOPE).token == "a-token"
        assert proxy.asked == []


@pytest.mark.parametrize(
    "host", ["127.00.0.1", "127.010.0.1", "127.0.0.256", "127.0.0." + "0" * 5000, "127.0.0.\u0661"]
)
def test_only_an_address_that_nobody_reads_otherwise_is_of_this_machine(host: str) -> None:
    assert not is_loopback(host)
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.255.0.10")


# What is at its end


def test_a_good_token_survives_a_refresh_that_fails_in_any_way(
    machine: Machine, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine.go.set()
    with ManagedIdentityCredential(clock=clock) as credential:
        first = credential.get_token(SCOPE)
        clock.now += 6_000

        def no_more_threads(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            assert credential.get_token(SCOPE) == first
    assert "can't start new thread" in caplog.text


# Whose request it is

whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose")


def test_an_async_function_finds_the_blocking_callers_context(pool: ConnectionPool) -> None:
    async def function() -> str:
        return whose.get("nobody's")

    names = iter(["Ada's", "Ben's", "Cleo's"])

    def ask() -> tuple[str, str]:
        mine = next(names)
        whose.set(mine)
        return mine, BlockingDriver(pool).run(call(function))

    assert all(mine == found for mine, found in in_threads(3, ask))
    assert whose.get("nobody's") == "nobody's"
