"""The life of a token with a shared cache, every answer given by hand: cache, flight, store, exchange, store, cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credentials import AccessTokenInfo, AuthenticationError, ConsentRequiredError
from credentials._credential import BUSY_ELSEWHERE, TokenEngine, Want
from credentials._flow import Flow, WaitFor
from credentials.kernel import ConnectionPool, Lead, Load, Release, Save
from tests.credentials.asking import CLAIMS, Asking, Provider
from tests.credentials.helpers import NOW, Drive, Played, play
from tests.shared.by_hand import GONE, GROUP, KEY, LIFE, OTHER, ByHand, asked_of, kinds_of


class Shared(Asking):
    """An engine with a shared cache, asked by hand."""

    def __init__(self, by_hand: ByHand, pool: ConnectionPool) -> None:
        self.by_hand, self.clock = by_hand, by_hand.clock
        engine = TokenEngine(clock=by_hand.clock, shared=by_hand.cache)
        super().__init__(engine, Provider(by_hand.clock), pool)

    def flow(self, key: bytes = KEY, **wish: Any) -> Flow[AccessTokenInfo]:
        return super().flow(key, **({"shared": True} | wish))

    def play(self, *answers: object, **wish: Any) -> Played[AccessTokenInfo]:
        return play(self.flow(**wish), *answers)

    def fill(self) -> None:
        """Get the first token from the provider."""
        assert self.play(None, 0.0, "").result.token == "token-1"


@pytest.fixture(scope="module")
def pool() -> Iterator[ConnectionPool]:
    pool = ConnectionPool()
    yield pool
    pool.close()


@pytest.fixture
def ask(pool: ConnectionPool) -> Shared:
    return Shared(ByHand(), pool)


# Absent


def test_nobody_waits_for_more_than_a_look_a_lead_and_the_exchange(ask: Shared) -> None:
    played = ask.play(None, 0.0, "")
    assert (played.result.token, kinds_of(played.effects)) == ("token-1", ["Load", "Lead", "CallFunction"])
    assert asked_of(played.effects) == [Load(ask.by_hand.name()), Lead(ask.by_hand.name(), "me-1", 10.0)]
    (save,) = ask.by_hand.store.done_later
    assert isinstance(save, Save)
    assert (save.name, save.owner) == (ask.by_hand.name(), "me-1")


def test_a_token_in_memory_asks_nobody(ask: Shared) -> None:
    ask.fill()
    assert ask.engine.fresh(KEY) is not None
    assert ask.play().effects == []


def test_what_is_kept_is_taken_and_costs_one_look(ask: Shared) -> None:
    played = ask.play(ask.by_hand.sealed("shared"))
    assert (played.result.token, kinds_of(played.effects), ask.provider.count) == ("shared", ["Load"], 0)
    assert ask.engine.fresh(KEY) is not None


def test_what_another_process_made_meanwhile_is_taken(ask: Shared) -> None:
    played = ask.play(None, 9.0, None, ask.by_hand.sealed("theirs"))
    assert (played.result.token, ask.provider.count) == ("theirs", 0)
    assert kinds_of(played.effects) == ["Load", "Lead", "WaitFor", "Lead"]


def test_what_means_nothing_to_other_processes_is_not_shared(ask: Shared) -> None:
    assert kinds_of(ask.play("", shared=False).effects) == ["CallFunction"]


@pytest.mark.attack(131)
@pytest.mark.parametrize(
    ("answers", "kinds"),
    [
        ((GONE, 0.0, ""), ["Load", "Lead", "CallFunction"]),
        ((GONE, GONE, ""), ["Load", "Lead", "CallFunction"]),
        ((None, GONE, ""), ["Load", "Lead", "CallFunction"]),
        ((None, 5.0, None, GONE, ""), ["Load", "Lead", "WaitFor", "Lead", "CallFunction"]),
    ],
    ids=["load", "both", "lead", "wait"],
)
def test_a_store_that_fails_costs_nothing_but_its_help(
    ask: Shared, answers: tuple[object, ...], kinds: list[str]
) -> None:
    played = ask.play(*answers)
    assert (played.result.token, kinds_of(played.effects)) == ("token-1", kinds)


def test_an_entry_with_no_life_left_is_made_anew(ask: Shared) -> None:
    played = ask.play(ask.by_hand.sealed("ending", life=30), 0.0, "")
    assert played.result.token == "token-1"
    assert [lead.anew for lead in asked_of(played.effects) if isinstance(lead, Lead)] == [True]


def test_an_entry_with_no_life_left_that_another_one_made_is_not_taken(ask: Shared) -> None:
    assert ask.play(None, ask.by_hand.sealed("ending", life=29), "").result.token == "token-1"


def test_one_caller_of_a_process_asks_the_store_and_the_others_wait_for_it(ask: Shared) -> None:
    leading, following = ask.flow(), ask.flow()
    next(leading)
    assert isinstance(next(following), WaitFor)
    leading.close()
    following.close()


# Errors and cancellations


def test_an_exchange_that_fails_ends_the_lead(ask: Shared) -> None:
    ask.provider.error = AuthenticationError("no")
    played = ask.play(None, 0.0, "")
    assert isinstance(played.error, AuthenticationError)
    assert ask.by_hand.store.done_later == [Release(ask.by_hand.name(), "me-1")]


def test_an_exchange_that_is_cancelled_ends_the_lead(ask: Shared) -> None:
    flow = ask.flow()
    next(flow)
    flow.send(None)
    flow.send(0.0)
    flow.close()
    assert ask.by_hand.store.done_later == [Release(ask.by_hand.name(), "me-1")]


@pytest.mark.parametrize("answers", [(), (None,), (None, 0.0)], ids=["load", "lead", "make"])
def test_whoever_leaves_the_next_one_can_lead(ask: Shared, answers: tuple[object, ...]) -> None:
    flow = ask.flow()
    next(flow)
    for answer in answers:
        flow.send(answer)
    flow.close()
    assert len(ask.engine._flights) == 0
    assert ask.by_hand.store.waited_for == 0
    assert len(ask.by_hand.store.done_later) == min(len(answers), 1)


# Ageing


def test_a_refresh_takes_what_another_process_has_refreshed(ask: Shared) -> None:
    ask.fill()
    ask.clock.now = NOW + LIFE / 2
    played = ask.play(ask.by_hand.sealed("refreshed"))
    assert (played.result.token, kinds_of(played.effects), ask.provider.count) == ("refreshed", ["Load"], 1)


def test_a_refresh_makes_a_new_token_although_the_old_one_is_kept(ask: Shared) -> None:
    ask.fill()
    old = ask.by_hand.sealed("old")
    ask.clock.now = NOW + LIFE / 2
    played = ask.play(old, 0.0, "")
    assert (played.result.token, kinds_of(played.effects)) == ("token-2", ["Load", "Lead", "CallFunction"])
    assert [lead.anew for lead in asked_of(played.effects) if isinstance(lead, Lead)] == [True]


def test_while_another_process_refreshes_the_old_token_is_used_and_looked_after_in_a_while(ask: Shared) -> None:
    ask.fill()
    old = ask.by_hand.sealed("old")
    ask.clock.now = NOW + LIFE / 2
    busy = ask.play(old, 9.0)
    assert (busy.result.token, kinds_of(busy.effects), ask.provider.count) == ("token-1", ["Load", "Lead"], 1)
    assert ask.play().effects == []
    ask.clock.now += BUSY_ELSEWHERE
    assert ask.play(ask.by_hand.sealed("theirs")).result.token == "theirs"


def test_who_needs_a_token_while_another_process_refreshes_it_sees_to_it(ask: Shared) -> None:
    ask.fill()
    ask.clock.now = NOW + LIFE / 2
    refreshing = ask.flow()
    next(refreshing)
    ask.clock.now = NOW + LIFE - 30
    needing = ask.flow()
    assert isinstance(next(needing), WaitFor)
    refreshing.send(None)
    with pytest.raises(StopIteration):
        refreshing.send(9.0)
    assert kinds_of([needing.send(None)]) == ["Load"]
    needing.close()


# Claims


def test_claims_skip_the_look_and_replace_what_is_kept(ask: Shared) -> None:
    ask.fill()
    played = ask.play("", claims=CLAIMS)
    assert (played.result.token, kinds_of(played.effects)) == ("token-2", ["CallFunction"])
    assert [save.owner for save in ask.by_hand.store.done_later if isinstance(save, Save)] == ["me-1", ""]
    assert ask.play().result.token == "token-2"


# Forgotten


def test_a_user_who_is_forgotten_is_gone_at_once_and_nobody_else(ask: Shared) -> None:
    ask.fill()
    ask.play(None, 0.0, "", key=OTHER)
    ask.engine.forget(GROUP)
    assert ask.engine.kept(KEY) is None
    assert ask.engine.kept(OTHER) is not None
    ask.engine.forget(b"")
    assert ask.engine.kept(OTHER) is None


def test_a_token_that_was_asked_for_before_its_user_was_forgotten_is_used_once_and_kept_nowhere(ask: Shared) -> None:
    flow = ask.flow()
    next(flow)
    flow.send(None)
    flow.send(0.0)
    ask.engine.forget(GROUP)
    with pytest.raises(StopIteration) as stop:
        flow.send("")
    assert stop.value.value.token == "token-1"
    assert ask.engine.kept(KEY) is None
    assert ask.by_hand.store.done_later == [Release(ask.by_hand.name(), "me-1")]


def forgotten(ask: Shared) -> None:
    ask.clock.now += 10
    ask.engine.forget(GROUP)
    ask.clock.now += 10


@pytest.mark.attack(129)
@pytest.mark.parametrize("everybody", [False, True])
def test_an_entry_from_before_its_user_was_forgotten_is_made_anew(ask: Shared, everybody: bool) -> None:
    old = ask.by_hand.sealed("old")
    ask.clock.now += 10
    ask.engine.forget(b"" if everybody else GROUP)
    ask.clock.now += 10
    assert ask.play(old, 0.0, "").result.token == "token-1"
    ask.engine.forget(OTHER[:16])
    assert ask.play().result.token == "token-1"


def test_an_entry_from_after_is_taken(ask: Shared) -> None:
    forgotten(ask)
    assert ask.play(ask.by_hand.sealed("new")).result.token == "new"


@pytest.mark.attack(129)
def test_old_news_do_not_bring_back_an_entry_from_before_newer_ones(ask: Shared) -> None:
    old = ask.by_hand.sealed("old")
    forgotten(ask)
    ask.engine.forget(GROUP, at=NOW - 100)
    assert ask.play(old, 0.0, "").result.token == "token-1"


def test_a_refusal_of_a_user_who_is_forgotten_is_forgotten_too(ask: Shared) -> None:
    ask.provider.error = ConsentRequiredError("no")
    assert ask.play(None, 0.0, "").error is not None
    assert ask.play().error is not None
    ask.engine.forget(GROUP)
    ask.provider.error = None
    assert ask.play(None, 0.0, "").result.token == "token-2"


# Both drivers


@pytest.mark.parametrize("colour", ["blocking", "async"])
def test_both_drivers_ask_the_store_in_their_colour(pool: ConnectionPool, colour: str) -> None:
    by_hand = ByHand()
    asked: list[str] = []

    def answer(operation: object) -> object:
        asked.append(type(operation).__name__)
        return {"Load": None, "Lead": 0.0}[asked[-1]]

    async def answer_async(operation: object) -> object:
        return answer(operation)

    other: Callable[..., Any] = answer_async
    setattr(
        by_hand.store, "perform" if colour == "blocking" else "perform_async", answer if colour == "blocking" else other
    )
    engine = TokenEngine(clock=by_hand.clock, shared=by_hand.cache)
    provider = Provider(by_hand.clock)
    info = Drive(colour, pool)(engine.token_flow(Want(key=KEY, shared=True), provider.exchange))
    assert (info.token, asked) == ("token-1", ["Load", "Lead"])
