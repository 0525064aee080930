"""The life of a token, with a clock cranked by hand and exchanges counted."""

from __future__ import annotations

import threading

import pytest

from credentials import (
    AuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    CredentialUnavailableError,
    ProviderUnavailableError,
)
from credentials._cache import key_of
from credentials._credential import BACK_OFF, TokenEngine, Want
from credentials._pool import ConnectionPool
from tests.credentials.asking import CLAIMS, KEY, LIFE, OTHER, Asking, Provider
from tests.credentials.helpers import NOW, Clock, Drive, in_threads, play

# Fresh and absent


def test_an_absent_token_costs_one_exchange_and_is_then_fresh(ask: Asking, engine: TokenEngine) -> None:
    assert engine.fresh(KEY) is None
    assert [ask() for _ in range(5)] == ["token-1"] * 5
    fresh = engine.fresh(KEY)
    assert fresh is not None
    assert fresh.token == "token-1"
    assert (ask.provider.count, len(engine)) == (1, 1)


def test_a_fresh_token_asks_for_no_effect(ask: Asking) -> None:
    ask()
    assert play(ask.flow()).effects == []


def test_each_key_has_its_own_token(ask: Asking) -> None:
    assert (ask(KEY), ask(OTHER), ask(KEY)) == ("token-1", "token-2", "token-1")


@pytest.mark.attack(124)
def test_many_absent_askers_share_one_exchange(ask: Asking) -> None:
    go = threading.Event()
    ask.provider.meanwhile = lambda: go.wait(10)
    timer = threading.Timer(0.05, go.set)
    timer.start()
    assert in_threads(20, ask) == ["token-1"] * 20
    timer.join()
    assert ask.provider.count == 1


def test_without_a_hint_the_last_300_seconds_are_ageing(ask: Asking, engine: TokenEngine, clock: Clock) -> None:
    ask.provider.refresh_in = None
    ask()
    clock.now = NOW + LIFE - 300 - 1
    assert engine.fresh(KEY) is not None
    assert ask() == "token-1"
    clock.now = NOW + LIFE - 300
    assert engine.fresh(KEY) is None
    assert ask() == "token-2"


# Ageing


@pytest.mark.attack(137)
def test_an_ageing_token_is_renewed_once(ask: Asking, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE / 2 - 1
    assert ask() == "token-1"
    clock.now = NOW + LIFE / 2
    assert [ask() for _ in range(5)] == ["token-2"] * 5
    assert ask.provider.count == 2


def test_while_one_caller_renews_all_others_get_the_old_token_at_once(ask: Asking, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE / 2
    renewing = ask.flow()
    next(renewing)
    others = [play(ask.flow()) for _ in range(10)]
    assert [(other.result.token, other.effects) for other in others] == [("token-1", [])] * 10
    with pytest.raises(StopIteration) as stop:
        renewing.send("")
    assert stop.value.value.token == "token-2"
    assert ask() == "token-2"
    assert ask.provider.count == 2


def test_who_comes_to_renew_just_after_somebody_did_gets_the_new_token(
    ask: Asking, engine: TokenEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    clock.now = NOW + LIFE / 2
    lead = engine._flights.lead

    def slow_lead(key: bytes) -> object:
        monkeypatch.setattr(engine._flights, "lead", lead)
        ask()
        return lead(key)

    monkeypatch.setattr(engine._flights, "lead", slow_lead)
    assert (ask(), ask.provider.count, len(engine._flights)) == ("token-2", 2, 0)


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailableError("down"),
        ConsentRequiredError("no"),
        ClientConfigurationError("wrong secret"),
        CredentialUnavailableError("file gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_renewal_backs_off_30_seconds_and_costs_nobody_anything(
    ask: Asking, clock: Clock, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ask()
    clock.now = NOW + LIFE / 2
    ask.provider.error = error
    assert [ask() for _ in range(5)] == ["token-1"] * 5
    assert ask.provider.count == 2
    assert "could not be refreshed" in caplog.text
    clock.now += BACK_OFF - 0.1
    assert (ask(), ask.provider.count) == ("token-1", 2)
    clock.now += 0.1
    assert (ask(), ask.provider.count) == ("token-1", 3)
    assert BACK_OFF == 30
    ask.provider.error = None
    clock.now += BACK_OFF
    assert ask() == "token-4"


@pytest.mark.peer_defect(7)
def test_the_back_off_is_for_its_key_only(ask: Asking, clock: Clock) -> None:
    ask(KEY)
    ask(OTHER)
    clock.now = NOW + LIFE / 2
    ask.provider.error = ProviderUnavailableError("down")
    ask(KEY)
    ask.provider.error = None
    assert (ask(KEY), ask(OTHER)) == ("token-1", "token-4")


@pytest.mark.attack(137)
@pytest.mark.peer_defect(6)
def test_the_old_token_lasts_until_30_seconds_before_its_end(ask: Asking, clock: Clock) -> None:
    ask()
    ask.provider.error = ProviderUnavailableError("down")
    clock.now = NOW + LIFE - 30.1
    assert ask() == "token-1"
    clock.now = NOW + LIFE - 30
    with pytest.raises(ProviderUnavailableError):
        ask()


def test_a_cancelled_renewal_leaves_the_next_caller_to_renew(ask: Asking, engine: TokenEngine, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE / 2
    renewing = ask.flow()
    next(renewing)
    renewing.close()
    assert len(engine._flights) == 0
    assert (ask(), ask.provider.count) == ("token-3", 3)


def test_a_renewal_that_outlasts_the_old_token_is_kept(ask: Asking, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE - 31
    ask.provider.meanwhile = lambda: setattr(clock, "now", clock.now + 5)
    assert ask() == "token-2"
    assert (ask(), ask.provider.count) == ("token-2", 2)


# Expired


def test_an_expired_token_is_absent(ask: Asking, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE
    assert (ask(), ask.provider.count) == ("token-2", 2)


@pytest.mark.attack(126)
def test_a_failure_is_not_kept_as_a_token_nor_for_the_next_caller(ask: Asking, engine: TokenEngine) -> None:
    ask.provider.error = AuthenticationError("no")
    for expected in (1, 2):
        with pytest.raises(AuthenticationError):
            ask()
        assert (ask.provider.count, len(engine), len(engine._flights)) == (expected, 0, 0)
    ask.provider.error = None
    assert ask() == "token-3"


# The rest


def test_both_drivers_run_the_life_of_a_token(ask: Asking, drive: Drive, clock: Clock) -> None:
    assert drive(ask.flow()).token == "token-1"
    clock.now = NOW + LIFE / 2
    assert drive(ask.flow()).token == "token-2"
    clock.now += LIFE
    assert drive(ask.flow()).token == "token-3"
    assert drive(ask.flow(claims=CLAIMS)).token == "token-4"


@pytest.mark.attack(135)
def test_the_cache_is_bounded(clock: Clock, exchanges: Provider, pool: ConnectionPool) -> None:
    engine = TokenEngine(cache_size=2, clock=clock)
    ask = Asking(engine, exchanges, pool)
    for name in ("a", "b", "c"):
        ask(key_of(name))
    assert len(engine) == 2
    assert ask(key_of("c")) == "token-3"
    assert ask(key_of("a")) == "token-4"


def test_a_wish_shows_neither_assertion_nor_token() -> None:
    assert "hidden" not in repr(Want(key=KEY, asker="hidden-1", refused="hidden-2"))
