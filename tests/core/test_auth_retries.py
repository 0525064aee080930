"""Requests that an API puts off, sent again while there is time."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator

import pytest

from credentials.kernel import Flow
from obo_middleware import _calls
from obo_middleware.errors import RequestEndedError
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face, make_face
from tests.core.hostile import Answer, Scripted
from tests.core.kit import api
from tests.core.test_auth_challenges import challenge, first


@pytest.fixture
def patient(face: Face, entra: LocalEntra, server: Scripted) -> Iterator[Face]:
    """Give each of the four clients, of an API that may be asked again for a minute."""
    apis = {"api": api(server.url + "/v1", retry_within=60.0)}
    made = make_face(entra, server, face.library, blocking=face.blocking, downstream_apis=apis)
    yield made
    made.runtime.close()


def off(status: int = 429, seconds: object = 7) -> Answer:
    return Answer(status, b"later", [("Retry-After", str(seconds))])


def test_a_request_that_is_put_off_is_sent_again_after_the_wait(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off(), off(503, 9)))
    assert patient.get().status_code == 200
    assert waits == [7.0, 9.0]
    assert len(set(patient.tokens)) == 1
    assert patient.entra.exchanges == 1


def test_nothing_is_sent_again_unless_the_api_is_declared_so(face: Face, waits: list[float]) -> None:
    face.server.say("/v1/me", off())
    assert face.get().status_code == 429
    assert (len(face.server.asked), waits) == (1, [])


def test_a_wait_beyond_the_deadline_is_not_begun(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off(seconds=50), off(seconds=11)))
    assert patient.get().status_code == 429
    assert waits == [50.0]
    assert len(patient.server.asked) == 2


def test_a_wait_may_last_to_the_deadline(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off(seconds=60)))
    assert patient.get().status_code == 200
    assert waits == [60.0]


def test_a_wait_may_be_told_as_a_time(patient: Face, waits: list[float], entra: LocalEntra) -> None:
    at = email.utils.formatdate(entra.clock() + 20, usegmt=True)
    patient.server.say("/v1/me", first(off(seconds=at)))
    assert patient.get().status_code == 200
    assert waits == [20.0]


def test_an_api_that_asks_for_no_wait_gets_a_few_short_ones(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", off(seconds=0))
    assert patient.get().status_code == 429
    assert waits == [0.1] * 10


@pytest.mark.parametrize("answer", [Answer(429), Answer(503), off(seconds="soon"), off(500), off(502), off(200)])
def test_any_other_answer_is_the_handlers(patient: Face, waits: list[float], answer: Answer) -> None:
    patient.server.say("/v1/me", answer)
    assert patient.get().status_code == answer.status
    assert (len(patient.server.asked), waits) == (1, [])


@pytest.mark.parametrize(
    ("method", "status", "tries"),
    [("POST", 429, 2), ("PATCH", 429, 2), ("POST", 503, 1), ("PATCH", 503, 1), ("PUT", 503, 2), ("DELETE", 503, 2)],
)
def test_what_may_have_had_its_effect_is_not_sent_again(
    patient: Face, waits: list[float], method: str, status: int, tries: int
) -> None:
    patient.server.say("/v1/me", first(off(status)))
    assert patient.get(method=method, content=b"body").status_code == (status if tries == 1 else 200)
    assert [asked.body for asked in patient.server.asked] == [b"body"] * tries


def test_a_body_that_can_be_read_once_is_not_sent_again(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off()))
    assert patient.get(method="POST", content=patient.body(1000)).status_code == 429
    assert (len(patient.server.asked), waits) == (1, [])


def test_the_answers_before_are_the_history_of_the_last_one(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off()))
    response = patient.get()
    assert [before.status_code for before in response.history] == [429]


@pytest.mark.attack(174)
def test_a_challenge_after_a_wait_is_answered_too(patient: Face, waits: list[float]) -> None:
    patient.server.say("/v1/me", first(off(), challenge(), off()))
    assert patient.get().status_code == 200
    one, two, three, four = patient.tokens
    assert one == two != three == four
    assert patient.entra.exchanges == 2


@pytest.mark.attack(172)
def test_a_request_that_ends_while_a_call_waits_ends_the_call(patient: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    context = patient.context("alice")

    def sleep(seconds: float) -> Flow[None]:
        context.end()
        yield from ()

    monkeypatch.setattr(_calls, "sleep", sleep)
    patient.server.say("/v1/me", off())
    with pytest.raises(RequestEndedError):
        patient.call(context, "/me")
    assert len(patient.server.asked) == 1
