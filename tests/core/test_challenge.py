from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obo_middleware import ConfigurationError, OboError, Settings, User
from obo_middleware._challenge import MAX_CLAIMS, Reply, reply_to
from obo_middleware._user import user_from_claims
from obo_middleware.errors import (
    ClaimsChallengeError,
    ConsentNeededError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidTokenError,
    MalformedRequestError,
    MissingTokenError,
    RequestEndedError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
    WrongOriginError,
)
from tests.core.kit import CLIENT, TENANT, settings
from tests.marks import by_name

SETTINGS = settings()
STRICT = settings(required_scopes=["a", "b"])
AUTHORIZE = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"
CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
CLAIMS_BASE64 = base64.b64encode(CLAIMS.encode()).decode()
REALM = f'Bearer realm="{CLIENT}"'


def user(**claims: Any) -> User:
    return user_from_claims({"iss": "i", "oid": "o", "tid": "t", "sub": "s", "scp": "x", "exp": 1} | claims)


CAPABLE = user(xms_cc=["cp1"])

# The situations of DESIGN section 7, each with its whole answer.
ROWS: dict[str, tuple[OboError, Settings, User | None, int, str | None, dict[str, Any]]] = {
    "no token": (MissingTokenError(), SETTINGS, None, 401, REALM, {"title": "A bearer token is required"}),
    "no token, scopes required": (
        *(MissingTokenError(), STRICT, None, 401),
        *(f'{REALM}, scope="a b"', {"title": "A bearer token is required"}),
    ),
    "malformed header": (
        *(MalformedRequestError("two headers"), STRICT, None, 400, f'{REALM}, error="invalid_request"'),
        {"title": "The Authorization header is malformed", "error": "invalid_request"},
    ),
    "invalid token": (
        *(InvalidTokenError("the signature is wrong"), STRICT, None, 401),
        f'{REALM}, error="invalid_token", error_description="The access token is not valid for this API"',
        {"title": "The access token is not valid for this API", "error": "invalid_token"},
    ),
    "scope missing": (
        *(InsufficientScopeError("lacks", scopes=["a", "b"]), STRICT, CAPABLE, 403),
        f'{REALM}, error="insufficient_scope", scope="a b"',
        {
            "title": "The access token does not grant what this route needs",
            "error": "insufficient_scope",
            "scope": "a b",
        },
    ),
    "application on a user's route": (
        *(InsufficientScopeError("app"), SETTINGS, None, 403, f'{REALM}, error="insufficient_scope"'),
        {"title": "The access token does not grant what this route needs", "error": "insufficient_scope"},
    ),
    "claims, capable client": (
        *(ClaimsChallengeError("AADSTS50076", claims=CLAIMS), SETTINGS, CAPABLE, 401),
        f'Bearer realm="", authorization_uri="{AUTHORIZE}", error="insufficient_claims", claims="{CLAIMS_BASE64}"',
        {"title": "More is needed to call another API for this user", "error": "insufficient_claims"},
    ),
    "claims, client without cp1": (
        *(ClaimsChallengeError("AADSTS50076", claims=CLAIMS), SETTINGS, user(), 403, None),
        {"title": "More is needed to call another API for this user"},
    ),
    "claims, nobody signed in": (
        *(ClaimsChallengeError("x", claims=CLAIMS), SETTINGS, None, 403, None),
        {"title": "More is needed to call another API for this user"},
    ),
    "refused without claims": (
        *(ClaimsChallengeError("AADSTS53003"), SETTINGS, CAPABLE, 403, None),
        {"title": "More is needed to call another API for this user"},
    ),
    "consent": (
        *(ConsentNeededError("AADSTS65001", scopes=["User.Read", "Mail.Read"]), SETTINGS, CAPABLE, 403),
        f'{REALM}, error="insufficient_scope", scope="User.Read Mail.Read"',
        {
            "title": "Consent is needed to call another API for this user",
            "error": "insufficient_scope",
            "scope": "User.Read Mail.Read",
            "consent_uri": f"{AUTHORIZE}?client_id={CLIENT}&response_type=code"
            "&scope=User.Read+Mail.Read&prompt=consent",
        },
    ),
    "weak sign-in": (
        *(InsufficientUserAuthenticationError("weak", acr_values=["c1", "c2"], max_age=0), SETTINGS, CAPABLE, 401),
        'Bearer error="insufficient_user_authentication", acr_values="c1 c2", max_age="0"',
        {"title": "A stronger or more recent sign-in is needed", "error": "insufficient_user_authentication"},
    ),
    "weak sign-in of any age": (
        *(InsufficientUserAuthenticationError("weak", acr_values=["c1"]), SETTINGS, CAPABLE, 401),
        'Bearer error="insufficient_user_authentication", acr_values="c1"',
        {"title": "A stronger or more recent sign-in is needed", "error": "insufficient_user_authentication"},
    ),
    "old sign-in": (
        *(InsufficientUserAuthenticationError("old", max_age=300), SETTINGS, CAPABLE, 401),
        'Bearer error="insufficient_user_authentication", max_age="300"',
        {"title": "A stronger or more recent sign-in is needed", "error": "insufficient_user_authentication"},
    ),
    "provider down": (
        *(UpstreamUnavailableError("down", retry_after=7), SETTINGS, CAPABLE, 503, None),
        {"title": "The identity provider is not available"},
    ),
    "provider's answer unusable": (
        *(UnusableUpstreamError("HTML"), SETTINGS, CAPABLE, 502, None),
        {"title": "The identity provider gave no usable answer"},
    ),
    "our configuration": (
        *(ConfigurationError("AADSTS7000215"), SETTINGS, CAPABLE, 500, None),
        {"title": "Internal Server Error"},
    ),
    "wrong origin": (WrongOriginError("x"), SETTINGS, CAPABLE, 500, None, {"title": "Internal Server Error"}),
    "request ended": (RequestEndedError("x"), SETTINGS, CAPABLE, 500, None, {"title": "Internal Server Error"}),
    "anything else": (OboError("KeyError"), SETTINGS, None, 500, None, {"title": "Internal Server Error"}),
}

CASES = {
    "no token": [1],
    "scope missing": [85],
    "application on a user's route": [83],
    "claims, capable client": [144],
    "consent": [145],
    "our configuration": [147],
    "anything else": [189],
    "weak sign-in": [99],
    "old sign-in": [99],
}
"""The rows that show the outcome of a case of the list of attacks."""


def headers(reply: Reply) -> dict[str, str]:
    assert len(dict(reply.headers)) == len(reply.headers), "a header stands twice"
    return dict(reply.headers)


@pytest.mark.parametrize(("error", "made", "who", "status", "challenge", "body"), by_name(ROWS, CASES))
def test_each_situation_has_its_answer(
    error: OboError, made: Settings, who: User | None, *, status: int, challenge: str | None, body: dict[str, Any]
) -> None:
    reply = reply_to(error, made, who)
    assert (reply.status, headers(reply).get("WWW-Authenticate")) == (status, challenge)
    assert json.loads(reply.body) == body | {"status": status}


@pytest.mark.attack(188)
@pytest.mark.parametrize(("error", "made", "who"), [row[:3] for row in ROWS.values()], ids=ROWS)
def test_every_answer_is_a_problem_document_that_nobody_stores(
    error: OboError, made: Settings, who: User | None
) -> None:
    reply = reply_to(error, made, who)
    found = headers(reply)
    assert found["Content-Type"] == "application/problem+json"
    assert found["Cache-Control"] == "no-store"
    assert found["Content-Length"] == str(len(reply.body))
    assert ("Retry-After" in found) == (reply.status == 503)
    assert str(error) not in reply.body.decode() or isinstance(error, MissingTokenError)


@pytest.mark.attack(183)
def test_the_reason_of_a_refused_token_is_told_to_nobody() -> None:
    replies = {reply_to(InvalidTokenError(text), SETTINGS) for text in ("unknown kid", "bad signature", "wrong aud")}
    assert len(replies) == 1


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, "5"),
        (math.nan, "5"),
        (math.inf, "5"),
        (0.0, "1"),
        (-3.0, "1"),
        (0.2, "1"),
        (7.1, "8"),
        (30, "30"),
        (1e12, "86400"),
    ],
)
def test_the_wait_is_told_in_whole_seconds(seconds: float | None, told: str) -> None:
    reply = reply_to(UpstreamUnavailableError("down", retry_after=seconds), SETTINGS)
    assert headers(reply)["Retry-After"] == told


def is_one_clean_line(value: str) -> bool:
    return value.isascii() and value.isprintable() and "\\" not in value and value.count('"') % 2 == 0


HOSTILE = [
    "a\r\nSet-Cookie: x=1",
    "a\nb",
    "a\x00b",
    "\u043f\u0440\u0438",
    "a\u2028b",
    'a"b',
    "a\\b",
    "\x1b[31m",
    "\ud800",
]


@pytest.mark.attack(180, 181, 182)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_breaks_out_of_the_challenge(text: str) -> None:
    errors = [
        InsufficientScopeError(text, scopes=[text]),
        ConsentNeededError(text, scopes=[text.replace("\ud800", "")]),
        InsufficientUserAuthenticationError(text, acr_values=[text]),
        ClaimsChallengeError(text, claims=text),
        InvalidTokenError(text),
    ]
    for error in errors:
        reply = reply_to(error, SETTINGS, CAPABLE)
        assert reply.status == error.status
        assert all(is_one_clean_line(value) for value in headers(reply).values())
        assert reply.body.isascii()


@pytest.mark.attack(180, 181, 182)
def test_forbidden_characters_are_replaced_and_the_rest_stays() -> None:
    reply = reply_to(InsufficientScopeError("x", scopes=['a"b\\c\r\nd\u00e4!']), SETTINGS)
    assert headers(reply)["WWW-Authenticate"] == f'{REALM}, error="insufficient_scope", scope="a_b_c__d_!"'


@pytest.mark.attack(182)
def test_a_client_id_cannot_break_out_of_the_realm() -> None:
    reply = reply_to(MissingTokenError(), settings(client_id='a"b\\c'))
    assert headers(reply)["WWW-Authenticate"] == 'Bearer realm="a_b_c"'


@pytest.mark.attack(176)
def test_claims_too_long_for_a_header_are_not_relayed() -> None:
    longest = reply_to(ClaimsChallengeError("x", claims="c" * MAX_CLAIMS), SETTINGS, CAPABLE)
    assert longest.status == 401
    longer = reply_to(ClaimsChallengeError("x", claims="c" * (MAX_CLAIMS + 1)), SETTINGS, CAPABLE)
    assert (longer.status, "WWW-Authenticate" in headers(longer)) == (403, False)


@pytest.mark.attack(180, 181, 182)
@given(st.text(), st.lists(st.text()))
def test_whatever_the_texts_the_answer_is_one_clean_line(text: str, scopes: list[str]) -> None:
    for error in (InsufficientScopeError(text, scopes=scopes), ClaimsChallengeError(text, claims=text)):
        reply = reply_to(error, SETTINGS, CAPABLE)
        assert all(is_one_clean_line(value) for value in headers(reply).values())
        json.loads(reply.body)


@given(st.text(max_size=100))
def test_claims_arrive_at_the_client_as_they_were(claims: str) -> None:
    challenge = headers(reply_to(ClaimsChallengeError("x", claims=claims), SETTINGS, CAPABLE))["WWW-Authenticate"]
    encoded = challenge.partition('claims="')[2].rstrip('"')
    assert base64.b64decode(encoded, validate=True).decode() == claims
