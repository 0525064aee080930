from __future__ import annotations

import logging
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest

from credentials import (
    ClientAuthenticationError,
    ClientConfigurationError,
    ClientSecret,
    ConsentRequiredError,
    UnusableAnswerError,
)
from credentials._authority import Authority
from credentials._cache import key_of
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine, TokenQuery
from credentials._flow import HttpResponse, SendRequest
from credentials._token_endpoint import UserAssertion
from tests.credentials.helpers import Clock, Played, answer, client_info, play, refusal, token_answer

ALICE = UserAssertion(token="user-token", partition=key_of("alice"), object_id="alice-oid", tenant_id="home")


def make(clock: Clock, **changes: Any) -> ConfidentialClient:
    usual: dict[str, Any] = {
        "authority": Authority("https://login.example"),
        "tenant_id": "home",
        "client_id": "app",
        "authentication": ClientSecret("s3cret"),
        "engine": TokenEngine(clock=clock),
        "additionally_allowed_tenants": ["other"],
    }
    return ConfidentialClient(**(usual | changes))


@pytest.fixture
def client(clock: Clock) -> ConfidentialClient:
    return make(clock)


def form_of(played: Played[Any], number: int = 0) -> dict[str, str]:
    effect = played.effects[number]
    assert isinstance(effect, SendRequest)
    return dict(urllib.parse.parse_qsl(effect.request.body.decode()))


@pytest.mark.parametrize("client_id", ["", "  ", "a\nb", None, 7])
def test_a_client_needs_an_id(clock: Clock, client_id: Any) -> None:
    with pytest.raises(ValueError, match="client_id"):
        make(clock, client_id=client_id)


def test_a_client_needs_a_tenant(clock: Clock) -> None:
    with pytest.raises(ValueError, match="tenant_id"):
        make(clock, tenant_id="a/b")


def test_a_query_is_checked(client: ConfidentialClient) -> None:
    query = client.query(("b", "a", "b"), claims="", tenant_id="other", enable_cae=True)
    assert (query.scopes, query.tenant_id, query.claims, query.enable_cae) == (("b", "a"), "other", None, True)
    assert client.query(("a",)).tenant_id == "home"
    with pytest.raises(ValueError, match='"get_token_info"'):
        client.query((), method="get_token_info")
    with pytest.raises(ClientAuthenticationError, match="third"):
        client.query(("a",), tenant_id="third")


def test_a_token_is_asked_for_at_the_tenants_endpoint(client: ConfidentialClient) -> None:
    query = client.query(("s/.default",), tenant_id="other")
    played = play(client.token_flow(query), token_answer("t"))
    assert played.result.token == "t"
    (effect,) = played.effects
    assert isinstance(effect, SendRequest)
    assert effect.request.url == "https://login.example/other/oauth2/v2.0/token"
    assert form_of(played) == {
        "client_id": "app",
        "client_secret": "s3cret",
        "grant_type": "client_credentials",
        "scope": "s/.default",
    }


def test_a_token_on_behalf_of_a_user_carries_the_assertion(client: ConfidentialClient) -> None:
    form = form_of(play(client.token_flow(client.query(("s",)), ALICE), token_answer()))
    assert (form["assertion"], form["requested_token_use"]) == ("user-token", "on_behalf_of")


@pytest.mark.attack(120)
def test_a_token_is_then_fresh_for_its_query_and_user_only(client: ConfidentialClient) -> None:
    query = client.query(("s",))
    assert client.fresh(query, ALICE) is None
    play(client.token_flow(query, ALICE), token_answer("t"))
    fresh = client.fresh(query, ALICE)
    assert fresh is not None
    assert fresh.token == "t"
    bob = UserAssertion(token="user-token", partition=key_of("bob"))
    others = [(query, None), (query, bob), (client.query(("s",), enable_cae=True), ALICE)]
    others += [(client.query(("u",)), ALICE), (client.query(("s",), tenant_id="other"), ALICE)]
    assert [client.fresh(*other) for other in others] == [None] * 5
    assert client.fresh(client.query(("s",), claims="{}"), ALICE) is None


@pytest.mark.parametrize(
    ("claims", "cae", "sent"),
    [
        (None, False, None),
        ('{"a" :1}', False, '{"a" :1}'),
        (None, True, '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'),
        ('{"a" :1}', True, '{"a": 1, "access_token": {"xms_cc": {"values": ["CP1"]}}}'),
    ],
)
def test_claims_are_sent_as_given_or_with_the_capability(
    client: ConfidentialClient, claims: str | None, cae: bool, sent: str | None
) -> None:
    query = client.query(("s",), claims=claims, enable_cae=cae)
    assert form_of(play(client.token_flow(query, ALICE), token_answer())).get("claims") == sent


def test_claims_that_cannot_be_merged_are_refused_before_anything_is_sent(client: ConfidentialClient) -> None:
    played = play(client.token_flow(client.query(("s",), claims="no", enable_cae=True)))
    assert isinstance(played.error, ValueError)
    assert played.effects == []


def test_one_request_has_one_id_for_all_its_attempts(clock: Clock) -> None:
    ids = iter(["jti", "request-1", "jti", "request-2"])
    client = make(clock, new_id=lambda: next(ids))
    played = play(client.token_flow(client.query(("s",))), answer(500), None, token_answer())
    sent = [effect.request.headers["client-request-id"] for effect in played.effects if isinstance(effect, SendRequest)]
    assert sent == ["request-1"] * 2


@pytest.mark.attack(140)
def test_only_a_users_token_must_grant_each_scope(client: ConfidentialClient) -> None:
    query = client.query(("a", "b"))
    assert play(client.token_flow(query), token_answer(scope="a")).result
    played = play(client.token_flow(query, ALICE), token_answer(scope="a"))
    assert isinstance(played.error, ConsentRequiredError)
    assert client.fresh(query, ALICE) is None


@pytest.mark.attack(142)
def test_a_token_of_another_user_is_logged_and_not_kept(
    client: ConfidentialClient, caplog: pytest.LogCaptureFixture
) -> None:
    query = client.query(("s",))
    response = token_answer("hidden", client_info=client_info("bob-oid", "home"))
    assert isinstance(play(client.token_flow(query, ALICE), response).error, UnusableAnswerError)
    assert client.fresh(query, ALICE) is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "another user" in caplog.text
    assert "hidden" not in caplog.text


def test_a_refusal_is_of_one_assertion_and_not_of_the_next_one_of_its_session(client: ConfidentialClient) -> None:
    query, following = client.query(("s",)), replace(ALICE, token="the next token")
    assert isinstance(play(client.token_flow(query, ALICE), refusal(65001)).error, ConsentRequiredError)
    again = play(client.token_flow(query, ALICE))
    assert (type(again.error), again.effects) == (ConsentRequiredError, [])
    assert play(client.token_flow(query, following), token_answer()).error is None


def test_who_was_refused_with_the_same_token_and_claims_gets_the_same_answer(client: ConfidentialClient) -> None:
    query = replace(client.query(("s",), claims="{}"), refused="old")
    first = play(client.token_flow(query, ALICE), token_answer("new"))
    again = play(client.token_flow(query, ALICE))
    assert (again.result, again.effects) == (first.result, [])


@pytest.mark.attack(147)
def test_our_own_mistake_is_logged_with_what_to_mend(
    client: ConfidentialClient, caplog: pytest.LogCaptureFixture
) -> None:
    played = play(client.token_flow(client.query(("s",))), refusal(7000215, status=401, error="invalid_client"))
    assert isinstance(played.error, ClientConfigurationError)
    assert "app is not set up rightly" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.attack(136)
@pytest.mark.parametrize("lifetime", [0, -5, 10**18, "x"])
def test_a_token_without_a_plausible_life_is_returned_but_not_kept(client: ConfidentialClient, lifetime: Any) -> None:
    query = client.query(("s",))
    assert play(client.token_flow(query), token_answer("t", expires_in=lifetime)).result.token == "t"
    assert client.fresh(query) is None
    assert len(client.engine) == 0


@pytest.mark.attack(143)
def test_a_redirect_takes_nothing_along(client: ConfidentialClient) -> None:
    response = HttpResponse(status=307, headers={"location": "https://evil.example/"}, body=b"")
    played = play(client.token_flow(client.query(("s",))), response)
    assert isinstance(played.error, UnusableAnswerError)
    assert len(played.effects) == 1


def test_queries_do_not_show_the_refused_token() -> None:
    query = TokenQuery(scopes=("s",), tenant_id="t", application=b"hidden", claims="{}", refused="hidden")
    assert "hidden" not in repr(query)
