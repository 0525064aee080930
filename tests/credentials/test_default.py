"""DefaultAzureCredential at work: who gives the token on which machine, and that it stays who gave it first."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credentials import AccessTokenInfo, AuthenticationError, CredentialUnavailableError
from credentials import _token_endpoint as token_endpoint
from credentials._chained import AsyncChainedTokenCredential, ChainedTokenCredential
from credentials._colours import AsyncColour, BlockingColour
from credentials._default import AsyncDefaultAzureCredential, DefaultAzureCredential
from credentials._errors import ChainUnavailableError
from credentials._types import Place
from obo_middleware.testing import LocalEntra
from tests.credentials.chains import EXPIRES, SCOPE, Ours, chain, closed_by, unavailable
from tests.credentials.defaults import NAMES, default, have_nothing, only, with_members
from tests.credentials.developer_tools import AZ, on_path
from tests.credentials.federation import foreign_token, trust_issuer
from tests.credentials.helpers import SECRET, Clock, Colour, claims_of, in_threads, local_options
from tests.credentials.identities import HEADER_SECRET, give_tokens, set_variables
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback
from tests.credentials.test_fork import in_child


@pytest.fixture(autouse=True)
def _nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with closed_port() as url:
        have_nothing(monkeypatch, tmp_path, url)
        yield


@pytest.fixture
def app_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with loopback(give_tokens) as server:
        set_variables(monkeypatch, IDENTITY_ENDPOINT=f"{server.url}/token", IDENTITY_HEADER=HEADER_SECRET)
        monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
        yield server


# Who gives the token


def test_it_is_a_chain_of_its_colour() -> None:
    assert isinstance(DefaultAzureCredential(), ChainedTokenCredential)
    assert isinstance(AsyncDefaultAzureCredential(), AsyncChainedTokenCredential)


def test_the_members_have_its_colour(colour: Colour) -> None:
    one = default(colour)
    expected = BlockingColour if colour.name == "blocking" else AsyncColour
    assert all(isinstance(member, expected) for member in one.credentials)


def test_the_environments_application_comes_first(
    colour: Colour, entra: LocalEntra, app_service: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(
        monkeypatch,
        AZURE_TENANT_ID=entra.tenant_id,
        AZURE_CLIENT_ID=entra.api.client_id,
        AZURE_CLIENT_SECRET=SECRET,
    )
    one = default(colour, **local_options(entra))
    tokens = {colour.get_token(one, SCOPE).token for _ in range(2)}
    assert [claims_of(token)["oid"] for token in tokens] == [entra.api.object_id]
    assert (len(entra.token_requests), app_service.asked) == (1, [])


def test_a_pods_workload_identity_comes_next(
    colour: Colour, entra: LocalEntra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trust_issuer(entra)
    path = tmp_path / "azure-identity-token"
    path.write_text(foreign_token())
    set_variables(
        monkeypatch,
        AZURE_TENANT_ID=entra.tenant_id,
        AZURE_CLIENT_ID=entra.api.client_id,
        AZURE_FEDERATED_TOKEN_FILE=str(path),
    )
    assert claims_of(colour.get_token(default(colour, **local_options(entra)), SCOPE).token)["appidacr"] == "2"


def test_managed_identity_comes_before_the_tools(
    colour: Colour, app_service: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    tool = on_path(AZ, tmp_path, monkeypatch)
    assert colour.get_token(default(colour, clock=clock), SCOPE).token == "token-1"
    assert tool.runs == []


def test_a_developers_tool_comes_last(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    on_path(AZ, tmp_path, monkeypatch)
    assert colour.get_token(default(colour, clock=clock), SCOPE).token == "the-token"


def test_where_there_is_nothing_every_member_says_what_it_lacks(colour: Colour) -> None:
    one = default(colour)
    with pytest.raises(ChainUnavailableError) as caught:
        colour.get_token(one, SCOPE)
    told = [line.strip().partition(":")[0].removeprefix("Async") for line in str(caught.value).split("\n")[2:]]
    assert told == list(NAMES)
    assert len(caught.value.errors) == len(NAMES)


@pytest.mark.parametrize("method", ["get_token", "get_token_info"])
def test_no_scope_is_refused(colour: Colour, method: str) -> None:
    with pytest.raises(ValueError, match=f'"{method}" requires at least one scope'):
        getattr(colour, method)(default(colour))


# It stays who gave the first token


def test_the_first_to_give_a_token_gives_all_others(colour: Colour) -> None:
    members = [Ours(unavailable(), "too late"), Ours("first", "second"), Ours("never")]
    one = with_members(colour, *members)
    assert [colour.get_token(one, SCOPE).token for _ in range(2)] == ["first", "second"]
    assert [len(member.asked) for member in members] == [1, 2, 0]


@pytest.mark.parametrize("error", [AuthenticationError("no"), unavailable(), ValueError("odd")])
def test_its_errors_come_through_unchanged(colour: Colour, error: Exception) -> None:
    one = with_members(colour, Ours(unavailable()), Ours("first", error), Ours("never"))
    colour.get_token(one, SCOPE)
    with pytest.raises(type(error)) as caught:
        colour.get_token(one, SCOPE)
    assert caught.value is error
    assert one.credentials[2].asked == []


def test_its_token_at_hand_is_returned_without_any_flow(colour: Colour) -> None:
    winner = Ours("asked")
    one = with_members(colour, Ours(unavailable()), winner)
    assert colour.get_token(one, SCOPE).token == "asked"
    winner.kept = AccessTokenInfo("kept", EXPIRES)
    assert one._fresh(one._query((SCOPE,), "get_token", {})) is winner.kept
    assert colour.get_token(one, SCOPE).token == "kept"


def test_a_refusal_by_a_real_winner_is_not_wrapped(
    colour: Colour, app_service: Loopback, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    one = default(colour, clock=clock)
    colour.get_token(one, SCOPE)
    app_service.respond = lambda exchange: exchange.reply(401, b'{"error":"x","message":"no"}')
    with pytest.raises(AuthenticationError) as caught:
        colour.get_token(one, f"{SCOPE}2")
    assert type(caught.value) is AuthenticationError
    assert colour.get_token(one, SCOPE).token == "token-1"


def test_threads_that_come_at_once_get_one_token(app_service: Loopback, clock: Clock) -> None:
    with DefaultAzureCredential(clock=clock) as one:
        assert {made.token for made in in_threads(8, lambda: one.get_token(SCOPE))} == {"token-1"}
    assert len(app_service.asked) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_keeps_to_it() -> None:
    one = with_members(Colour("blocking"), Ours(unavailable(), "too late"), Ours("first", "second"))
    one.get_token(SCOPE)
    assert in_child(lambda: bool(one.get_token(SCOPE).token == "second"))


def test_the_log_says_who_it_is_once(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "credentials")
    one = with_members(colour, Ours("a-token"))
    caplog.clear()
    for _ in range(2):
        colour.get_token(one, SCOPE)
    assert [record.getMessage() for record in caplog.records] == [f"{type(one).__name__} acquired a token from Ours"]


# Where the members are asked


@pytest.mark.peer_defect(12)
def test_members_know_that_they_are_within_it_also_through_a_chain(colour: Colour) -> None:
    first, second = Ours(unavailable()), Ours("token")
    colour.get_token(with_members(colour, first, chain(colour, second)), SCOPE)
    within = Ours("token")
    colour.get_token(chain(colour, with_members(colour, within)), SCOPE)
    assert {member.asked[0].place for member in (first, second, within)} == {Place.DEFAULT}


def test_only_a_managed_identity_is_sure_to_be_there_when_the_variable_names_it(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    member = Ours("token")
    colour.get_token(with_members(colour, member), SCOPE)
    assert member.asked[0].place is Place.DEFAULT


def metadata(exchange: Exchange) -> None:
    """Answer as the metadata service does, which refuses a request without its header."""
    if exchange.headers.get("Metadata") == "true":
        give_tokens(exchange)
    else:
        exchange.reply(400, b'{"error":"invalid_request"}', Content_Type="application/json")


@pytest.mark.parametrize(("value", "headers"), [("", [None, "true"]), ("ManagedIdentityCredential", ["true"])])
def test_the_metadata_service_is_probed_unless_it_is_known_to_be_there(
    colour: Colour, value: str, headers: list[str | None], monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    seen: list[str | None] = []

    def respond(exchange: Exchange) -> None:
        seen.append(exchange.headers.get("Metadata"))
        metadata(exchange)

    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", value)
    with loopback(respond) as server:
        have_nothing_but(monkeypatch, server.url, value)
        assert colour.get_token(default(colour, clock=clock), SCOPE).token.startswith("token-")
    assert seen == headers


def have_nothing_but(monkeypatch: pytest.MonkeyPatch, url: str, value: str) -> None:
    have_nothing(monkeypatch, Path(__file__).parent, url)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", value)


def test_an_absent_metadata_service_is_probed_once_and_then_known_to_be_absent(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with loopback(lambda exchange: exchange.reply(404, b"<html>")) as server:
        have_nothing_but(monkeypatch, server.url, "")
        for one in (default(colour, clock=clock), chain(colour, *default(colour, clock=clock).credentials[2:3])):
            before = len(server.asked)
            for _ in range(3):
                with pytest.raises(CredentialUnavailableError):
                    colour.get_token(one, SCOPE)
            assert len(server.asked) == before + 1


def test_a_tools_trouble_is_the_next_ones_turn(colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_path(AZ, tmp_path, monkeypatch).says(errors="something broke", status=1)
    with pytest.raises(ChainUnavailableError, match="something broke"):
        colour.get_token(default(colour), SCOPE)


# Its end, and its copies


def test_closing_it_closes_its_members(colour: Colour) -> None:
    member = Ours("a")
    colour.get_token(with_members(colour, member), SCOPE)
    assert member.connections.closed == closed_by(colour)


@pytest.mark.parametrize("kind", [DefaultAzureCredential, AsyncDefaultAzureCredential])
def test_it_is_pickled_as_its_options_also_after_use(kind: Any, colour: Colour) -> None:
    one = kind(**only("ManagedIdentityCredential", "AzureCliCredential"), process_timeout=3)
    one._winner = one.credentials[0]
    again = pickle.loads(pickle.dumps(one))  # noqa: S301  # made a line above
    assert type(again) is kind
    assert [type(member) for member in again.credentials] == [type(member) for member in one.credentials]
    assert again._winner is None
