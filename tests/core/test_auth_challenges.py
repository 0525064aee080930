from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from obo_middleware.errors import (
    ClaimsChallengeError,
    ConfigurationError,
    ConsentNeededError,
    InvalidTokenError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
)
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face
from tests.core.hostile import Answer, Asked, Say
from tests.core.kit import claims_of
from tests.marks import showing

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


def challenge(claims: str = CLAIMS, error: str = "insufficient_claims") -> Answer:
    encoded = base64.b64encode(claims.encode()).decode()
    value = f'Bearer realm="", error="{error}", claims="{encoded}"'
    return Answer(401, b'{"error":"challenge"}', [("WWW-Authenticate", value)])


def first(*answers: Answer) -> Say:
    """Give these answers first, then the plain one."""
    left = list(answers)

    def say(asked: Asked) -> Answer:
        return left.pop(0) if left else Answer(body=asked.body or b"{}")

    return say


@pytest.mark.attack(174)
def test_a_claims_challenge_is_answered_once_with_a_new_token(face: Face) -> None:
    face.server.say("/v1/me", first(challenge()))
    assert face.get().status_code == 200
    first_token, second_token = face.tokens
    assert first_token != second_token
    asked = [json.loads(request.form.get("claims", "{}"))["access_token"] for request in face.entra.token_requests]
    assert asked == [
        {"xms_cc": {"values": ["CP1"]}},
        {"xms_cc": {"values": ["CP1"]}} | json.loads(CLAIMS)["access_token"],
    ]


@pytest.mark.attack(174)
def test_the_new_token_replaces_the_old_one(face: Face) -> None:
    face.server.say("/v1/me", first(challenge()))
    face.get()
    assert face.get().status_code == 200
    assert face.tokens[2] == face.tokens[1]
    assert face.entra.exchanges == 2


@pytest.mark.attack(175)
def test_a_challenge_that_is_repeated_ends_with_an_error(face: Face) -> None:
    face.server.say("/v1/me", challenge())
    with pytest.raises(ClaimsChallengeError) as caught:
        face.get()
    assert caught.value.claims == CLAIMS
    assert (len(face.server.asked), face.entra.exchanges) == (2, 2)


OTHER_ANSWERS = [
    *showing(179, Answer(401), Answer(401, b"", [("WWW-Authenticate", "Bearer")]), challenge(error="invalid_token")),
    *showing(176, challenge("no json"), challenge('{"a":"' + "x" * 20_000 + '"}')),
    Answer(403, b"", challenge().headers),
    Answer(200, b"{}", challenge().headers),
]
"""Answers that are no challenge, or none that can be answered."""


@pytest.mark.parametrize("answer", OTHER_ANSWERS)
def test_any_other_answer_is_the_handlers(face: Face, answer: Answer) -> None:
    face.server.say("/v1/me", answer)
    assert face.get().status_code == answer.status
    assert (len(face.server.asked), face.entra.exchanges) == (1, 1)


@pytest.mark.attack(175)
def test_the_answer_after_the_retry_is_the_handlers_whatever_it_is(face: Face) -> None:
    face.server.say("/v1/me", first(challenge(), Answer(401)))
    assert face.get().status_code == 401
    assert len(face.server.asked) == 2


@pytest.mark.attack(177)
def test_one_of_several_challenges_is_found(face: Face) -> None:
    (ours,) = challenge().headers
    face.server.say("/v1/me", first(Answer(401, b"", [("WWW-Authenticate", 'Basic realm="x"'), ours])))
    assert face.get().status_code == 200
    assert len(face.server.asked) == 2


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_in_memory_is_sent_again(face: Face, method: str) -> None:
    face.server.say("/v1/me", first(challenge()))
    assert face.get(method=method, content=b"body").content == b"body"
    assert [asked.body for asked in face.server.asked] == [b"body", b"body"]


@pytest.mark.attack(178)
def test_a_body_that_can_be_read_once_is_not_sent_again(face: Face) -> None:
    face.server.say("/v1/me", first(challenge()))
    assert face.get(method="POST", content=face.body(1000)).status_code == 401
    assert [len(asked.body) for asked in face.server.asked] == [1000]
    assert face.get(method="POST", content=face.body(1000)).status_code == 200
    assert face.tokens[0] != face.tokens[1], "the next call has the new token"


def test_without_a_challenge_a_streamed_body_arrives(face: Face) -> None:
    face.server.say("/v1/me", first())
    assert face.get(method="POST", content=face.body(100_000)).content == b"x" * 100_000


def refuse_claims(entra: LocalEntra) -> None:
    entra.require_mfa("alice")


def refuse_consent(entra: LocalEntra) -> None:
    entra.require_consent("alice", entra.api, ["User.Read"])


def answer_html(entra: LocalEntra) -> None:
    for _ in range(3):
        entra.answer_once(200, {}, b"<html>")


def end_session(entra: LocalEntra) -> None:
    entra.revoke("alice", end_session=True)


def throttle(entra: LocalEntra) -> None:
    entra.throttle(77)


def change_secret(entra: LocalEntra) -> None:
    entra.update_app(entra.api, secrets=())


REFUSALS: list[Any] = [
    *showing(144, (refuse_claims, ClaimsChallengeError)),
    *showing(145, (refuse_consent, ConsentNeededError)),
    *showing(149, (throttle, UpstreamUnavailableError)),
    *showing(147, (change_secret, ConfigurationError)),
    *showing(141, (answer_html, UnusableUpstreamError)),
]


@pytest.mark.parametrize(("turn", "error"), REFUSALS, ids=lambda value: value.__name__)
def test_a_refused_exchange_is_the_error_that_it_means(
    face: Face, turn: Callable[[LocalEntra], None], error: type[Exception]
) -> None:
    turn(face.entra)
    with pytest.raises(error) as caught:
        face.get()
    assert face.server.connections == 0
    assert "eyJ" not in str(caught.value)
    if isinstance(caught.value, ConsentNeededError):
        assert caught.value.scopes == ("User.Read",)
    if isinstance(caught.value, UpstreamUnavailableError):
        assert caught.value.retry_after == 77


@pytest.mark.attack(146)
def test_an_assertion_that_the_provider_refuses_is_an_invalid_token(face: Face) -> None:
    context = face.context()
    face.entra.rotate_keys(withdraw_old=True)
    with pytest.raises(InvalidTokenError):
        face.call(context, "/me")


def test_a_refusal_of_the_retry_is_the_error_that_it_means(face: Face) -> None:
    def say(_asked: Asked) -> Answer:
        refuse_claims(face.entra)
        return challenge()

    face.server.say("/v1/me", say)
    with pytest.raises(ClaimsChallengeError) as caught:
        face.get()
    assert caught.value.claims is not None
    assert len(face.server.asked) == 1


def test_the_application_asks_for_itself(face: Face) -> None:
    face.server.say("/v1/me", first(challenge()))
    assert face.get(as_app=True).status_code == 200
    claims: list[dict[str, Any]] = [claims_of(token) for token in face.tokens]
    assert [one["idtyp"] for one in claims] == ["app", "app"]
    assert [one.form["grant_type"] for one in face.entra.token_requests] == ["client_credentials"] * 2
