"""What an observer of the token engine is told, every answer given by hand, and what becomes of one that fails."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from credentials import AccessTokenInfo
from credentials.kernel import Event, Flow, TokenEngine, Want, Work, sleep
from obo_middleware import ConfigurationError
from obo_middleware.testing import LocalEntra
from tests.core.faces import make_face
from tests.core.hostile import Scripted
from tests.core.kit import (
    NOW,
    Clock,
    no_answer,
    play,
    settings,
)
from tests.core.test_auth_challenges import challenge, first


def given_flow(token: str) -> Flow[AccessTokenInfo]:
    yield from sleep(1)
    return AccessTokenInfo(token, int(NOW) + 3600)


class Taking:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ended: list[tuple[Work, str]] = []

    def count(self, event: Event) -> None:
        self.events.append(event)

    def begin(self, work: Work) -> Any:
        return lambda error: self.ended.append((work, type(error).__name__))


def engine_of(taking: Taking, clock: Clock) -> TokenEngine:
    return TokenEngine(clock=clock, observer=taking)


def test_who_waits_for_anothers_exchange_has_joined_it(clock: Clock) -> None:
    taking = Taking()
    engine, want = engine_of(taking, clock), Want(key=b"k", label="api")
    leading, following = (engine.token_flow(want, lambda: given_flow("t")) for _ in range(2))
    next(leading)
    next(following)
    assert play_on(leading) == play_on(following) == "t"
    assert taking.events == [Event("lookup", "api", "miss"), Event("joined", "api")]
    assert [word for _, word in taking.ended] == ["NoneType"] * 2


def play_on(flow: Flow[AccessTokenInfo]) -> str:
    with pytest.raises(StopIteration) as stopped:
        flow.send(None)
    token: str = stopped.value.value.token
    return token


def test_who_follows_a_leader_that_is_gone_has_joined_nothing(clock: Clock) -> None:
    taking = Taking()
    engine, want = engine_of(taking, clock), Want(key=b"k", label="api")
    leading, following = (engine.token_flow(want, lambda: given_flow("t")) for _ in range(2))
    next(leading)
    next(following)
    leading.close()
    following.send(None)
    assert play_on(following) == "t"
    assert [event.detail for event in taking.events] == ["miss", "miss"]
    assert taking.ended == [(Work("token", "api"), "GeneratorExit"), (Work("token", "api"), "NoneType")]


def test_an_ageing_token_is_a_miss_for_the_one_who_refreshes_it(clock: Clock) -> None:
    taking = Taking()
    engine, want = engine_of(taking, clock), Want(key=b"k")
    play(engine.token_flow(want, lambda: given_flow("old")), lambda _: None)
    clock.now += 3400
    taking.events.clear()
    refreshing = engine.token_flow(want, lambda: given_flow("new"))
    next(refreshing)
    for _ in range(2):
        assert play(engine.token_flow(want, lambda: given_flow("new")), no_answer).value().token == "old"
    refreshing.close()
    assert [event.detail for event in taking.events] == ["miss", "memory", "memory"]


def test_a_token_that_somebody_has_refreshed_meanwhile_is_from_memory(clock: Clock) -> None:
    taking = Taking()
    engine, want = engine_of(taking, clock), Want(key=b"k")
    newer = AccessTokenInfo("new", int(NOW) + 7200)
    taking.events.clear()
    assert play(engine._renew_flow(want, newer, lambda: given_flow("x")), no_answer).value() is newer
    assert taking.events == [Event("lookup", "", "memory")]


# An observer that fails


class Broken:
    """An observer that fails at one of its three chances."""

    def __init__(self, where: str) -> None:
        self._where = where

    def count(self, _event: Event) -> None:
        if self._where == "count":
            raise RuntimeError("c4n4ry")

    def begin(self, _work: Work) -> Any:
        if self._where == "begin":
            raise RuntimeError("c4n4ry")

        def done(_error: BaseException | None) -> None:
            if self._where == "end":
                raise RuntimeError("c4n4ry")

        return done


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "awaitable"])
@pytest.mark.parametrize("where", ["count", "begin", "end"])
def test_an_observer_that_fails_harms_no_request_and_is_told_of_once(
    entra: LocalEntra, server: Scripted, caplog: pytest.LogCaptureFixture, where: str, *, blocking: bool
) -> None:
    server.say("/v1/me", first(challenge()))
    face = make_face(entra, server, httpx, blocking=blocking, telemetry=Broken(where))
    for user in ("alice", "bob", "alice"):
        assert face.get(user).status_code == 200
    told = [record for record in caplog.records if getattr(record, "event", "") == "obo.telemetry.failed"]
    assert [record.levelname for record in told] == ["ERROR"]
    assert "RuntimeError" in told[0].getMessage()
    assert "c4n4ry" not in caplog.text
    face.runtime.close()


@pytest.mark.parametrize("value", ["otel", object(), True])
def test_what_is_no_observer_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"telemetry is a \w+: give an obo_middleware.telemetry.OpenTelemetry"):
        settings(telemetry=value)
