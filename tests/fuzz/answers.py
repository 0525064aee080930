"""Answers of the token endpoint: judged one by one, and through a whole exchange."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from credentials import AccessTokenInfo, AuthenticationError, ClientAuthenticationError
from credentials._errors import AnswerTooLargeError
from credentials._flow import SendRequest, Sleep
from credentials._token_endpoint import process_token_response
from credentials.kernel import HttpResponse, TokenEngine, TransportError, UserAssertion
from obo_middleware import OboError
from obo_middleware._challenge import reply_to
from obo_middleware._sources import ClientSource
from obo_middleware.errors import answer_for
from tests.core.kit import NOW, SECRET, play
from tests.fuzz.checks import VALUE, check_log, check_reply, check_text
from tests.fuzz.reader import Reader, changed_bytes, mutated
from tests.fuzz.world import must, world

_ANSWER = {
    "token_type": "Bearer",
    "expires_in": 3600,
    "access_token": "downstream-token",
    "scope": "User.Read",
    "refresh_in": 1800,
    "client_info": "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ",
}
_REFUSAL = {
    "error": "invalid_grant",
    "error_description": "AADSTS50076: no.",
    "error_codes": [50076],
    "suberror": "",
    "claims": '{"access_token":{}}',
    "correlation_id": "c",
    "trace_id": "t",
    "timestamp": "2026-11-24",
}
_FIELDS = (*_ANSWER, *_REFUSAL, "expires_on", "refresh_token", "issued_token_type")


def token_answers(data: bytes) -> None:
    """Judge one answer of the token endpoint, and run a whole exchange over several."""
    here = world().fresh()
    reader = Reader(data)
    first = _token_answer(reader)
    user = UserAssertion(token=SECRET, partition=b"p" * 32, object_id="u", tenant_id="t")
    try:
        info = process_token_response(first, now=NOW, requested=["User.Read"], assertion=user, secrets=[SECRET])
    except AuthenticationError as error:
        _check_refusal(error)
    else:
        _check_token(info)
    engine = TokenEngine(clock=here.settings.clock)
    here.runtime.client.engine = engine
    source = ClientSource(here.runtime.client, here.runtime.client.query(("User.Read",)), user)
    for claims in (None, None, '{"access_token":{}}'):
        _exchange(source, [first] if claims is None else [_token_answer(reader), first], claims)
        must(hold=len(engine) <= 1, else_="more than one entry")
    check_log(here)


def _exchange(source: ClientSource, answers: Sequence[HttpResponse], claims: str | None) -> None:
    asked: list[object] = []

    def say(effect: Any) -> object:
        asked.append(effect)
        must(hold=isinstance(effect, SendRequest | Sleep) and len(asked) < 12, else_=f"it asks for {effect!r}")
        if isinstance(effect, Sleep):
            return None
        answer = answers[min(len(asked), len(answers)) - 1]
        return {599: TransportError("ConnectError"), 598: AnswerTooLargeError("x")}.get(answer.status, answer)

    played = play(source.token_flow(claims), say)
    if played.error is None:
        _check_token(played.result)
    else:
        must(hold=isinstance(played.error, ClientAuthenticationError), else_=f"{played.error!r}")
        _check_refusal(played.error)


def _token_answer(reader: Reader) -> HttpResponse:
    status = reader.pick((200, 200, 400, 401, 429, 500, 503, 302, 599, 598, 204, 100))
    names = reader.pick(((), ("retry-after",), ("location",), ("retry-after", "content-type")))
    found = {name: reader.pick((reader.chunk().decode("latin-1"), "10", "-1", "9" * 20)) for name in names}
    kind = reader.below(4)
    if kind == 3:
        return HttpResponse(status=status, headers=found, body=reader.rest())
    base = _ANSWER if kind == 0 else _REFUSAL if kind == 1 else _ANSWER | _REFUSAL
    body = json.dumps(mutated(reader, base, _FIELDS)).encode()
    return HttpResponse(status=status, headers=found, body=changed_bytes(reader, body) if reader.one_in(4) else body)


def _check_token(info: AccessTokenInfo) -> None:
    must(hold=VALUE.fullmatch(f"Bearer {info.token}") is not None and info.token != "", else_=repr(info.token))
    must(hold=NOW <= info.expires_on <= NOW + 366 * 86_400, else_=f"expires on {info.expires_on}")
    must(hold=info.refresh_on is None or info.refresh_on <= info.expires_on, else_=f"refresh on {info.refresh_on}")
    must(hold=repr(info) == repr(info._replace(token="another")), else_="the token is in its repr")


def _check_refusal(error: Any) -> None:
    must(hold=SECRET not in f"{error} {error!r} {vars(error)!r}", else_="a secret in an error")
    told = answer_for(error, ["User.Read"])
    must(hold=isinstance(told, OboError), else_=f"told: {told!r}")
    check_text(str(error))
    check_text(str(told))
    check_reply(reply_to(told, world().settings))
