"""A claims challenge of a downstream API: answered once where it is one, never believed where it is not."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.adapters.attacks.handlers import Call, Way, desk
from tests.adapters.harness import CLOSE, check_problem
from tests.adapters.outcomes import MORE_IS_NEEDED, claims_in
from tests.adapters.world import World
from tests.core.hostile import Answer, Asked, Scripted

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
CANARY = "c4n4ry"
BODY = b'{"error":"challenge"}'


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def challenge(claims: str, error: str = "insufficient_claims") -> str:
    return f'Bearer realm="", authorization_uri="https://login.example/", error="{error}", claims="{claims}"'


def once(*values: str) -> list[Answer]:
    """Return what the API says: first these challenges, then what is asked for."""
    return [Answer(401, BODY, [("WWW-Authenticate", value) for value in values]), Answer(body=b'{"ok": true}')]


def say(api: Scripted, answers: list[Answer]) -> None:
    """Have the API give these answers, the last one for ever."""
    left = list(answers)

    def reply(_asked: Asked) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    api.say("/v1/me", reply)


def tokens_of(api: Scripted) -> list[str]:
    return [asked.headers["authorization"] for asked in api.asked]


@pytest.mark.attack(174)
def test_a_challenge_is_answered_by_one_exchange_past_the_cache_and_one_retry(
    way: Way, world: World, api: Scripted
) -> None:
    token = world.token()
    assert way.do(Call(), token).json()["status"] == 200
    say(api, once(challenge(b64(CLAIMS))))
    assert way.do(Call(), token).json() == {"status": 200, "body": '{"ok": true}', "location": None}
    assert len(world.entra.token_requests) == 2
    asked = json.loads(world.entra.token_requests[1].form["claims"])["access_token"]
    assert asked == {"nbf": {"essential": True, "value": "1"}, "xms_cc": {"values": ["CP1"]}}
    first, second, third = tokens_of(api)
    assert first == second != third


@pytest.mark.attack(175)
@pytest.mark.parametrize("able", [True, False], ids=["cp1", "without_cp1"])
def test_a_challenge_for_ever_ends_after_one_retry(way: Way, world: World, api: Scripted, able: bool) -> None:
    say(api, once(challenge(b64(CLAIMS)))[:1])
    response = way.do(Call(), world.token(xms_cc=["cp1"] if able else None))
    if able:
        assert response.status_code == 401
        assert claims_in(response.headers["www-authenticate"]) == json.loads(CLAIMS)
    else:
        check_problem(response, 403, {"title": MORE_IS_NEEDED, "status": 403})
    assert (len(api.asked), len(world.entra.token_requests)) == (2, 2)


HOSTILE = {
    "60 KB": b64('{"a":"' + CANARY * 7_500 + '"}'),
    "20 KB": b64('{"a":"' + CANARY * 3_500 + '"}'),
    "longer than we relay": b64('{"a":"' + "x" * 8_200 + '"}'),
    "no base64": f"!!{CANARY}!!",
    "base64 of another length": b64(CLAIMS)[:-5] + "a",
    "no JSON": b64(CANARY),
    "no object": b64(f'["{CANARY}"]'),
    "a text": b64(f'"{CANARY}"'),
    "a member twice": b64(f'{{"a":1,"a":"{CANARY}"}}'),
    "not complete": b64(f'{{"a":"{CANARY}'),
    "no UTF-8": b64(b'{"a":"\xff' + CANARY.encode() + b'"}'),
    "UTF-16": b64(f'{{"a":"{CANARY}"}}'.encode("utf-16")),
    "a raw line break": b64(f'{{"a":"{CANARY}\r\nSet-Cookie: a=b"}}'),
    "deep": b64('{"a":' * 1_000 + "1" + "}" * 1_000),
    "raw, with a quote": f'{{"a":"{CANARY}"}}"',
    "raw, no JSON": f"{{{CANARY}",
    "empty": "",
}


@pytest.mark.attack(176)
def test_claims_that_are_none_make_a_plain_401(way: Way, world: World, api: Scripted) -> None:
    token = world.token(xms_cc=["cp1"])
    assert way.do(Call(), token).json()["status"] == 200
    for why, claims in HOSTILE.items():
        api.asked.clear()
        say(api, once(challenge(claims)))
        response = way.do(Call(), token)
        assert response.json() == {"status": 401, "body": BODY.decode(), "location": None}, why
        assert CANARY not in str(response.headers)
        assert "www-authenticate" not in response.headers
        assert len(api.asked) == 1, why
    assert len(world.entra.token_requests) == 1


@pytest.mark.attack(176)
def test_claims_of_1_mb_are_more_than_the_http_library_reads_of_a_header(way: Way, world: World, api: Scripted) -> None:
    say(api, once(challenge(b64('{"a":"' + CANARY * 130_000 + '"}'))))
    response = way.do(Call(), world.token(xms_cc=["cp1"]), CLOSE)
    assert response.status_code == 500
    assert [type(error) for error in desk.errors] == [httpx.RemoteProtocolError]
    assert CANARY not in f"{response.headers}{response.text}{desk.errors}"
    assert (len(api.asked), len(world.entra.token_requests)) == (1, 1)


@pytest.mark.attack(176)
def test_what_is_relayed_is_encoded_anew(way: Way, world: World, api: Scripted) -> None:
    awkward = {"a": 'b"c\\d\r\nSet-Cookie: e=f\x1b[31m\u20ac', CANARY: ["x"]}
    say(api, once(challenge(b64(json.dumps(awkward))))[:1])
    response = way.do(Call(), world.token(xms_cc=["cp1"]))
    value = response.headers["www-authenticate"]
    assert claims_in(value) == awkward
    assert CANARY not in value
    assert value.isascii()
    assert value.isprintable()
    assert "set-cookie" not in response.headers


ESCAPED = CLAIMS.replace('"', '\\"')
UNDERSTOOD = {
    "base64": [challenge(b64(CLAIMS))],
    "base64 without padding": [challenge(b64(CLAIMS).rstrip("="))],
    "base64url": [challenge(b64('{"a":"???>>>"}').replace("+", "-").replace("/", "_"))],
    "raw JSON": [challenge(ESCAPED)],
    "behind another scheme": ["Negotiate", 'Basic realm="x"', challenge(b64(CLAIMS))],
    "in one line behind another scheme": [f'Basic realm="x", {challenge(b64(CLAIMS))}'],
    "before another scheme": [f'{challenge(b64(CLAIMS))}, Basic realm="x"'],
    "behind another Bearer": [f'Bearer realm="x", error="invalid_token", {challenge(ESCAPED)}'],
    "before another Bearer": [challenge(b64(CLAIMS)), 'Bearer realm="x", error="invalid_token"'],
    "beside hostile ones": ["x" * 40_000, 'Bearer error="insufficient_claims2"', challenge(b64(CLAIMS))],
}


@pytest.mark.attack(177)
def test_a_challenge_is_understood_in_every_form(way: Way, world: World, api: Scripted) -> None:
    for why, values in UNDERSTOOD.items():
        api.asked.clear()
        world.entra.reset_counts()
        say(api, once(*values))
        assert way.do(Call(), world.token()).json()["status"] == 200, why
        assert (len(api.asked), len(world.entra.token_requests)) == (2, 2), why
        assert "claims" in world.entra.token_requests[-1].form


@pytest.mark.attack(178)
def test_a_body_that_can_be_read_once_is_sent_once(way: Way, world: World, api: Scripted) -> None:
    say(api, once(challenge(b64(CLAIMS))))
    token = world.token()
    answer = way.do(Call(method="POST", body=1_000), token).json()
    assert (answer["status"], answer["body"]) == (401, BODY.decode())
    assert [asked.body for asked in api.asked] == [b"x" * 1_000]
    assert way.do(Call(method="POST", body=10), token).json()["status"] == 200
    first, second = tokens_of(api)
    assert first != second, "the next call has the new token"
    assert len(world.entra.token_requests) == 2


@pytest.mark.attack(174)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_in_memory_is_sent_again(way: Way, world: World, api: Scripted, method: str) -> None:
    say(api, once(challenge(b64(CLAIMS))))
    call = Call(method=method, options={"content": b"body"})
    assert way.do(call, world.token()).json()["status"] == 200
    assert [(asked.method, asked.body) for asked in api.asked] == [(method, b"body")] * 2


PLAIN = {
    "no challenge": [],
    "no parameters": ["Bearer"],
    "expired": [f'{challenge("").partition(", error")[0]}, error="invalid_token", error_description="expired"'],
    "claims with another error": [challenge(b64(CLAIMS), error="invalid_token")],
    "claims with an error like it": [challenge(b64(CLAIMS), error="insufficient_claimsx")],
    "claims of another scheme": [challenge(b64(CLAIMS)).replace("Bearer", "PoP")],
    "no claims": ['Bearer error="insufficient_claims"'],
}


@pytest.mark.attack(179)
def test_a_401_without_claims_is_the_handlers(way: Way, world: World, api: Scripted) -> None:
    token = world.token()
    for number, (why, values) in enumerate(PLAIN.items(), 1):
        say(api, once(*values))
        answer = way.do(Call(), token).json()
        assert (answer["status"], answer["body"]) == (401, BODY.decode()), why
        assert len(api.asked) == number, why
    assert len(world.entra.token_requests) == 1


@pytest.mark.attack(179)
def test_claims_with_another_status_are_the_handlers(way: Way, world: World, api: Scripted) -> None:
    token = world.token()
    for status in (200, 400, 403, 407, 429, 500, 503):
        say(api, [Answer(status, BODY, [("WWW-Authenticate", challenge(b64(CLAIMS)))])])
        assert way.do(Call(), token).json()["status"] == status
    assert (len(api.asked), len(world.entra.token_requests)) == (7, 1)
