"""The ``auth=`` object for Requests: claims challenges, and what an API puts off."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from credentials.kernel import Flow
from obo_middleware import _calls
from obo_middleware._runtime import Runtime
from obo_middleware.errors import ClaimsChallengeError, RequestEndedError
from obo_middleware.requests import OnBehalfOfAuth
from obo_middleware.testing import LocalEntra
from tests.core.hostile import Answer, Asked, Scripted
from tests.core.kit import api, settings_for
from tests.core.test_auth_challenges import CLAIMS, OTHER_ANSWERS, REFUSALS, challenge, first, refuse_claims
from tests.core.test_auth_retries import off
from tests.core.test_requests_auth import Caller


@pytest.fixture
def caller(entra: LocalEntra, server: Scripted) -> Iterator[Caller]:
    """Give an application with an API that may be asked again for a minute."""
    apis = {"api": api(server.url + "/v1", retry_within=60.0)}
    runtime = Runtime(settings_for(entra, downstream_apis=apis))
    yield Caller(entra, runtime, server)
    runtime.close()


def once(size: int) -> Iterator[bytes]:
    yield b"x" * size


@pytest.mark.attack(174)
def test_a_claims_challenge_is_answered_once_with_a_new_token(caller: Caller) -> None:
    caller.server.say("/v1/me", first(challenge()))
    response = caller.get()
    assert response.status_code == 200
    assert [before.status_code for before in response.history] == [401]
    assert response.history[0].json() == {"error": "challenge"}
    first_token, second_token = caller.tokens
    assert first_token != second_token
    assert caller.server.connections == 1


@pytest.mark.attack(174)
def test_the_new_token_replaces_the_old_one_and_goes_on_in_redirects(caller: Caller) -> None:
    caller.server.say("/v1/move", first(challenge(), Answer(302, b"", [("Location", "me")])))
    caller.server.say("/v1/me", first())
    assert caller.get("/move").status_code == 200
    one, two, three = caller.tokens
    assert one != two == three
    assert caller.get().status_code == 200
    assert caller.tokens[3] == two


@pytest.mark.attack(174)
def test_the_request_of_a_redirect_may_be_challenged_too(caller: Caller) -> None:
    caller.server.say("/v1/move", first(challenge(), Answer(302, b"", [("Location", "me")])))
    caller.server.say("/v1/me", first(challenge()))
    assert caller.get("/move").status_code == 200
    assert caller.server.paths == ["/v1/move", "/v1/move", "/v1/me", "/v1/me"]
    assert caller.entra.exchanges == 3


@pytest.mark.attack(175)
def test_a_challenge_that_is_repeated_ends_with_an_error(caller: Caller) -> None:
    caller.server.say("/v1/me", challenge())
    with pytest.raises(ClaimsChallengeError) as caught:
        caller.get()
    assert caught.value.claims == CLAIMS
    assert (len(caller.server.asked), caller.entra.exchanges) == (2, 2)


@pytest.mark.parametrize(
    "answer",
    [*OTHER_ANSWERS, Answer(429), Answer(503), off(500)],
)
def test_any_other_answer_is_the_handlers(caller: Caller, waits: list[float], answer: Answer) -> None:
    caller.server.say("/v1/me", answer)
    assert caller.get().status_code == answer.status
    assert (len(caller.server.asked), caller.entra.exchanges, waits) == (1, 1, [])


@pytest.mark.attack(177)
def test_one_of_several_challenges_is_found(caller: Caller) -> None:
    (ours,) = challenge().headers
    caller.server.say("/v1/me", first(Answer(401, b"", [("WWW-Authenticate", 'Basic realm="x"'), ours])))
    assert caller.get().status_code == 200
    assert len(caller.server.asked) == 2


def sent(kind: str) -> dict[str, Any]:
    """Return one body of each kind."""
    kinds: dict[str, dict[str, Any]] = {
        "bytes": {"data": b"body"},
        "text": {"data": "body"},
        "form": {"data": {"a": "b"}},
        "json": {"json": {"a": "b"}},
        "multipart": {"files": {"file": ("a.txt", io.BytesIO(b"content"))}},
        "iterator": {"data": once(1000)},
        "file": {"data": io.BytesIO(b"x" * 1000)},
    }
    return kinds[kind]


@pytest.mark.parametrize("answer", [challenge(), off()], ids=["challenge", "put off"])
@pytest.mark.parametrize("kind", ["bytes", "text", "form", "json", "multipart"])
def test_a_body_in_memory_is_sent_again(caller: Caller, waits: list[float], kind: str, answer: Answer) -> None:
    caller.server.say("/v1/me", first(answer))
    assert caller.get(method="POST", **sent(kind)).status_code == 200
    one, two = [asked.body for asked in caller.server.asked]
    assert one == two != b""


@pytest.mark.attack(178)
@pytest.mark.parametrize("kind", ["iterator", "file"])
def test_a_body_that_can_be_read_once_is_not_sent_again(caller: Caller, waits: list[float], kind: str) -> None:
    caller.server.say("/v1/me", first(challenge(), off()))
    assert caller.get(method="POST", **sent(kind)).status_code == 401
    assert caller.get(method="POST", **sent(kind)).status_code == 429
    assert caller.get(method="POST", **sent(kind)).status_code == 200
    assert [len(asked.body) for asked in caller.server.asked] == [1000] * 3
    one, two, three = caller.tokens
    assert one != two == three, "the next call has the new token"
    assert waits == []


def test_a_request_that_is_put_off_is_sent_again_after_the_wait(caller: Caller, waits: list[float]) -> None:
    caller.server.say("/v1/me", first(off(), off(503, 9)))
    response = caller.get()
    assert [before.status_code for before in response.history] == [429, 503]
    assert (response.status_code, waits, caller.entra.exchanges) == (200, [7.0, 9.0], 1)


def test_what_may_have_had_its_effect_is_not_sent_again(caller: Caller, waits: list[float]) -> None:
    caller.server.say("/v1/me", off(503))
    assert caller.get(method="POST", data=b"body").status_code == 503
    assert (len(caller.server.asked), waits) == (1, [])


@pytest.mark.parametrize(("turn", "error"), REFUSALS, ids=lambda value: value.__name__)
def test_a_refused_exchange_is_the_error_that_it_means(caller: Caller, turn: Any, error: type[Exception]) -> None:
    turn(caller.entra)
    with pytest.raises(error) as caught:
        caller.get()
    assert caller.server.connections == 0
    assert "eyJ" not in str(caught.value)


def test_a_refusal_of_the_retry_is_the_error_that_it_means(caller: Caller) -> None:
    def say(_asked: Asked) -> Answer:
        refuse_claims(caller.entra)
        return challenge()

    caller.server.say("/v1/me", say)
    with pytest.raises(ClaimsChallengeError):
        caller.get(stream=True)
    assert len(caller.server.asked) == 1


@pytest.mark.attack(172)
def test_a_request_that_ends_while_a_call_waits_ends_the_call(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    context = caller.context("alice")

    def sleep(seconds: float) -> Flow[None]:
        context.end()
        yield from ()

    monkeypatch.setattr(_calls, "sleep", sleep)
    caller.server.say("/v1/me", off())
    with pytest.raises(RequestEndedError):
        caller.get(auth=OnBehalfOfAuth(context, "api"))
    assert len(caller.server.asked) == 1


def test_hooks_of_the_caller_see_the_answer_that_counts(caller: Caller) -> None:
    caller.server.say("/v1/me", first(challenge()))
    seen: list[int] = []
    caller.get(hooks={"response": lambda response, **_options: seen.append(response.status_code)})
    with requests.Session() as session:
        session.hooks["response"].append(lambda response, **_options: seen.append(response.status_code))
        session.get(caller.server.url + "/v1/me", auth=caller.auth(), timeout=5)
    assert seen == [200, 200]


def test_a_prepared_request_that_is_sent_twice_may_be_challenged_twice(caller: Caller) -> None:
    caller.server.say("/v1/me", first(challenge(), Answer(), challenge()))
    with requests.Session() as session:
        prepared = session.prepare_request(requests.Request("GET", caller.server.url + "/v1/me", auth=caller.auth()))
        assert [session.send(prepared, timeout=5).status_code for _ in range(2)] == [200, 200]
    assert len(caller.server.asked) == 4
