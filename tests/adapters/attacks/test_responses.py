"""The head of every refusal: one challenge on one line of allowed characters, whatever went into it, and no-store."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from obo_middleware.errors import (
    ClaimsChallengeError,
    ConfigurationError,
    ConsentNeededError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidTokenError,
    MalformedRequestError,
    MissingTokenError,
    OboError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
)
from tests.adapters.attacks.failures import FAILURES, Doing, Failure, mirrored, play, raising
from tests.adapters.attacks.handlers import Way
from tests.adapters.harness import LEAK, Answer, parse_answer
from tests.adapters.world import World
from tests.core.hostile import Scripted
from tests.marks import showing

# RFC 6750 section 3, RFC 9110 sections 5.5 and 11.6.1.
_VALUE = r'"[\x20-\x21\x23-\x5b\x5d-\x7e]*"'
CHALLENGE = re.compile(rf"Bearer [a-z_]+={_VALUE}(?:, [a-z_]+={_VALUE})*")
LINE = re.compile(rb"[A-Za-z-]+: [\x20-\x7e]*")
STATUS = re.compile(rb"HTTP/1\.[01] [2-5][0-9]{2} [\x20-\x7e]+")


def check_head(data: bytes) -> Answer:
    """Check that an answer has one head of clean lines with at most one challenge, and return it."""
    head = data.partition(b"\r\n\r\n")[0]
    first, *lines = head.split(b"\r\n")
    assert STATUS.fullmatch(first)
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    names = [line.partition(b":")[0].lower() for line in lines]
    assert len(set(names)) == len(names), "a header stands twice"
    assert {b"set-cookie", b"x-evil"}.isdisjoint(names)
    answer = parse_answer(data)
    assert CHALLENGE.fullmatch(answer.headers.get("www-authenticate", 'Bearer a=""'))
    return answer


def decoded_claims(answer: Answer) -> bytes:
    """Return the claims in an answer's challenge, which are in base64 there, or nothing."""
    encoded = answer.headers.get("www-authenticate", "").partition('claims="')[2]
    return base64.b64decode(encoded.rstrip('"'))


@pytest.mark.attack(151, 184, 188)
@pytest.mark.parametrize("name", FAILURES)
def test_no_refusal_tells_a_secret_or_is_stored_by_a_proxy(way: Way, world: World, api: Scripted, name: str) -> None:
    failure = FAILURES[name]
    data, token = play(way, world, api, failure)
    answer = check_head(data)
    assert answer.status == failure.status
    told = data + decoded_claims(answer)
    assert not LEAK.search(told.decode("latin-1"))
    assert token is None or token.encode() not in told
    if failure.ours:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == failure.status


# Hostile texts

HALF = "\ud800"
"""Half a character, which no encoding can write."""
SPLITTING = ("a\r\nSet-Cookie: x=1", "a\r\n\r\n<html>", "a\nX-Evil: 1", "a\rb", "a\x00b", "a\x0b\x0c\x85b", "\x1b[31m")
FOREIGN = ("\u043f\u0440\u0438", "\u20ac", "a\u2028b", "\u202eb", "\U0001f600", "caf\u00e9", HALF, "\x7f\x80\xff")
QUOTING = ('a"b', "a\\b", '", error="x', '\\"', 'a", Basic realm="b', "a\\")
TEXTS = [*showing(180, [*SPLITTING]), *showing(181, [*FOREIGN]), *showing(182, [*QUOTING])]
IDS = ["180", "181", "182"]

RAISED: dict[str, Callable[[str], OboError]] = {
    "scope": lambda text: InsufficientScopeError(text, scopes=[text]),
    "consent": lambda text: ConsentNeededError(text, scopes=[text]),
    "acr": lambda text: InsufficientUserAuthenticationError(text, acr_values=[text], max_age=5),
    "claims": lambda text: ClaimsChallengeError(text, claims=text),
    "invalid": InvalidTokenError,
    "missing": MissingTokenError,
    "malformed": MalformedRequestError,
    "down": lambda text: UpstreamUnavailableError(text, retry_after=5),
    "unusable": UnusableUpstreamError,
    "ours": ConfigurationError,
}


def raised(way: Way, token: bytes, error: OboError) -> Answer:
    return check_head(way.say(raising(error), b"Authorization: Bearer " + token))


@pytest.mark.parametrize("texts", TEXTS, ids=IDS)
@pytest.mark.parametrize("name", RAISED)
def test_no_text_of_a_handler_leaves_its_place_in_the_head(way: Way, world: World, name: str, texts: list[str]) -> None:
    token = world.token("alice", xms_cc=["cp1"]).encode()
    benign = raised(way, token, RAISED[name]("plain"))
    for text in texts:
        if name == "ours" and text == HALF:
            continue  # logged with its traceback, whose text is Python's, and no log could write it
        answer = raised(way, token, RAISED[name](text))
        assert answer.status == benign.status, repr(text)
        assert answer.headers.keys() == benign.headers.keys(), repr(text)


def requiring(scope: str) -> Doing:
    return Doing(lambda context: context.require(scope))


@pytest.mark.parametrize("texts", TEXTS, ids=IDS)
def test_no_scope_that_a_route_asks_for_leaves_its_place(way: Way, world: World, texts: list[str]) -> None:
    token = world.token("alice").encode()
    for text in texts:
        answer = check_head(way.say(requiring(text), b"Authorization: Bearer " + token))
        assert (answer.status, answer.json()["scope"]) == (403, text)


@pytest.mark.attack(180, 182)
def test_what_may_not_stand_in_a_challenge_is_replaced_and_the_rest_stays(way: Way, world: World) -> None:
    token = world.token("alice").encode()
    answer = raised(way, token, InsufficientScopeError("x", scopes=['a"b\\c\r\nd\u00e4!', "e"]))
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope", scope="a_b_c__d_! e"')


# What the provider says

SAID: dict[str, dict[str, Any]] = {
    "consent": {"error": "invalid_grant", "error_codes": [65001]},
    "act": {"error": "interaction_required", "error_codes": [50076]},
    "assertion": {"error": "invalid_grant", "error_codes": [50013]},
    "secret": {"error": "invalid_client", "error_codes": [7000215]},
    "unknown": {"error": "unheard_of", "error_codes": [1]},
}


def said(way: Way, world: World, api: Scripted, members: dict[str, Any], text: str) -> Answer:
    """Return the answer to a request whose exchange the provider refuses, with this text in every member."""
    given = {"error_description": text, "claims": text, "suberror": text, "correlation_id": text, "trace_id": text}
    failure = Failure(0, turn=mirrored(400, **given, timestamp=text, error_uri=text, **members))
    return check_head(play(way, world, api, failure)[0])


@pytest.mark.parametrize("texts", TEXTS, ids=IDS)
@pytest.mark.parametrize("name", SAID)
def test_no_text_of_the_provider_leaves_its_place_in_the_head(
    way: Way, world: World, api: Scripted, name: str, texts: list[str]
) -> None:
    benign = said(way, world, api, SAID[name], "plain")
    for text in texts:
        answer = said(way, world, api, SAID[name], text)
        assert answer.status == benign.status, repr(text)
        assert answer.headers.keys() == benign.headers.keys(), repr(text)


@pytest.mark.attack(180)
@pytest.mark.parametrize("texts", [SPLITTING], ids=["180"])
def test_the_providers_own_code_leads_nowhere(way: Way, world: World, api: Scripted, texts: tuple[str, ...]) -> None:
    for text in texts:
        answer = said(way, world, api, {"error": text, "error_codes": [text]}, text)
        assert answer.status == 502
        assert "www-authenticate" not in answer.headers
        assert json.dumps(text)[1:-1] not in answer.body.decode()
