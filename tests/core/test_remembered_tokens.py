from __future__ import annotations

import pytest

from obo_middleware import _validation
from obo_middleware._keys import SigningKey
from obo_middleware._metadata import KEYS_LIVE, LONG_COOL_DOWN
from obo_middleware._runtime import Runtime
from obo_middleware._token import ParsedToken
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.core.kit import NOW, Clock, bearer, fetch, no_answer, play, settings_for

HOUR = 3600


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[ParsedToken]:
    """Every signature that is verified."""
    seen: list[ParsedToken] = []
    verify = _validation.check_signature

    def check(parsed: ParsedToken, key: SigningKey | None) -> None:
        seen.append(parsed)
        verify(parsed, key)

    monkeypatch.setattr(_validation, "check_signature", check)
    return seen


def admit(runtime: Runtime, token: str) -> str:
    """Do as an adapter does; return the user's object id."""
    valid = runtime.known(bearer(token), "/me") or play(runtime.admit_flow(bearer(token), "/me"), fetch).value()
    return str(valid.user.object_id)


@pytest.fixture
def runtime(entra: LocalEntra) -> Runtime:
    return Runtime(settings_for(entra))


def test_a_known_token_costs_no_request_and_no_rsa(
    entra: LocalEntra, runtime: Runtime, checks: list[ParsedToken]
) -> None:
    token = entra.sign_in("alice")
    assert runtime.known(bearer(token), "/me") is None
    admit(runtime, token)
    asked = (entra.requests_to("metadata"), entra.requests_to("jwks"))
    assert (asked, len(checks)) == ((1, 1), 1)
    for _ in range(3):
        valid = runtime.known(bearer(token), "/me")
        assert valid is not None
        assert valid.user.object_id == entra.alice.object_id
    assert ((entra.requests_to("metadata"), entra.requests_to("jwks")), len(checks)) == (asked, 1)


def test_a_refused_token_is_judged_anew_each_time(
    entra: LocalEntra, runtime: Runtime, checks: list[ParsedToken]
) -> None:
    token = entra.sign_in("alice")[:-4] + "AAAA"
    for _ in range(2):
        assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), fetch).error, InvalidTokenError)
        assert runtime.known(bearer(token), "/me") is None
    assert len(checks) == 2


@pytest.mark.attack(43)
def test_only_the_exact_text_is_known(entra: LocalEntra, runtime: Runtime) -> None:
    token = entra.sign_in("alice")
    admit(runtime, token)
    assert runtime.known(bearer(token), "/me") is not None
    for other in (token + "=", token[:-1], token + " ", token.swapcase(), entra.sign_in("alice", jti="2")):
        assert runtime.known(bearer(other), "/me") is None


@pytest.mark.attack(76)
def test_a_token_is_known_to_its_end_and_not_a_second_longer(entra: LocalEntra, runtime: Runtime, clock: Clock) -> None:
    token = entra.sign_in("alice", lifetime=60)
    admit(runtime, token)
    clock.now = NOW + 59.9
    assert runtime.known(bearer(token), "/me") is not None
    clock.now = NOW + 60
    assert runtime.known(bearer(token), "/me") is None
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), no_answer).error, InvalidTokenError)


@pytest.mark.attack(106)
def test_a_change_of_the_keys_makes_every_token_be_judged_anew(
    entra: LocalEntra, runtime: Runtime, clock: Clock, checks: list[ParsedToken]
) -> None:
    old = entra.sign_in("alice")
    admit(runtime, old)
    entra.rotate_keys(withdraw_old=True)
    assert runtime.known(bearer(old), "/me") is not None
    admit(runtime, entra.sign_in("bob"))
    assert runtime.known(bearer(old), "/me") is None
    clock.now += LONG_COOL_DOWN
    assert isinstance(play(runtime.admit_flow(bearer(old), "/me"), fetch).error, InvalidTokenError)


def test_a_token_of_an_old_key_that_is_still_published_stays_good(entra: LocalEntra, runtime: Runtime) -> None:
    old = entra.sign_in("alice")
    admit(runtime, old)
    entra.rotate_keys()
    admit(runtime, entra.sign_in("bob"))
    assert admit(runtime, old) == entra.alice.object_id


@pytest.mark.attack(103)
def test_a_renewal_that_changes_no_key_forgets_nobody(entra: LocalEntra, runtime: Runtime) -> None:
    token = entra.sign_in("alice")
    admit(runtime, token)
    forged = entra.sign_in("alice", headers={"kid": "unknown"})
    assert isinstance(play(runtime.admit_flow(bearer(forged), "/me"), fetch).error, InvalidTokenError)
    assert entra.requests_to("jwks") == 2
    assert runtime.known(bearer(token), "/me") is not None


@pytest.mark.attack(106)
def test_a_withdrawn_key_is_refused_no_later_than_the_keys_lifetime_although_no_new_token_comes(
    entra: LocalEntra, runtime: Runtime, clock: Clock
) -> None:  # tokens with continuous access evaluation live for 28 hours
    token = entra.sign_in("alice", lifetime=28 * HOUR)
    admit(runtime, token)
    entra.rotate_keys(withdraw_old=True)
    clock.now = NOW + KEYS_LIVE - 1
    assert runtime.known(bearer(token), "/me") is not None
    late = entra.sign_in("alice", lifetime=28 * HOUR, key=None)
    clock.now = NOW + KEYS_LIVE + 1
    assert runtime.known(bearer(token), "/me") is None
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), fetch).error, InvalidTokenError)
    assert admit(runtime, late) == entra.alice.object_id


@pytest.mark.attack(106)
def test_a_token_first_seen_late_in_the_keys_life_is_known_to_its_end_only(
    entra: LocalEntra, runtime: Runtime, clock: Clock
) -> None:
    admit(runtime, entra.sign_in("bob"))
    clock.now = NOW + KEYS_LIVE - HOUR
    token = entra.sign_in("alice", lifetime=28 * HOUR)
    admit(runtime, token)
    entra.rotate_keys(withdraw_old=True)
    clock.now = NOW + KEYS_LIVE + 1
    assert runtime.known(bearer(token), "/me") is None
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), fetch).error, InvalidTokenError)


def test_a_token_for_which_the_keys_were_renewed_is_known_as_long_as_the_new_keys(
    entra: LocalEntra, runtime: Runtime, clock: Clock
) -> None:
    admit(runtime, entra.sign_in("bob"))
    clock.now = NOW + KEYS_LIVE + 1
    token = entra.sign_in("alice", lifetime=28 * HOUR)
    admit(runtime, token)
    clock.now += KEYS_LIVE - 1
    assert runtime.known(bearer(token), "/me") is not None


@pytest.mark.attack(106)
@pytest.mark.parametrize("withdrawn", [True, False])
def test_a_key_that_is_withdrawn_while_a_token_is_verified_leaves_nothing_behind(
    entra: LocalEntra, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, withdrawn: bool
) -> None:
    token, verify = entra.sign_in("alice"), _validation.check_signature

    def check(parsed: ParsedToken, key: SigningKey | None) -> None:
        monkeypatch.setattr(_validation, "check_signature", verify)
        entra.rotate_keys(withdraw_old=withdrawn)
        admit(runtime, entra.sign_in("bob"))
        verify(parsed, key)

    monkeypatch.setattr(_validation, "check_signature", check)
    admit(runtime, token)
    assert (runtime.known(bearer(token), "/me") is None) is withdrawn


@pytest.mark.attack(122)
def test_an_expired_token_is_refused_while_its_downstream_token_is_still_cached(
    entra: LocalEntra, runtime: Runtime, clock: Clock
) -> None:
    token = entra.sign_in("alice", lifetime=60)
    valid = play(runtime.admit_flow(bearer(token), "/me"), fetch).value()
    query = runtime.client.query(("User.Read",))
    assert play(runtime.client.token_flow(query, valid.assertion), fetch).error is None
    clock.now += 61
    assert runtime.client.fresh(query, valid.assertion) is not None
    assert runtime.known(bearer(token), "/me") is None
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), no_answer).error, InvalidTokenError)
