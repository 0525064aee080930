"""Managed identities and the token cache: one request for many callers, tokens that survive outages, claims, probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credentials import AuthenticationError, CredentialUnavailableError, ProviderUnavailableError
from credentials import _managed_identity as module
from credentials import _token_endpoint as token_endpoint
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Flow
from credentials._managed_identity import ManagedIdentityFamily
from credentials._managed_identity_answer import Identity
from credentials._managed_identity_sources import Imds
from credentials._types import Place
from tests.credentials.helpers import NOW, Clock, Colour, Drive, in_threads
from tests.credentials.identities import (
    CLAIMS,
    HEADER_SECRET,
    RESOURCE,
    SCOPE,
    credential_of,
    forget_azure,
    give_tokens,
    parameters,
    paths,
    record,
    set_variables,
)
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback

Respond = Callable[[Exchange], None]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0,) * 3)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(give_tokens) as server:
        yield server


@pytest.fixture
def app_service(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    set_variables(monkeypatch, IDENTITY_ENDPOINT=f"{server.url}/token", IDENTITY_HEADER=HEADER_SECRET)
    return server


@pytest.mark.peer_defect(8)
def test_eight_threads_and_eight_tasks_cost_one_request(app_service: Loopback) -> None:
    family = ManagedIdentityFamily()
    pool = family._pool

    def flow() -> Flow[str]:
        info = yield from family._token_flow(family._query((SCOPE,), "get_token", {}))
        return info.token

    async def tasks() -> list[str]:
        try:
            return await asyncio.gather(*(AsyncDriver(pool).run(flow()) for _ in range(8)))
        finally:
            await pool.aclose()

    works: list[Callable[[], list[str]]] = [lambda: asyncio.run(tasks())]
    works += [lambda: [BlockingDriver(pool).run(flow())]] * 8

    def work() -> list[str]:
        return works.pop()()

    found = in_threads(9, work)
    pool.close()
    assert [token for tokens in found for token in tokens] == ["token-1"] * 16
    assert len(app_service.asked) == 1


def test_each_resource_has_a_token_of_its_own(app_service: Loopback, colour: Colour) -> None:
    credential = credential_of(colour)
    scopes = [SCOPE, RESOURCE, "https://graph.microsoft.com/.default"]
    assert [colour.get_token(credential, scope).token for scope in scopes] == ["token-1", "token-1", "token-2"]
    assert [parameters(asked.path)["resource"] for asked in app_service.asked] == [
        RESOURCE,
        "https://graph.microsoft.com",
    ]


def _refuse(exchange: Exchange) -> None:
    exchange.reply(400, b'{"statusCode":400,"message":"no"}')


def _fail(exchange: Exchange) -> None:
    exchange.reply(500, b'{"error":"out of order"}')


def _redirect(exchange: Exchange) -> None:
    exchange.reply(302, b"{}", Location=f"{exchange.server.url}/elsewhere")


def _say_html(exchange: Exchange) -> None:
    exchange.reply(200, b"<html></html>", Content_Type="text/html")


def _hang_up(exchange: Exchange) -> None:
    exchange.close_connection = True


FAILURES: list[tuple[Respond, type[Exception]]] = [
    (_refuse, AuthenticationError),
    (_fail, ProviderUnavailableError),
    (_redirect, AuthenticationError),
    (_say_html, CredentialUnavailableError),
    (_hang_up, CredentialUnavailableError),
]


@pytest.mark.peer_defect(6)
@pytest.mark.parametrize(("respond", "kind"), FAILURES)
def test_a_valid_token_survives_every_failure(
    app_service: Loopback, colour: Colour, clock: Clock, respond: Respond, kind: type[Exception]
) -> None:
    credential = credential_of(colour, clock=clock)
    first = colour.get_token(credential, SCOPE)
    app_service.respond = respond
    clock.now += 50_000
    assert colour.get_token(credential, SCOPE) == first
    clock.now = first.expires_on
    with pytest.raises(kind) as caught:
        colour.get_token(credential, SCOPE)
    assert HEADER_SECRET not in str(caught.value)
    assert "/elsewhere" not in paths(app_service)


@pytest.mark.parametrize(("respond", "requests"), [(_refuse, 1), (_fail, 4), (_redirect, 1), (_say_html, 1)])
def test_only_a_failure_is_asked_again(app_service: Loopback, colour: Colour, respond: Respond, requests: int) -> None:
    app_service.respond = respond
    with pytest.raises((AuthenticationError, CredentialUnavailableError)):
        colour.get_token(credential_of(colour), SCOPE)
    assert len(app_service.asked) == requests


# Claims and what else a source is told


def test_claims_ask_anew_and_replace_the_token(app_service: Loopback, colour: Colour, clock: Clock) -> None:
    credential = credential_of(colour, clock=clock)
    wishes: list[dict[str, Any]] = [{}, {"claims": CLAIMS}, {}, {"claims": ""}]
    tokens = [colour.get_token(credential, SCOPE, **wish).token for wish in wishes]
    assert tokens == ["token-1", "token-2", "token-2", "token-2"]
    assert all("claims" not in asked.path for asked in app_service.asked)


def test_a_source_is_told_what_it_may_need(colour: Colour, clock: Clock) -> None:
    credential = credential_of(colour, object_id="o-1", clock=clock)
    source = record(credential)
    for wish in ({}, {"claims": CLAIMS}, {"enable_cae": True}, {"claims": CLAIMS, "enable_cae": True}):
        colour.get_token(credential, SCOPE, tenant_id="ignored", **wish)
    assert [query.refused for query in source.queries] == [None, "token-1", None, "token-3"]
    assert [query.claims for query in source.queries] == [None, CLAIMS, None, CLAIMS]
    assert [query.capabilities for query in source.queries] == [(), (), ("CP1",), ("CP1",)]
    assert {(query.resource, query.now, query.place) for query in source.queries} == {(RESOURCE, NOW, Place.ALONE)}
    assert {query.identity for query in source.queries} == {Identity(object_id="o-1")}


def test_a_token_that_is_due_for_a_refresh_can_be_refused_too(colour: Colour, clock: Clock) -> None:
    credential = credential_of(colour, clock=clock)
    source = record(credential)
    info = colour.get_token_info(credential, SCOPE)
    clock.now = (info.refresh_on or 0) + 1
    colour.get_token(credential, SCOPE, claims=CLAIMS)
    assert [query.refused for query in source.queries] == [None, info.token]


def test_a_claims_challenge_without_a_token_refuses_none(colour: Colour) -> None:
    credential = credential_of(colour)
    source = record(credential)
    colour.get_token(credential, SCOPE, claims=CLAIMS)
    assert source.queries[0].refused is None


@pytest.mark.parametrize("place", Place)
def test_a_source_is_told_whether_a_chain_asks(place: Place, drive: Drive) -> None:
    family = ManagedIdentityFamily()
    source = record(family)
    assert drive(family._member_flow((SCOPE,), {}, place=place)).token == "token-1"
    assert source.queries[0].place is place


def test_in_the_middle_of_a_chain_an_absent_service_costs_one_probe_in_half_a_minute(
    drive: Drive, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes: list[float] = []

    class Counting(Imds):
        def probe_request(self, query: Any) -> Any:
            probes.append(query.now)
            return super().probe_request(query)

    with closed_port() as url:
        monkeypatch.setattr(module, "Imds", lambda _base_url: Counting(url))
        family = ManagedIdentityFamily(clock=clock)
        for seconds in (0, 0, 29, 1, 29):
            clock.now += seconds
            with pytest.raises(CredentialUnavailableError, match="IMDS managed identity: there is no metadata"):
                drive(family._member_flow((SCOPE,), {}, place=Place.CHAIN))
        family._pool.close()
    assert probes == [NOW, NOW + 30]
