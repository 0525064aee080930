from __future__ import annotations

import pytest

from credentials._flow import (
    AskCredential,
    CallFunction,
    HttpRequest,
    HttpResponse,
    SendRequest,
    Sleep,
    WaitFor,
    ask,
    call,
    send,
    sleep,
    wait_for,
)
from credentials._single_flight import Flight
from credentials._types import AccessToken, AccessTokenInfo
from tests.credentials.helpers import answer, play


class Foreign:
    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> AccessToken:
        return AccessToken("foreign-token", 1)


def test_each_helper_yields_its_effect_and_returns_the_answer() -> None:
    request, response, flight = HttpRequest(method="GET", url="http://localhost/"), answer(), Flight[int]()
    info, foreign, function = AccessTokenInfo("t", 1), Foreign(), str
    sent = play(send(request), response)
    assert (sent.effects, sent.result) == ([SendRequest(request)], response)
    slept = play(sleep(2.5), None)
    assert (slept.effects, slept.result) == ([Sleep(2.5)], None)
    waited = play(wait_for(flight, timeout=3), None)
    assert (waited.effects, waited.result) == ([WaitFor(flight, 3)], None)
    asked = play(ask(foreign, ("s",), {"claims": "{}"}), info)
    assert (asked.effects, asked.result) == ([AskCredential(foreign, ("s",), {"claims": "{}"})], info)
    called = play(call(function), "text")
    assert (called.effects, called.result) == ([CallFunction(function)], "text")


def test_an_exception_thrown_into_a_helper_comes_out_of_the_flow() -> None:
    error = TimeoutError("late")
    assert play(wait_for(Flight[int](), timeout=1), error).error is error


def test_requests_and_answers_show_neither_headers_nor_bodies() -> None:
    request = HttpRequest(method="POST", url="http://localhost/", headers={"x": "hidden-1"}, body=b"hidden-2")
    response = HttpResponse(status=200, headers={"x": "hidden-3"}, body=b"hidden-4")
    assert "hidden" not in repr(SendRequest(request)) + repr(response)


def test_play_tells_when_a_flow_asks_for_more_than_is_given() -> None:
    with pytest.raises(AssertionError, match="asks for more"):
        play(sleep(1))


def test_play_tells_when_a_flow_ends_before_it_took_all_answers() -> None:
    with pytest.raises(AssertionError, match="before it took all"):
        play(sleep(1), None, None)
