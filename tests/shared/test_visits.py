"""What one caller does with one entry, with the store's answers given by hand."""

from __future__ import annotations

import logging

import pytest

from credentials import AccessTokenInfo
from credentials._flow import WaitFor
from credentials.kernel import Lead, Load, Release, Save, WouldDeadlockError
from obo_middleware._sealing import SecretSealer
from obo_middleware._shared_cache import LOOK_AGAIN, decoded
from tests.credentials.helpers import NOW, play
from tests.shared.by_hand import FORMER, GONE, KEY, LIFE, OTHER, OURS, SECRET, ByHand, asked_of, kinds_of


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand()


# Loading


def test_what_is_kept_is_loaded_under_its_name(by_hand: ByHand) -> None:
    played = play(by_hand.visit().load_flow(), by_hand.sealed("kept", asked_at=NOW - 5))
    assert asked_of(played.effects) == [Load(by_hand.name())]
    assert played.result == (AccessTokenInfo("kept", int(NOW) + LIFE, refresh_on=int(NOW) + LIFE // 2), NOW - 5)


@pytest.mark.parametrize("answer", [None, b"", b"garbage", 0, 7.5, "text"], ids=repr)
def test_whatever_else_is_there_is_nothing(by_hand: ByHand, answer: object) -> None:
    assert play(by_hand.visit().load_flow(), answer).result is None


def test_another_entry_is_nothing_under_this_name(by_hand: ByHand) -> None:
    assert play(by_hand.visit().load_flow(), by_hand.sealed(key=OTHER)).result is None


def test_after_the_name_of_today_the_former_ones_are_looked_under() -> None:
    by_hand, before = ByHand(sealer=SecretSealer([SECRET, FORMER])), ByHand(sealer=SecretSealer([FORMER]))
    played = play(by_hand.visit().load_flow(), None, before.sealed("old"))
    assert asked_of(played.effects) == [Load(by_hand.name()), Load(before.name())]
    assert played.result is not None
    assert played.result.info.token == "old"


def test_the_users_entries_are_in_one_group_and_the_applications_alone(by_hand: ByHand) -> None:
    alices, bobs, ours = by_hand.name(), by_hand.name(OTHER), by_hand.name(OURS)
    assert alices.group != alices.entry
    assert alices.group != bobs.group
    assert ours.group == ours.entry


def test_what_cannot_be_opened_is_said_once_and_without_content(
    by_hand: ByHand, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        play(by_hand.visit().load_flow(), b"secret garbage")
    assert caplog.text.count("cannot be opened") == 1
    assert "garbage" not in caplog.text
    assert by_hand.name().entry not in caplog.text


def test_a_store_that_fails_has_nothing_and_is_asked_for_no_former_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    by_hand = ByHand(sealer=SecretSealer([SECRET, FORMER]))
    assert play(by_hand.visit().load_flow(), GONE).result is None
    assert "no help to a request: ConnectionError" in caplog.text


# Leading


def test_the_first_one_leads(by_hand: ByHand) -> None:
    played = play(by_hand.visit().lead_flow(wait=True, anew=False), 0.0)
    assert (played.result, asked_of(played.effects)) == (None, [Lead(by_hand.name(), "me-1", 10.0)])
    assert by_hand.store.waited_for == 0


def test_what_was_made_since_the_look_is_taken(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    found = play(visit.lead_flow(wait=True, anew=False), by_hand.sealed("made")).result
    assert found is not None
    assert found.info.token == "made"
    visit.abandon()
    assert by_hand.store.done_later == []


@pytest.mark.attack(127)
def test_what_nobody_can_open_is_made_anew_by_one_of_all(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    played = play(visit.lead_flow(wait=True, anew=False), b"garbage", 0.0)
    assert [lead.anew for lead in asked_of(played.effects) if isinstance(lead, Lead)] == [False, True]
    visit.save(AccessTokenInfo("made", int(NOW) + LIFE), NOW)
    assert [save.owner for save in by_hand.store.done_later if isinstance(save, Save)] == ["me-1"]


def test_a_store_that_has_nothing_but_garbage_is_not_asked_for_ever(by_hand: ByHand) -> None:
    assert play(by_hand.visit().lead_flow(wait=True, anew=True), b"garbage").result is None


def test_while_another_one_leads_it_is_waited_for_and_then_looked_again(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    played = play(visit.lead_flow(wait=True, anew=True), 0.3, None, by_hand.sealed("theirs"))
    assert kinds_of(played.effects) == ["Lead", "WaitFor", "Lead"]
    assert [lead.anew for lead in asked_of(played.effects) if isinstance(lead, Lead)] == [True, False]
    assert played.result is not None
    assert played.result.info.token == "theirs"
    assert (visit.busy, by_hand.store.waited_for) == (False, 0)


def test_the_wait_ends_shortly_after_the_lead_and_is_never_long(by_hand: ByHand) -> None:
    played = play(by_hand.visit().lead_flow(wait=True, anew=False), 9.0, TimeoutError(), 0.1, None, 0.0)
    waits = [effect.timeout for effect in played.effects if isinstance(effect, WaitFor)]
    assert waits == [LOOK_AGAIN, pytest.approx(0.15)]
    assert kinds_of(played.effects) == ["Lead", "WaitFor", "Lead", "WaitFor", "Lead"]


def test_who_was_told_expects_to_be_told_again_before_the_next_look(by_hand: ByHand) -> None:
    flow = by_hand.visit().lead_flow(wait=True, anew=False)
    next(flow)
    first = flow.send(9.0)
    assert isinstance(first, WaitFor)
    by_hand.store.tell(by_hand.name().entry)
    assert isinstance(flow.send(None).operation, Lead)  # type: ignore[union-attr]  # the assertion says which it is
    assert by_hand.store.waited_for == 1
    second = flow.send(9.0)
    assert isinstance(second, WaitFor)
    assert second.flight is not first.flight
    flow.close()
    assert by_hand.store.waited_for == 0


def test_after_two_leads_of_others_a_caller_makes_its_own(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    flow = visit.lead_flow(wait=True, anew=False)
    next(flow)
    assert isinstance(flow.send(9.0), WaitFor)
    flow.send(None)
    by_hand.passed = 20.0
    with pytest.raises(StopIteration) as stop:
        flow.send(9.0)
    assert stop.value.value is None
    visit.save(AccessTokenInfo("mine", int(NOW) + LIFE), NOW)
    assert [save.owner for save in by_hand.store.done_later if isinstance(save, Save)] == [""]


def test_who_must_not_wait_is_told_that_another_one_is_busy(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    played = play(visit.lead_flow(wait=False, anew=True), 4.0)
    assert (played.result, visit.busy, kinds_of(played.effects)) == (None, True, ["Lead"])
    visit.abandon()
    assert by_hand.store.done_later == []


def test_a_thread_whose_loop_runs_does_not_wait(by_hand: ByHand) -> None:
    played = play(by_hand.visit().lead_flow(wait=True, anew=False), 4.0, WouldDeadlockError())
    assert (played.result, kinds_of(played.effects)) == (None, ["Lead", "WaitFor"])


def test_a_leader_whose_lead_is_not_confirmed_saves_only_if_it_leads(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    assert play(visit.lead_flow(wait=True, anew=False), GONE).result is None
    visit.save(AccessTokenInfo("made", int(NOW) + LIFE), NOW)
    assert [save.owner for save in by_hand.store.done_later if isinstance(save, Save)] == ["me-1"]


def test_who_leaves_while_it_asks_gives_up_the_lead_that_it_may_have_got(by_hand: ByHand) -> None:
    flow = by_hand.visit().lead_flow(wait=True, anew=False)
    next(flow)
    flow.close()
    assert by_hand.store.done_later == [Release(by_hand.name(), "me-1")]
    assert by_hand.store.waited_for == 0


def test_who_leaves_while_it_waits_has_nothing_to_give_up(by_hand: ByHand) -> None:
    flow = by_hand.visit().lead_flow(wait=True, anew=False)
    next(flow)
    flow.send(4.0)
    flow.close()
    assert (by_hand.store.done_later, by_hand.store.waited_for) == ([], 0)


# The end of a lead


def test_a_leader_saves_in_its_name_to_the_end_of_the_token(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    play(visit.lead_flow(wait=True, anew=False), 0.0)
    info = AccessTokenInfo("made", int(NOW) + LIFE, "Bearer", int(NOW) + 60)
    visit.save(info, NOW - 1)
    (save,) = by_hand.store.done_later
    assert isinstance(save, Save)
    assert (save.name, save.seconds, save.owner) == (by_hand.name(), LIFE, "me-1")
    data = by_hand.sealer.open(by_hand.name(), save.value)
    assert data is not None
    assert decoded(data) == (info, NOW - 1)
    assert b"made" not in save.value


def test_a_token_that_is_over_is_not_saved(by_hand: ByHand) -> None:
    visit = by_hand.visit()
    play(visit.lead_flow(wait=True, anew=False), 0.0)
    visit.save(AccessTokenInfo("over", int(NOW)), NOW)
    assert by_hand.store.done_later == [Release(by_hand.name(), "me-1")]


def test_a_lead_is_given_up_once(by_hand: ByHand) -> None:
    visit = by_hand.visit(KEY)
    play(visit.lead_flow(wait=True, anew=False), 0.0)
    visit.abandon()
    visit.abandon()
    assert by_hand.store.done_later == [Release(by_hand.name(), "me-1")]
