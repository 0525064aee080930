"""Long-running sessions by hand: what cannot be, a store that fails, another worker that leads, an end in between."""

from __future__ import annotations

import base64
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from credentials import ConsentRequiredError
from credentials._flow import Sleep, UseStore, WaitFor
from credentials.kernel import (
    Lead,
    Name,
    StoreError,
    WouldDeadlockError,
)
from obo_middleware import ConfigurationError
from obo_middleware._context import BlockingContext
from obo_middleware._sealing import SecretKey, SecretSealer
from obo_middleware._sessions import LONGEST, Record
from obo_middleware.errors import InsufficientScopeError, SessionEndedError, SharedCacheUnavailableError
from tests.core.kit import play
from tests.shared.by_hand import GONE, SEALER
from tests.shared.session_world import CLAIMS, NOW, OBJECT, World, granted, refused


@pytest.fixture
def world() -> World:
    return World()


# What cannot be


def test_without_a_shared_store_there_are_no_sessions() -> None:
    flow = World(token_store=None).sessions.start_flow(World().valid(), None, 60.0)
    with pytest.raises(ConfigurationError, match="token_store is missing"):
        next(flow)


@pytest.mark.parametrize("lifetime", [0, -1, LONGEST + 1, float("nan"), float("inf"), True, "60", None])
def test_a_lifetime_that_cannot_be_is_refused(world: World, lifetime: Any) -> None:
    with pytest.raises(ConfigurationError, match="lifetime is"):
        next(world.sessions.start_flow(world.valid(), None, lifetime))


def test_a_session_is_for_one_of_the_apis(world: World) -> None:
    with pytest.raises(ConfigurationError, match="downstream_apis has no API 'nowhere'"):
        next(world.sessions.start_flow(world.valid(), "nowhere", 60.0))
    with pytest.raises(ConfigurationError, match="downstream_apis has no API ''"):
        next(World(downstream_apis={}).sessions.start_flow(world.valid(), None, 60.0))


def test_a_user_whose_token_cannot_be_exchanged_has_no_session(world: World) -> None:
    with pytest.raises(InsufficientScopeError, match="cannot be exchanged"):
        next(world.sessions.start_flow(world.valid(exchangeable=False), None, 60.0))


def test_a_session_starts_no_other(world: World) -> None:
    valid = play(world.sessions.resume_flow(world.started()), world.answer).result
    with pytest.raises(ConfigurationError, match="within a session"):
        next(world.sessions.start_flow(valid, None, 60.0))


def test_a_request_that_is_over_starts_none(world: World) -> None:
    context = BlockingContext(world.runtime, world.valid())
    context.end()
    with pytest.raises(Exception, match="over"):
        context.start_session()


@pytest.mark.parametrize("token", [None, "", 5])
def test_a_provider_that_gives_no_refresh_token_wants_consent(world: World, token: Any) -> None:
    world.answers = [granted(refresh_token=token)]
    played = play(world.sessions.start_flow(world.valid(), None, 60.0), world.answer)
    assert isinstance(played.error, ConsentRequiredError)
    assert world.kept == {}


def test_it_is_offline_access_that_is_asked_for(world: World) -> None:
    played = play(world.sessions.start_flow(world.valid(), None, 60.0), world.answer)
    body = played.effects[0].request.body
    assert b"scope=User.Read+offline_access&" in body
    assert b"assertion=a.b.c" in body


# Ids


def forged(data: bytes) -> str:
    return base64.urlsafe_b64encode(SEALER.seal(Name("session", "id"), data)).decode()


NO_IDS: dict[str, Any] = {
    "nothing": "",
    "three letters": "abc",
    "padding": "=",
    "half a character": "\ud800",
    "long": "a" * 10_000,
    "short": "AQ",
    "None": None,
    "a number": 5,
    "bytes": b"AQ",
    "nothing sealed": forged(b""),
    "too little sealed": forged(b"short"),
    "too much sealed": forged(b"x" * 33),
}


@pytest.mark.parametrize("text", NO_IDS.values(), ids=NO_IDS)
def test_what_is_no_id_is_a_session_that_is_over_and_nothing_is_asked(world: World, text: Any) -> None:
    with pytest.raises(SessionEndedError, match="not the id"):
        next(world.sessions.resume_flow(text))
    assert list(world.sessions.end_flow(text)) == []


def test_one_letter_makes_it_no_id(world: World) -> None:
    text = world.started()
    for index in range(len(text) - 1):
        other = "A" if text[index] != "A" else "B"
        with pytest.raises(SessionEndedError):
            next(world.sessions.resume_flow(text[:index] + other + text[index + 1 :]))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"refresh_token":1,"claims":{},"ends_on":1}', b"\xff"])
def test_a_record_that_cannot_be_read_is_a_session_that_is_over(world: World, data: bytes) -> None:
    text = world.started()
    (name,) = world.kept
    world.kept[name] = SEALER.seal(name, data)
    played = play(world.sessions.resume_flow(text), world.answer)
    assert isinstance(played.error, SessionEndedError)


def test_the_record_of_another_session_is_none_of_this_one(world: World) -> None:
    first, second = world.started(), world.started()
    one, other = world.kept
    world.kept[one], world.kept[other] = world.kept[other], world.kept[one]
    for text in (first, second):
        assert isinstance(play(world.sessions.resume_flow(text), world.answer).error, SessionEndedError)


def test_a_record_shows_no_secret_and_keeps_nested_claims() -> None:
    frozen = CLAIMS | {"amr": ("pwd",), "cnf": MappingProxyType({"a": ("b",)})}
    record = Record(refresh_token="secret", claims=frozen, ends_on=NOW)
    assert "secret" not in repr(record)
    assert Record.decoded(record.encoded()) == replace(record, claims=CLAIMS | {"amr": ["pwd"], "cnf": {"a": ["b"]}})


# A store that fails


@pytest.mark.parametrize("failures", [1, 3])
def test_a_store_that_fails_is_asked_again(world: World, failures: int) -> None:
    text = world.started()
    world.answers = [GONE] * failures
    played = play(world.sessions.resume_flow(text), world.answer)
    assert played.result.user.object_id == OBJECT
    assert [effect.seconds for effect in played.effects if isinstance(effect, Sleep)] == [0.1, 0.4, 1.0][:failures]


def test_a_store_that_fails_for_good_is_said(world: World) -> None:
    text = world.started()
    for flow in (
        world.sessions.resume_flow(text),
        world.sessions.end_flow(text),
    ):
        world.answers = [GONE] * 4
        assert isinstance(play(flow, world.answer).error, SharedCacheUnavailableError)
    world.answers = [granted(), *[GONE] * 4]
    started = play(world.sessions.start_flow(world.valid(), None, 60.0), world.answer)
    assert isinstance(started.error, SharedCacheUnavailableError)


# One worker at a time


def test_the_new_refresh_token_is_kept_before_anybody_else_may_redeem(world: World) -> None:
    played = world.redeemed(world.started())
    assert played.result.token == "new"
    operations: list[Any] = [effect.operation if isinstance(effect, UseStore) else effect for effect in played.effects]
    lead, _, request, save = operations
    assert isinstance(lead, Lead)
    assert b"refresh_token=next" in request.request.body
    assert (save.owner, save.name) == (lead.owner, lead.name)
    assert lead.anew
    assert world.store.done_later == []
    assert world.store.waited_for == 0


def test_an_answer_without_a_new_refresh_token_leaves_the_old_one(world: World) -> None:
    text = world.started()
    world.answers = [world.kept[next(iter(world.kept))], 0.0, world.kept[next(iter(world.kept))]]
    world.answers.append(granted(refresh_token=None))
    assert world.redeemed(text).error is None
    (record,) = (Record.decoded(SEALER.open(name, value) or b"") for name, value in world.kept.items())
    assert record.refresh_token == "next"


def test_who_does_not_lead_waits_to_be_told_and_asks_again(world: World) -> None:
    text = world.started()
    (name,) = world.kept
    kept = world.kept[name]
    world.answers = [kept, 7.0, TimeoutError(), 7.0, None, 7.0, WouldDeadlockError(), 0.0]
    played = world.redeemed(text)
    assert played.result.token == "new"
    waits = [type(effect) for effect in played.effects[:7] if not isinstance(effect, UseStore)]
    assert waits == [WaitFor, WaitFor, WaitFor, Sleep]
    assert world.store.waited_for == 0


def test_who_waits_for_too_long_gives_up_and_says_so(world: World) -> None:
    text = world.started()
    (name,) = world.kept
    kept = world.kept[name]

    def late(effect: Any) -> object:
        if isinstance(effect, WaitFor):
            world.passed += 121
            return None
        return world.answer(effect)

    valid = play(world.sessions.resume_flow(text), world.answer).result
    world.answers = [7.0, 7.0]
    query = world.runtime.client.query(("https://graph.microsoft.com/User.Read",))
    played = play(valid.assertion.redeem(query), late)
    assert isinstance(played.error, SharedCacheUnavailableError)
    assert world.kept == {name: kept}
    assert [type(operation).__name__ for operation in world.store.done_later] == ["Release"]


def test_a_session_that_was_ended_meanwhile_is_over_and_not_brought_back(world: World) -> None:
    text = world.started()
    kept = world.kept[next(iter(world.kept))]
    world.answers = [kept, 0.0, kept, granted(), False]
    played = world.redeemed(text)
    assert isinstance(played.error, SessionEndedError)
    assert "while it was renewed" in str(played.error)


def test_a_refused_refresh_token_ends_the_session(world: World) -> None:
    text = world.started()
    kept = world.kept[next(iter(world.kept))]
    world.answers = [kept, 0.0, kept, refused("invalid_grant")]
    assert isinstance(world.redeemed(text).error, SessionEndedError)
    assert world.kept == {}


def test_any_other_failure_leaves_the_session_and_ends_the_lead(world: World) -> None:
    text = world.started()
    kept = dict(world.kept)
    value = next(iter(kept.values()))
    world.answers = [value, 0.0, value, refused("invalid_client")]
    assert world.redeemed(text).error is not None
    assert world.kept == kept
    assert [type(operation).__name__ for operation in world.store.done_later] == ["Release"]


def test_what_was_sealed_with_a_former_key_moves_to_the_new_one() -> None:
    former, newer = SecretKey.generate(), SecretKey.generate()
    before, after = World(sealer=SecretSealer([former])), World(sealer=SecretSealer([newer, former]))
    text = before.started()
    after.kept = before.kept
    (old_name,) = before.kept
    assert after.redeemed(text).error is None
    assert list(after.kept) != [old_name]
    assert len(after.kept) == 1


def test_a_store_error_says_nothing_but_its_kind() -> None:
    assert str(StoreError("TimeoutError")) == "TimeoutError"
