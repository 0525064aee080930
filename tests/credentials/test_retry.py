from __future__ import annotations

import pytest

from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import HttpRequest, HttpResponse, SendRequest, Sleep
from credentials._retry import retried_flow
from tests.credentials.helpers import Drive, answer, play
from tests.credentials.servers import Exchange, closed_port, loopback

REQUEST = HttpRequest(method="GET", url="http://metadata.example/")
ASK = SendRequest(REQUEST)


class Rule:
    """A rule for how long to wait, which notes what it was asked about."""

    def __init__(self, *delays: float | None) -> None:
        self.delays = list(delays)
        self.asked: list[tuple[int | None, int]] = []

    def __call__(self, response: HttpResponse | None, attempt: int) -> float | None:
        self.asked.append((None if response is None else response.status, attempt))
        return self.delays.pop(0)


def test_an_answer_that_contents_the_rule_is_returned() -> None:
    response = answer(404)
    played = play(retried_flow(REQUEST, rule := Rule(None)), response)
    assert (played.result, played.effects, rule.asked) == (response, [ASK], [(404, 1)])


def test_the_same_request_is_sent_again_after_each_delay() -> None:
    rule = Rule(0.5, 0.0, None)
    played = play(retried_flow(REQUEST, rule), answer(500), None, TransportError("ReadError"), None, answer(200))
    assert played.result.status == 200
    assert played.effects == [ASK, Sleep(0.5), ASK, Sleep(0.0), ASK]
    assert rule.asked == [(500, 1), (None, 2), (200, 3)]


def test_the_last_answer_is_returned_even_if_it_is_a_refusal() -> None:
    assert play(retried_flow(REQUEST, Rule(0.0, None)), answer(503), None, answer(500)).result.status == 500


def test_the_last_failure_is_raised_as_it_came() -> None:
    last = TransportError("Timeout")
    played = play(retried_flow(REQUEST, Rule(0.0, None)), TransportError("ConnectError"), None, last)
    assert played.error is last


def test_an_answer_that_is_too_large_is_not_asked_for_again() -> None:
    error = AnswerTooLargeError("the answer is too large")
    played = play(retried_flow(REQUEST, rule := Rule()), error)
    assert (played.error, rule.asked) == (error, [])


def test_a_server_that_recovers_is_asked_until_it_does(drive: Drive) -> None:
    def respond(exchange: Exchange) -> None:
        exchange.reply(200 if len(exchange.server.asked) == 3 else 500)

    def until_it_does(response: HttpResponse | None, attempt: int) -> float | None:
        return 0.0 if response is None or response.status == 500 else None

    with loopback(respond) as server:
        request = HttpRequest(method="GET", url=server.url)
        assert drive(retried_flow(request, until_it_does)).status == 200
        assert len(server.asked) == 3


def test_nobody_listening_is_tried_as_often_as_the_rule_says(drive: Drive) -> None:
    rule = Rule(0.0, 0.0, None)
    with closed_port() as url, pytest.raises(TransportError, match="ConnectError"):
        drive(retried_flow(HttpRequest(method="GET", url=url), rule))
    assert rule.asked == [(None, 1), (None, 2), (None, 3)]
