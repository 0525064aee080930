"""The chain: whom it asks, in which order, with which options."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import (
    AccessTokenInfo,
    AuthenticationError,
    ClientAuthenticationError,
    ClientSecretCredential,
    CredentialUnavailableError,
)
from credentials._chained import ChainedTokenCredential
from credentials._errors import ChainedAuthenticationError, ChainUnavailableError
from credentials._types import Place
from obo_middleware.testing import LocalEntra
from tests.credentials.chains import (
    EXPIRES,
    KINDS,
    SCOPE,
    AsyncPlain,
    Ours,
    Outcome,
    Plain,
    Theirs,
    chain,
    unavailable,
)
from tests.credentials.helpers import SECRET, Colour, in_threads, local_options

CLAIMS = '{"access_token":{}}'
PAIRS = [(first, second) for first in KINDS for second in KINDS]
WISH: Any = {"claims": CLAIMS, "tenant_id": "contoso.com", "enable_cae": True, "pop": {"nonce": "n"}}
"""Every option, the one that only some credentials know included."""


# Whom it takes


def test_a_chain_of_nothing_is_refused(colour: Colour) -> None:
    with pytest.raises(ValueError, match="at least one credential is required"):
        chain(colour)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (None, "credential 2 is a NoneType, which has neither get_token nor get_token_info"),
        ("secret", "credential 2 is a str, which has neither"),
        (Ours, "credential 2 is the class Ours: give an object of it"),
    ],
)
def test_what_is_no_credential_is_named_with_its_position(colour: Colour, member: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        chain(colour, Ours("a"), member)
    assert "secret" not in str(caught.value)


def test_the_members_can_be_looked_at(colour: Colour) -> None:
    members = (Ours("a"), Plain("b"))
    assert chain(colour, *members).credentials == members


# Order


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_first_that_can_gives_the_token_whatever_its_kind(colour: Colour, first: Any, second: Any) -> None:
    one = chain(colour, first(unavailable()), second("second"), Ours("third"))
    assert colour.get_token(one, SCOPE) == ("second", EXPIRES)
    assert colour.get_token_info(one, SCOPE) == AccessTokenInfo("second", EXPIRES)
    assert one.credentials[2].asked == []


def test_each_request_begins_with_the_first_member(colour: Colour) -> None:
    members = (Ours(unavailable(), "back again"), Ours("second"))
    one = chain(colour, *members)
    assert [colour.get_token(one, SCOPE).token for _ in range(2)] == ["second", "back again"]


@pytest.mark.peer_defect(13)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_where_none_is_available_neither_is_the_chain(colour: Colour, kind: Any) -> None:
    errors = [unavailable("one"), unavailable("two")]
    with pytest.raises(ChainUnavailableError) as caught:
        colour.get_token(chain(colour, *(kind(error) for error in errors)), SCOPE)
    assert caught.value.errors == tuple(errors)


@given(outcomes=st.lists(st.sampled_from(["unavailable", "failed", "token"]), min_size=1, max_size=6))
def test_the_first_that_is_available_decides(outcomes: list[str]) -> None:
    made: dict[str, Outcome] = {"unavailable": unavailable(), "failed": RuntimeError("failed"), "token": "token"}
    members = [Ours(made[outcome]) for outcome in outcomes]
    error: Exception | None = None
    try:
        ChainedTokenCredential(*members).get_token(SCOPE)
    except ClientAuthenticationError as raised:
        error = raised
    deciding = next((n for n, outcome in enumerate(outcomes) if outcome != "unavailable"), len(outcomes) - 1)
    assert [len(member.asked) for member in members] == [1] * (deciding + 1) + [0] * (len(members) - deciding - 1)
    kinds = {"unavailable": ChainUnavailableError, "failed": ChainedAuthenticationError, "token": type(None)}
    assert type(error) is kinds[outcomes[deciding]]


# What it asks for


@pytest.mark.peer_defect(12)
def test_members_of_ours_get_every_option_and_know_where_they_are_asked(colour: Colour) -> None:
    member = Ours("a")
    colour.get_token_info(chain(colour, member), SCOPE, options=WISH)
    (request,) = member.asked
    assert (request.scopes, request.method, request.place) == ((SCOPE,), "get_token_info", Place.CHAIN)
    assert request.options == WISH


def test_others_get_every_option_that_says_something(colour: Colour) -> None:
    member = Theirs("a")
    colour.get_token_info(chain(colour, member), SCOPE, options=WISH)
    colour.get_token(chain(colour, member), SCOPE, claims=CLAIMS, tenant_id="contoso.com", enable_cae=True)
    colour.get_token(chain(colour, member), SCOPE)
    told = {name: value for name, value in WISH.items() if name != "pop"}
    assert member.asked == [((SCOPE,), WISH), ((SCOPE,), told), ((SCOPE,), {})]


@pytest.mark.parametrize("kind", [Plain, AsyncPlain])
def test_get_token_is_asked_with_the_options_of_azure_cores_protocol(colour: Colour, kind: Any) -> None:
    member, wish = kind("a"), WISH | {"pop": None, "unheard_of": 1}
    colour.get_token_info(chain(colour, member), SCOPE, options=wish)
    told = {"claims": CLAIMS, "tenant_id": "contoso.com", "enable_cae": True}
    assert member.asked == [((SCOPE,), told)]


@pytest.mark.parametrize("kind", [Plain, AsyncPlain])
def test_proof_of_possession_is_beyond_a_member_with_get_token_only(colour: Colour, kind: Any) -> None:
    first, second = kind("first"), Theirs("second")
    assert colour.get_token_info(chain(colour, first, second), SCOPE, options=WISH).token == "second"
    assert first.asked == []
    with pytest.raises(ChainUnavailableError, match="proof-of-possession"):
        colour.get_token_info(chain(colour, first), SCOPE, options=WISH)


@pytest.mark.parametrize("method", ["get_token", "get_token_info"])
def test_no_scope_is_refused_before_anybody_is_asked(colour: Colour, method: str) -> None:
    members = (Ours("a"), Plain("b"))
    with pytest.raises(ValueError, match=f'"{method}" requires at least one scope'):
        getattr(colour, method)(chain(colour, *members))
    assert [member.asked for member in members] == [[], []]


# Tokens at hand


def test_the_first_members_token_is_returned_without_any_flow(colour: Colour) -> None:
    first = Ours("asked")
    first.kept = AccessTokenInfo("kept", EXPIRES)
    assert colour.get_token(chain(colour, first, Ours("b")), SCOPE).token == "kept"
    assert colour.get_token(chain(colour, chain(colour, first)), SCOPE).token == "kept"
    assert first.asked == []


def test_another_members_token_at_hand_does_not_overtake_the_first(colour: Colour) -> None:
    second = Ours("asked")
    second.kept = AccessTokenInfo("kept", EXPIRES)
    assert colour.get_token(chain(colour, Ours("first"), second), SCOPE).token == "first"
    assert colour.get_token(chain(colour, Plain("first"), second), SCOPE).token == "first"
    assert colour.get_token(chain(colour, Ours(unavailable()), second), SCOPE).token == "kept"


def test_a_query_that_the_first_member_refuses_is_told_as_a_chain_tells(colour: Colour) -> None:
    class Picky(Ours):
        def _query(self, *_: Any) -> Any:
            raise ValueError("exactly one scope, please")

    with pytest.raises(ChainedAuthenticationError, match="Picky: ValueError: exactly one scope"):
        colour.get_token(chain(colour, Picky("a"), Ours("b")), SCOPE)


def test_a_real_member_of_ours_keeps_its_token(colour: Colour, entra: LocalEntra, app: Any) -> None:
    one = chain(colour, Ours(unavailable()), app)
    tokens = {colour.get_token(one, SCOPE).token for _ in range(3)}
    assert len(tokens) == len(entra.token_requests) == 1


def test_threads_that_come_at_once_share_one_request(entra: LocalEntra) -> None:
    member = ClientSecretCredential(entra.tenant_id, entra.api.client_id, SECRET, **local_options(entra))
    with chain("blocking", Ours(unavailable()), member) as one:
        assert len({made.token for made in in_threads(8, lambda: one.get_token(SCOPE))}) == 1
    assert len(entra.token_requests) == 1


# What is logged


def test_the_log_says_who_gave_the_token_and_who_did_not(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "credentials")
    one = chain(colour, Plain(unavailable("no\nroom")), Ours("the-token"))
    colour.get_token(one, SCOPE)
    name = type(one).__name__
    assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "credentials"] == [
        ("DEBUG", f"{name}: Plain gave no token: no room"),
        ("INFO", f"{name} acquired a token from Ours"),
    ]


def test_a_failed_chain_is_logged_as_a_warning_and_one_within_another_is_not(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "credentials")
    one = chain(colour, chain(colour, Ours(unavailable())), chain(colour, Ours(RuntimeError("boom"))))
    with pytest.raises(ChainedAuthenticationError) as caught:
        colour.get_token(one, SCOPE)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", str(caught.value))]
    caplog.clear()
    colour.get_token(chain(colour, chain(colour, Ours("token"))), SCOPE)
    assert len(caplog.records) == 1


# The two kinds of error are siblings: either may be tested for first


@pytest.mark.parametrize(("outcome", "branch"), [(AuthenticationError("no"), "failed"), (unavailable(), "unavailable")])
def test_a_caller_may_tell_the_two_kinds_of_failure_apart(colour: Colour, outcome: Exception, branch: str) -> None:
    try:
        colour.get_token(chain(colour, Ours(outcome)), SCOPE)
    except AuthenticationError:
        assert branch == "failed"
    except CredentialUnavailableError:
        assert branch == "unavailable"
    else:
        pytest.fail("neither was raised")
