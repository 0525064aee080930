"""Claims that replace a token and refusals that are remembered, with a clock cranked by hand."""

from __future__ import annotations

import threading

import pytest

from credentials import (
    AuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    InteractionRequiredError,
    InvalidAssertionError,
    ProviderUnavailableError,
)
from credentials._credential import CLAIMS_SHARED, LONGEST_WAIT, REFUSAL_KEPT, TokenEngine
from credentials._errors import ProviderError
from tests.credentials.asking import CLAIMS, KEY, LIFE, OTHER, Asking
from tests.credentials.helpers import NOW, Clock, in_threads

# Claims


def test_claims_skip_the_read_and_replace_the_entry(ask: Asking) -> None:
    ask()
    assert ask(claims=CLAIMS) == "token-2"
    assert ask() == "token-2"
    assert ask.provider.count == 2


def test_callers_whose_same_token_was_refused_share_one_exchange(ask: Asking, clock: Clock) -> None:
    ask()
    answers = [ask(claims=CLAIMS, refused="token-1", asker=f"assertion-{n}") for n in range(5)]
    assert (answers, ask.provider.count) == (["token-2"] * 5, 2)
    clock.now += CLAIMS_SHARED
    assert (ask(claims=CLAIMS, refused="token-1"), ask.provider.count) == ("token-3", 3)


def test_a_token_that_was_refused_itself_is_never_the_answer(ask: Asking) -> None:
    ask()
    ask(claims=CLAIMS, refused="token-1")
    assert ask(claims=CLAIMS, refused="token-2") == "token-3"


def test_who_does_not_say_what_was_refused_gets_a_new_token_each_time(ask: Asking) -> None:
    assert [ask(claims=CLAIMS) for _ in range(3)] == ["token-1", "token-2", "token-3"]


def test_other_claims_and_other_users_share_nothing(ask: Asking) -> None:
    ask()
    wishes = [(KEY, CLAIMS), (KEY, "{}"), (OTHER, CLAIMS)]
    assert [ask(key, claims=claims, refused="x") for key, claims in wishes] == ["token-2", "token-3", "token-4"]


def test_concurrent_callers_with_the_same_claims_share_one_exchange(ask: Asking) -> None:
    go = threading.Event()
    ask.provider.meanwhile = lambda: go.wait(10)
    timer = threading.Timer(0.05, go.set)
    timer.start()
    assert in_threads(10, lambda: ask(claims=CLAIMS, refused="old")) == ["token-1"] * 10
    timer.join()
    assert ask.provider.count == 1


def test_an_exchange_begun_before_the_claims_does_not_replace_their_answer(ask: Asking, clock: Clock) -> None:
    ask()
    clock.now = NOW + LIFE / 2
    renewing = ask.flow()
    next(renewing)
    assert ask(claims=CLAIMS, refused="token-1") == "token-3"
    with pytest.raises(StopIteration):
        renewing.send("")
    assert ask() == "token-3"


# Refusals


@pytest.mark.parametrize("kind", [ConsentRequiredError, InteractionRequiredError])
def test_a_user_who_must_act_is_remembered_60_seconds(
    ask: Asking, clock: Clock, kind: type[AuthenticationError]
) -> None:
    ask.provider.error = kind("act", ProviderError(status_code=400, claims=CLAIMS))
    for _ in range(3):
        with pytest.raises(kind) as caught:
            ask(asker="alice's assertion")
        assert (caught.value.claims, caught.value.retry_after) == (CLAIMS, None)
    assert ask.provider.count == 1
    clock.now += REFUSAL_KEPT - 0.1
    with pytest.raises(kind):
        ask(asker="alice's assertion")
    assert ask.provider.count == 1
    clock.now += 0.1
    ask.provider.error = None
    assert ask(asker="alice's assertion") == "token-2"
    assert REFUSAL_KEPT == 60


def test_a_refusal_touches_no_other_assertion_and_no_other_user(ask: Asking) -> None:
    ask.provider.error = ConsentRequiredError("act")
    with pytest.raises(ConsentRequiredError):
        ask(KEY, asker="old assertion")
    ask.provider.error = None
    assert ask(OTHER, asker="old assertion") == "token-2"
    assert ask(KEY, asker="new assertion") == "token-3"


def test_a_refusal_of_claims_is_not_one_of_the_plain_request(ask: Asking) -> None:
    ask.provider.error = InteractionRequiredError("act")
    with pytest.raises(InteractionRequiredError):
        ask(claims=CLAIMS, asker="a")
    ask.provider.error = None
    assert ask(asker="a") == "token-2"


def test_each_refusal_is_an_error_of_its_own(ask: Asking) -> None:
    ask.provider.error = ConsentRequiredError("act")
    errors = []
    for _ in range(3):
        with pytest.raises(ConsentRequiredError) as caught:
            ask()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3


@pytest.mark.parametrize(("told", "kept"), [(120.0, 120.0), (5000.0, LONGEST_WAIT)])
def test_a_told_wait_is_obeyed_but_not_beyond_300_seconds(ask: Asking, clock: Clock, told: float, kept: float) -> None:
    ask.provider.error = ProviderUnavailableError("wait", ProviderError(status_code=429, retry_after=told))
    with pytest.raises(ProviderUnavailableError) as first:
        ask()
    assert first.value.retry_after == told
    clock.now += kept - 20
    with pytest.raises(ProviderUnavailableError) as again:
        ask()
    assert (again.value.retry_after, again.value.status_code, ask.provider.count) == (20, 429, 1)
    clock.now += 20
    ask.provider.error = None
    assert ask() == "token-2"
    assert LONGEST_WAIT == 300


def test_the_longest_wait_is_obeyed_from_its_beginning(ask: Asking) -> None:
    ask.provider.error = ProviderUnavailableError("wait", ProviderError(status_code=429, retry_after=5000))
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError):
            ask()
    assert ask.provider.count == 1


def test_a_clock_that_is_set_back_does_not_make_a_refusal_last(ask: Asking, clock: Clock) -> None:
    ask.provider.error = ConsentRequiredError("act")
    with pytest.raises(ConsentRequiredError):
        ask()
    ask.provider.error = None
    clock.now -= 3600
    assert ask() == "token-2"


def test_a_told_wait_is_for_its_key_only(ask: Asking) -> None:
    ask.provider.error = ProviderUnavailableError("wait", ProviderError(status_code=429, retry_after=60))
    with pytest.raises(ProviderUnavailableError):
        ask(KEY)
    ask.provider.error = None
    assert ask(OTHER) == "token-2"


@pytest.mark.parametrize(
    "error", [ProviderUnavailableError("down"), InvalidAssertionError("old"), ClientConfigurationError("wrong")]
)
def test_other_refusals_are_not_remembered(ask: Asking, error: Exception) -> None:
    ask.provider.error = error
    for _ in range(3):
        with pytest.raises(type(error)):
            ask()
    assert ask.provider.count == 3


def test_refusals_are_bounded(ask: Asking, engine: TokenEngine) -> None:
    assert engine._refusals._entries.maxsize == engine._answers._entries.maxsize == 10_000
