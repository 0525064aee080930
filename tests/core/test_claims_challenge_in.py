from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obo_middleware._challenge import MAX_CLAIMS, claims_challenge_in
from tests.marks import showing

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}'
# Its base64 has both characters that base64url writes in another way, and padding.
AWKWARD = '{"a":"\u00bf\u00ff\u00fe???>>>\u00fb\u00ef\u00ff"}'


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def challenge(claims: str, *, error: str = "insufficient_claims") -> str:
    uri = "https://login.microsoftonline.com/common/oauth2/authorize"
    return f'Bearer realm="", authorization_uri="{uri}", error="{error}", claims="{claims}"'


@pytest.mark.attack(177)
@pytest.mark.parametrize("claims", [CLAIMS, AWKWARD, '{"a":1}', "{}"])
def test_base64_and_base64url_are_read_with_and_without_padding(claims: str) -> None:
    plain = b64(claims)
    url = plain.replace("+", "-").replace("/", "_")
    for text in (plain, url, plain.rstrip("="), url.rstrip("=")):
        assert claims_challenge_in([challenge(text)]) == claims


def test_the_awkward_claims_are_awkward() -> None:
    assert set("+/=") <= set(b64(AWKWARD))


@pytest.mark.attack(177)
def test_raw_json_is_read() -> None:
    escaped = CLAIMS.replace('"', '\\"')
    assert claims_challenge_in([challenge(escaped)]) == CLAIMS


@pytest.mark.attack(177)
@pytest.mark.parametrize(
    "values",
    [
        [challenge(b64(CLAIMS))],
        ['Bearer realm="other"', challenge(b64(CLAIMS))],
        ["Negotiate", challenge(b64(CLAIMS)), 'Basic realm="x"'],
        ["Negotiate, " + challenge(b64(CLAIMS))],
        ['Basic realm="x", ' + challenge(b64(CLAIMS))],
        [challenge(b64(CLAIMS)) + ', Basic realm="x"'],
        [challenge(b64(CLAIMS)) + ', Bearer realm="other", error="invalid_token"'],
        ['Bearer realm="other", error="invalid_token", claims="e30=", ' + challenge(b64(CLAIMS))],
        ['PoP error="insufficient_claims", claims="e30=", ' + challenge(b64(CLAIMS))],
        [challenge(b64(CLAIMS)) + ', PoP error="insufficient_claims", claims="e30="'],
        ["Bearer realm=a,error=insufficient_claims,claims=" + b64(CLAIMS)],
        ['bearer Error = "insufficient_claims" , Claims\t=\t"' + b64(CLAIMS) + '"'],
        ["x" * 100_000, challenge(b64(CLAIMS))],
    ],
)
def test_the_challenge_is_found_among_others(values: list[str]) -> None:
    assert claims_challenge_in(values) == CLAIMS


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        ['Bearer realm=""'],
        *showing(179, [challenge(b64(CLAIMS), error="invalid_token")]),
        [challenge(b64(CLAIMS), error="insufficient_claims2")],
        [challenge(b64(CLAIMS)).replace("Bearer", "PoP")],
        ['error="insufficient_claims", claims="e30="'],  # no scheme
        ['Bearer error="insufficient_claims"'],
        ['Bearer error="invalid_token", Basic error="insufficient_claims", claims="e30="'],
        [challenge("")],
    ],
)
def test_anything_else_is_no_challenge(values: list[str]) -> None:
    assert claims_challenge_in(values) is None


@pytest.mark.attack(176)
@pytest.mark.parametrize(
    "claims",
    [
        "!!!!",
        b64(CLAIMS)[:-5] + "*",
        "a",
        b64("no json"),
        b64("[]"),
        b64('"text"'),
        b64('{"a":1,"a":2}'),
        b64("{" * 3000),
        b64(CLAIMS)[:-8],
        base64.b64encode(b"\xff\xfe{}").decode(),
        base64.b64encode(CLAIMS.encode("utf-16")).decode(),
        "{no json",
        '{"a":"\ud800"}',
        b64(CLAIMS) + "\r\nSet-Cookie: a=b",
        "\u043f" * 8,
    ],
)
def test_malformed_claims_are_no_challenge(claims: str) -> None:
    assert claims_challenge_in([challenge(claims)]) is None


@pytest.mark.attack(176)
def test_a_line_break_in_claims_is_never_handed_on_raw() -> None:
    found = claims_challenge_in([challenge(b64('{"a":"b\\r\\nc"}'))])
    assert found == '{"a":"b\\r\\nc"}'
    assert claims_challenge_in([challenge(b64('{"a":"b\r\nc"}'))]) is None


@pytest.mark.attack(176)
def test_very_long_claims_are_no_challenge() -> None:
    def of_length(length: int) -> str:
        return '{"a":"' + "x" * (length - 8) + '"}'

    assert claims_challenge_in([challenge(b64(of_length(MAX_CLAIMS)))]) == of_length(MAX_CLAIMS)
    assert claims_challenge_in([challenge(b64(of_length(MAX_CLAIMS + 1)))]) is None
    assert claims_challenge_in([challenge(b64(of_length(1_000_000)))]) is None


@pytest.mark.attack(176)
def test_very_long_headers_are_not_even_read() -> None:
    longest = challenge(b64(CLAIMS)).ljust(4 * MAX_CLAIMS)
    assert claims_challenge_in([longest]) == CLAIMS
    assert claims_challenge_in([longest + " "]) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "a" * 32_000,
        "a " * 16_000,
        "a=" * 16_000,
        'a="' * 10_000,
        'a="\\"' * 6_000,
        "a" + " " * 32_000,
        "a" * 16_000 + " " + "b" * 16_000,
        'Bearer a="' + "\\a" * 15_000,
        "a=" + "\\" * 32_000,
    ],
)
def test_a_hostile_header_costs_time_in_proportion_to_its_length(text: str) -> None:
    assert claims_challenge_in([text]) is None


def is_object(text: str) -> bool:
    value: Any = json.loads(text)
    return isinstance(value, dict)


@given(st.lists(st.text()))
def test_any_texts_give_none_or_the_text_of_an_object(values: list[str]) -> None:
    found = claims_challenge_in(values)
    assert found is None or is_object(found)


@pytest.mark.attack(176)
@given(st.one_of(st.text(), st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_any_claims_give_none_or_the_text_of_an_object(claims: str) -> None:
    found = claims_challenge_in([challenge(claims)])
    assert found is None or is_object(found)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=5))
def test_any_object_is_read_back(claims: dict[str, Any]) -> None:
    text = json.dumps(claims)
    assert claims_challenge_in([challenge(b64(text))]) == text
    raw = json.dumps(claims).replace("\\", "\\\\").replace('"', '\\"')
    assert json.loads(claims_challenge_in([challenge(raw)]) or "") == claims
