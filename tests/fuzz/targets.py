"""The targets: each makes an input of any bytes, gives it to the product, and raises ``FoundError`` if a rule breaks.

Every input ends in one of the listed outcomes, never in another exception; the app is called for a good token only;
no header of an answer and no line of the log has a line break or a token. Inputs are bounded in size, and the fuzzers
stop one that takes seconds, so a cost that grows faster than its input shows.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from credentials._token_answer import parse_retry_after
from obo_middleware._bearer import bearer_token, presented
from obo_middleware._challenge import MAX_CLAIMS, claims_challenge_in, reply_to
from obo_middleware._user import User
from obo_middleware.errors import (
    ClaimsChallengeError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidTokenError,
    MalformedRequestError,
    UpstreamUnavailableError,
)
from tests.core.kit import NOW
from tests.fuzz.answers import token_answers
from tests.fuzz.checks import check_headers, check_log, check_reply
from tests.fuzz.documents import documents
from tests.fuzz.reader import Reader, changed_bytes, mutated
from tests.fuzz.tokens import RAW, is_good, token_from
from tests.fuzz.world import Answer, World, must, world

Target = Callable[[bytes], None]
LONGEST = 20_000
"""Bytes of an input: more than the longest token."""

_ANSWERS = {400: "invalid_request", 401: "invalid_token", 403: "insufficient_scope"}


# Headers, through both adapters


def headers(data: bytes) -> None:
    """Present any values of ``Authorization``, on any path, to both kinds of app."""
    here = world().fresh()
    reader = Reader(data)
    path = reader.pick(("/me", "/open", "/open/", "//open", "/open/../me", "/\u00e9", ""))
    method, query = reader.pick(("GET", "OPTIONS", "POST", "\u0130")), b"access_token=x" if reader.one_in(4) else b""
    values = [_header(reader, here) for _ in range(reader.pick((1, 1, 1, 0, 2)))]
    try:
        token = bearer_token(values)
    except (MalformedRequestError, InvalidTokenError) as error:
        token = error.error
    must(hold=len(values) < 2 or token == "invalid_request", else_="two headers are read")
    for through, shown in ((here.through_asgi, values), (here.through_wsgi, [b",".join(values)] if values else [])):
        _judge(through(values, path, method, query), shown, here, public=path == "/open")
    _through_a_proxy(values, [reader.chunk() for _ in range(reader.below(3))])


def _through_a_proxy(values: Sequence[bytes], proxied: Sequence[bytes]) -> None:
    """Present a token in a proxy's own header, beside what the client sent itself."""
    bearers = [value for value in values if re.match(rb"(?i:bearer)(?:[\x00-\x20]|$)", value)]
    try:
        token = bearer_token(presented(values, proxied))
    except (MalformedRequestError, InvalidTokenError):
        return
    must(hold=not proxied or (len(proxied) == 1 and not bearers), else_="two ways at once, and one is taken")
    must(hold=not proxied or token == proxied[0].lstrip(b" ").decode("ascii"), else_="another token than the proxy's")


def _header(reader: Reader, here: World) -> bytes:
    scheme = reader.pick((b"Bearer ", b"bearer   ", b"BEARER\t", b"Basic ", b"Bearer", b"", b"Bearer ,"))
    kind = reader.below(4)
    if kind == 0:
        return scheme + reader.rest()
    issuing = here.issuings[kind % 2]
    token = issuing.key.sign(issuing.header, issuing.claims)
    if kind == 3:
        token *= reader.below(32)
    value = scheme + token.encode()
    return changed_bytes(reader, value) if reader.one_in(2) else value


def _judge(answer: Answer, values: Sequence[bytes], here: World, *, public: bool) -> None:
    """Check a whole answer: its status, its challenge, and whether the app was called, and as whom."""
    words = b"".join(values).decode("latin-1").split(" ")
    good = len(values) == 1 and words[0].lower() == "bearer" and not any(words[1:-1]) and is_good(words[-1], here)
    must(hold=answer.called == (answer.status == 200), else_=f"status {answer.status}, app called {answer.called}")
    if answer.status == 200:
        must(hold=public or good, else_="the app was called for a bad token")
        if not public:
            _check_user(answer.user, words[-1])
    else:
        told = dict(answer.headers).get("WWW-Authenticate", "") or dict(answer.headers).get("www-authenticate", "")
        error = f'error="{_ANSWERS.get(answer.status)}"' in told or (answer.status == 401 and "error" not in told)
        must(hold=len(values) < 2 or answer.status == 400, else_=f"two headers get {answer.status}")
        must(hold=answer.status in _ANSWERS and error, else_=f"status {answer.status}, challenge {told}")
        must(hold=not good, else_=f"a good token was refused with {answer.status}")
    check_headers(answer.headers)
    check_log(here)


def _check_user(user: User | None, token: str) -> None:
    segment = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(segment + "==="))
    must(hold=user is not None, else_="a user without a name")
    assert user is not None
    must(hold=user.object_id in (claims.get("oid"), claims["sub"]), else_="another user")
    must(hold=user.issuer == claims["iss"], else_="a user of another issuer")


# Tokens


def tokens(data: bytes) -> None:
    """Present a mutated token to the validator, and sometimes through the adapters."""
    here = world().fresh()
    token = token_from(data, here)
    value = b"Bearer " + token.encode("latin-1", "replace")
    good = is_good(token, here) and len(token) <= 16_384
    try:
        valid = here.play(here.runtime.admit_flow([value], "/me", "GET"))
    except (InvalidTokenError, InsufficientScopeError, MalformedRequestError) as error:
        must(hold=not good, else_=f"a good token is refused: {error}")
        check_reply(reply_to(error, here.settings))
    else:
        must(hold=valid is not None and good, else_="a bad token is let in")
        assert valid is not None
        _check_user(valid.user, token)
        known = here.runtime.known([value], "/me", "GET")
        must(hold=known is valid and valid.good_until > NOW, else_="it is not remembered as it is")
    check_log(here)


# Challenges


def challenges(data: bytes) -> None:
    """Read any challenge of a downstream API, and give the client one made of what was read."""
    here = world().fresh()
    reader = Reader(data)
    after = parse_retry_after(reader.chunk().decode("latin-1"), NOW)
    must(hold=after is None or (0 <= after < math.inf), else_=f"Retry-After {after}")
    values = [_challenge(reader) for _ in range(1 + reader.below(3))]
    claims = claims_challenge_in(values)
    if claims is not None:
        must(hold=isinstance(json.loads(claims), dict) and len(claims) <= MAX_CLAIMS, else_="claims that are none")
    words = [reader.text() for _ in range(reader.below(3))]
    user = here.play(here.runtime.admit_flow([b"Bearer " + _good(here).encode()], "/me"))
    for error in (
        ClaimsChallengeError("x", claims=claims),
        InsufficientScopeError("x", scopes=words),
        InsufficientUserAuthenticationError("x", acr_values=words, max_age=reader.below(9)),
        UpstreamUnavailableError("x", retry_after=after if reader.one_in(2) else reader.pick((math.inf, -1.0, 1e300))),
    ):
        check_reply(reply_to(error, here.settings, None if user is None else user.user))


def _good(here: World) -> str:
    entra = here.issuings[0]
    return entra.key.sign(entra.header, entra.claims | {"xms_cc": ["cp1"]})


_CODINGS: tuple[Callable[[bytes], bytes], ...] = (
    base64.b64encode,
    base64.urlsafe_b64encode,
    lambda plain: plain.replace(b'"', b'\\"'),
)


def _challenge(reader: Reader) -> str:
    claims = mutated(reader, {"access_token": {"nbf": {"essential": True, "value": "1700000000"}}})
    coded = reader.pick(_CODINGS)(json.dumps(claims).encode())
    value = b'Bearer realm="", error="insufficient_claims", claims="' + coded + b'"'
    if reader.one_in(2):
        value = changed_bytes(reader, value)
    kind = reader.below(4)
    if kind in (1, 2):
        value = b", ".join([value, reader.chunk()][:: 1 if kind == 1 else -1])
    return (reader.rest() if kind == 3 else value).decode("latin-1")


class Case(NamedTuple):
    """A target with inputs to begin with."""

    run: Target
    seeds: Callable[[], list[bytes]]


def _header_seeds() -> list[bytes]:
    plain = (b"a", b"a.b.c", b"a b", b"a,Bearer b", b"", b"x" * 17_000, b"\x00", b"\xc3\xa9", b"a==", b"dXNlcjp3b3Jk")
    return [bytes([0, 0, 0, 0, scheme, 0]) + text for scheme in range(7) for text in plain] + [
        b"\0\0\0\0\0\1",
        b"\0\0\0\0\0\3\2",
    ]


def _token_seeds() -> list[bytes]:
    here = world()
    good = [issuing.key.sign(issuing.header, issuing.claims) for issuing in here.issuings]
    cut = [good[0][:-1], good[0] + "=", good[0] + "." + good[0], good[0].rpartition(".")[0] + "."]
    return [b"", b"\1", *(RAW + token.encode() for token in (*good, *cut)), *(bytes([0, n, n, n, n]) for n in range(9))]


_BODIES = (
    *(
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"a":NaN}',
        b'{"a":1,"a":2}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\\ud800"}',
    ),
    *(b'{"a":' + b"[" * 9_000, b'{"a":' + b"9" * 5_000 + b"}", b'{"keys":[' + b"{}," * 6_000 + b"{}]}"),
    *(
        '{"a":1}'.encode("utf-16"),
        b'{"error":1}',
        b'{"access_token":"x","expires_in":1e999}',
        b'{"access_token":"\\n"}',
    ),
)


def _document_seeds() -> list[bytes]:
    plain = [bytes([kind, *([number] * 6)]) for kind in range(6) for number in range(6)]
    return plain + [bytes([kind, 0, 0, 7]) + body for kind in range(2) for body in _BODIES]


def _answer_seeds() -> list[bytes]:
    return [
        b"",
        b"\2\0\1",
        b"\4\1\x0210\1",
        *(bytes([status, 0, 3]) + body for status in (0, 2, 5) for body in _BODIES),
    ]


def _challenge_seeds() -> list[bytes]:
    values = (
        b'Bearer error="insufficient_claims", claims="e30"',
        b"Bearer a=" * 900,
        b'Basic x="\\',
        b"Bearer " + b"a" * 9_000,
    )
    return [b"", b"\x03120", *(b"\0\0\0\0\0\3" + value for value in values)]


CASES: dict[str, Case] = {
    "headers": Case(headers, _header_seeds),
    "tokens": Case(tokens, _token_seeds),
    "challenges": Case(challenges, _challenge_seeds),
    "documents": Case(documents, _document_seeds),
    "token_answers": Case(token_answers, _answer_seeds),
}
