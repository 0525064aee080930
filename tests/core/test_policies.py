"""Who may call with a token that is valid: policies of the settings, for Entra's tokens and another issuer's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from obo_middleware._runtime import Runtime
from obo_middleware.errors import InsufficientScopeError
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import CLIENT_ID, ForeignIssuer, key_pair, outcome
from tests.core.forgery import Forge, by_the_forger, signature_of_another
from tests.core.kit import NOW, Run, bearer, fetch, no_answer, play, settings_for

OTHER = "a9100000-0000-4000-8000-0000000000ff"
HOUR = 3600


@pytest.fixture
def issuer(provider: LocalEntra) -> Iterator[ForeignIssuer]:
    with ForeignIssuer(clock=provider.clock) as running:
        yield running


def judge(provider: LocalEntra, token: str, run: Run | None = None, **policy: Any) -> str:
    """Return what happens to a token of Entra under a policy."""
    runtime = Runtime(settings_for(provider, **policy))
    return outcome(runtime, token, run) if run else outcome(runtime, token)


# The longest life


@pytest.mark.attack(80)
@pytest.mark.parametrize("version", [1, 2])
def test_a_token_that_lives_too_long_is_invalid(provider: LocalEntra, run: Run, version: int) -> None:
    for seconds, expected in ((HOUR, "OK"), (HOUR + 1, "T"), (28 * HOUR, "T")):
        token = provider.sign_in("alice", lifetime=seconds, version=version)
        assert judge(provider, token, run, max_token_life=HOUR) == expected
        assert judge(provider, token, run) == "OK"


def test_it_is_the_life_ahead_that_counts(provider: LocalEntra) -> None:
    old = provider.sign_in("alice", iat=int(NOW) - 90 * HOUR, nbf=int(NOW) - 90 * HOUR, exp=int(NOW) + 60)
    assert judge(provider, old, max_token_life=60) == "OK"
    assert judge(provider, old, max_token_life=59.5) == "T"


@pytest.mark.attack(80)
def test_the_longest_life_holds_for_every_issuer(provider: LocalEntra, issuer: ForeignIssuer, run: Run) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], max_token_life=HOUR))
    assert outcome(runtime, issuer.token(exp=int(NOW) + HOUR), run) == "OK"
    assert outcome(runtime, issuer.token(exp=int(NOW) + HOUR + 1), run) == "T"


# Clients


@pytest.mark.attack(89)
@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"azp": OTHER}, "OK"),
        ({"azp": None, "appid": OTHER}, "OK"),
        ({"version": 1, "appid": OTHER}, "OK"),
        ({}, "S"),
        ({"version": 1}, "S"),
        ({"azp": OTHER.upper()}, "S"),
        ({"azp": OTHER[:-1]}, "S"),
        ({"azp": f"{OTHER} "}, "S"),
        ({"azp": None}, "S"),
        ({"azp": ""}, "S"),
        ({"client_id": OTHER}, "S"),
    ],
    ids=str,
)
def test_only_allowed_clients_may_call(provider: LocalEntra, run: Run, claims: dict[str, Any], expected: str) -> None:
    token = provider.sign_in("alice", **claims)
    assert judge(provider, token, run, allowed_clients=[OTHER.upper(), "another"]) == expected
    assert judge(provider, token, run) == "OK"


@pytest.mark.attack(89)
def test_each_issuer_has_its_own_clients(provider: LocalEntra, issuer: ForeignIssuer, run: Run) -> None:
    trusted = issuer.trusted(allowed_clients=[CLIENT_ID])
    runtime = Runtime(settings_for(provider, issuers=[trusted], allowed_clients=[OTHER]))
    assert outcome(runtime, issuer.token(), run) == "OK"
    for client in (OTHER, CLIENT_ID.upper(), f"{CLIENT_ID} ", "", None):
        assert outcome(runtime, issuer.token(client_id=client), run) == "S"
    assert outcome(runtime, provider.sign_in("alice", azp=CLIENT_ID), run) == "S"
    assert outcome(runtime, provider.sign_in("alice", azp=OTHER), run) == "OK"


def test_an_issuer_without_a_list_lets_every_client_call(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], allowed_clients=[OTHER]))
    for client in ("any", None):
        assert outcome(runtime, issuer.token(client_id=client)) == "OK"


# Guests


@pytest.mark.attack(91)
@pytest.mark.parametrize(
    ("acct", "expected"),
    [(0, "OK"), *zip((1, None, "0", "1", False, True, 0.0, 2, -1, [0], {}, ""), itertools.repeat("S"))],
)
def test_guests_are_refused_where_only_members_may_call(
    provider: LocalEntra, run: Run, acct: Any, expected: str
) -> None:
    token = provider.sign_in("alice", acct=acct)
    assert judge(provider, token, run, allow_guests=False) == expected
    assert judge(provider, token, run) == "OK"


@pytest.mark.parametrize(("acct", "advice"), [(1, "is a guest of the tenant"), (None, "add the optional claim acct")])
def test_the_log_tells_a_guest_from_a_token_that_does_not_say(provider: LocalEntra, acct: Any, advice: str) -> None:
    runtime = Runtime(settings_for(provider, allow_guests=False))
    error = play(runtime.admit_flow(bearer(provider.sign_in("alice", acct=acct)), "/me"), fetch).error
    assert isinstance(error, InsufficientScopeError)
    assert advice in str(error)
    assert b"acct" not in runtime.reply(error, None).body


def test_other_issuers_have_no_guests(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], allow_guests=False))
    for acct in (None, 0, 1):
        assert outcome(runtime, issuer.token(acct=acct)) == "OK"


# All of them

STRICT: dict[str, Any] = {"allowed_clients": [OTHER], "allow_guests": False, "required_scopes": ["access_as_user"]}


def test_policies_add_up(provider: LocalEntra) -> None:
    good: dict[str, Any] = {"azp": OTHER, "acct": 0, "scp": "a access_as_user"}
    assert judge(provider, provider.sign_in("alice", **good), **STRICT) == "OK"
    for worse in ({"azp": "x"}, {"acct": 1}, {"scp": "a"}):
        assert judge(provider, provider.sign_in("alice", **good | worse), **STRICT) == "S"


@pytest.mark.attack(90)
@pytest.mark.parametrize("forge", [by_the_forger(), by_the_forger(kid="unknown"), signature_of_another])
def test_no_policy_is_told_from_claims_that_nobody_signed(provider: LocalEntra, forge: Forge) -> None:
    assert judge(provider, forge(provider), **STRICT) == "T"


@pytest.mark.attack(90)
def test_no_policy_is_told_from_claims_that_another_issuer_did_not_sign(
    provider: LocalEntra, issuer: ForeignIssuer
) -> None:
    trusted = issuer.trusted(allowed_clients=["nobody"])
    runtime = Runtime(settings_for(provider, issuers=[trusted], required_scopes=["not.there"]))
    assert outcome(runtime, issuer.token(key=key_pair("ES256", 9))) == "T"
    assert outcome(runtime, issuer.token(sub=CLIENT_ID, key=key_pair("ES256", 9))) == "T"
    assert outcome(runtime, issuer.token()) == "S"


@pytest.mark.attack(89, 91)
@pytest.mark.parametrize("claims", [{"azp": "x", "acct": 0}, {"azp": OTHER, "acct": 1}, {"azp": OTHER}], ids=str)
def test_who_was_refused_is_refused_again_without_a_second_look(provider: LocalEntra, claims: dict[str, Any]) -> None:
    runtime = Runtime(settings_for(provider, **STRICT))
    token = provider.sign_in("alice", **claims)
    assert outcome(runtime, token) == "S"
    for _ in range(2):
        with pytest.raises(InsufficientScopeError) as caught:
            runtime.known(bearer(token), "/me")
        assert caught.value.scopes == ("access_as_user",)
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), no_answer).error, InsufficientScopeError)
