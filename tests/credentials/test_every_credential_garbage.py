"""Garbage of every kind at every credential, in both colours: only errors of ours come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credentials import AccessToken, AccessTokenInfo, ClientAuthenticationError
from tests.credentials.helpers import Colour
from tests.credentials.places import Every

REPEATED = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
_MEMBERS = (
    *("access_token", "accessToken", "token", "expires_on", "expires_in", "expiresOn", "refresh_in", "token_type"),
    *("scope", "error", "error_description", "error_codes", "suberror", "claims", "correlation_id", "client_info"),
)
_OBJECTS = st.dictionaries(st.sampled_from(_MEMBERS), _VALUES, max_size=6).map(lambda value: json.dumps(value).encode())
_LINES = st.text(alphabet="azsdk%{}\"' \n0123456789", max_size=40).map(str.encode)
BODIES = st.binary(max_size=60) | _VALUES.map(lambda value: json.dumps(value).encode()) | _OBJECTS | _LINES
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 410, 418, 429, 500, 503, 599])
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Encoding", "WWW-Authenticate", "Location", "Set-Cookie"]),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    max_size=2,
)


def _ask(colour: Colour, credential: Any, *scopes: Any, **options: Any) -> Exception | None:
    """Return the error that comes of a request by either method, whatever it is, or None for a token."""
    asked: Any = options
    try:
        token = colour.get_token(credential, *scopes, **options)
        info = colour.get_token_info(credential, *scopes, options=asked)
    except Exception as error:  # noqa: BLE001  # which one it is, is the test
        return error
    assert isinstance(token, AccessToken)
    assert isinstance(info, AccessTokenInfo)
    return None


# Answers


@REPEATED
@given(status=STATUSES, headers=HEADERS, body=BODIES)
def test_any_answer_is_a_token_or_an_error_of_ours(
    every: Every, colour: Colour, status: int, headers: dict[str, str], body: bytes
) -> None:
    every.stand_in.recover()
    every.stand_in.answer(status, headers, body)
    error = _ask(colour, every.make(colour.name), every.scopes[0])
    assert error is None or isinstance(error, ClientAuthenticationError), repr(error)


# Arguments

SCOPES: tuple[tuple[Any, ...], ...] = (
    *((), ("",), (None,), (b"https://vault.azure.net/.default",), (5,), (["a"],), ({},), (" ",), ("/.default",)),
    *(("a b",), ("a\nb",), ('a"b',), ("a'b",), ("\ud800",), ("\0",), ("\u00e4",), ("-x",), ("x" * 100_000,)),
    tuple(f"https://{number}.example/.default" for number in range(200)),
)
TENANTS: tuple[Any, ...] = ("x/../y", "..", "a b", "\n", "\ud800", "", 5, b"tenant", ["tenant"], {}, "x" * 100_000)
CLAIMS: tuple[Any, ...] = (
    *("no JSON", "[]", "5", "{", '{"access_token":5}', "\ud800", '{"a":"\ud800"}', r'{"a":"\ud800"}'),
    *(5, b"{}", {"a": 1}, ["x"]),
)


def _escaping(errors: dict[str, Exception | None]) -> dict[str, str]:
    """Return what is neither a ``ValueError`` of ours nor a credential's error."""
    allowed = (ValueError, ClientAuthenticationError)
    return {
        what[:60]: repr(error)[:200]
        for what, error in errors.items()
        if error is not None and (not isinstance(error, allowed) or isinstance(error, UnicodeError))
    }


def test_weird_scopes_are_refused_in_our_terms(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    errors = {repr(scopes): _ask(colour, credential, *scopes) for scopes in SCOPES}
    assert _escaping(errors) == {}
    assert [what for what in map(repr, SCOPES[:8]) if errors[what] is None] == []


@pytest.mark.parametrize("member", ["tenant_id", "claims"])
@pytest.mark.parametrize("enable_cae", [False, True])
def test_weird_options_are_refused_in_our_terms(every: Every, colour: Colour, member: str, enable_cae: bool) -> None:
    values = TENANTS if member == "tenant_id" else CLAIMS
    credential = every.make(colour.name)
    errors = {
        repr(value): _ask(colour, credential, every.scopes[0], enable_cae=enable_cae, **{member: value})
        for value in values
    }
    assert _escaping(errors) == {}
