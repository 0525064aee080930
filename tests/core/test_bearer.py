from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obo_middleware._bearer import MAX_TOKEN, bearer_token
from obo_middleware.errors import InvalidTokenError, MalformedRequestError
from tests.marks import showing

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
ALPHABET = b"ABCXYZabcxyz0189-._~+/"


def test_no_header_is_no_token() -> None:
    assert bearer_token([]) is None


@pytest.mark.parametrize(
    "value", [b"Basic dXNlcjpwYXNz", b"Digest username=u, realm=r", b"Negotiate", b"", b"Bearerx a"]
)
def test_another_scheme_is_no_token(value: bytes) -> None:
    assert bearer_token([value]) is None


@pytest.mark.attack(3)
@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR ", b"Bearer    "])
def test_the_scheme_is_case_insensitive_and_one_or_more_spaces_follow_it(scheme: bytes) -> None:
    assert bearer_token([scheme + b"a.b.c"]) == "a.b.c"


@pytest.mark.parametrize(
    "value",
    [
        *showing(4, b"Bearer", b"bearer", b"Bearer ", b"Bearer    ", b"Bearer ="),
        *showing(5, b"Bearer a b", b"Bearer a "),
        *showing(7, b"Bearer a,Bearer b", b"Bearer a, Bearer a"),  # what WSGI servers make of two headers
        *showing(13, b"Bearer a\x00", b"Bearer a\r", b"Bearer a\n", b"Bearer a\r\nX: y", b"Bearer\ta", b"Bearer\na"),
        *showing(13, b"Bearer \xc3\xa4", b"Bearer a\xff", b"\xff", b"Basic \x00", b"Basic a\n"),
        b"Bearer a=b",
        *showing([22, 39], b'Bearer {"payload":"a","signature":"b"}'),
        *showing([22, 39], b'Bearer {"payload":"a","signatures":[{"signature":"b"}]}'),
        *showing([22, 40], b'Bearer {"  a.b.c":"","x":""}'),
        b'Bearer "a.b.c"',
    ],
)
def test_anything_but_the_scheme_and_one_token_is_malformed(value: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        bearer_token([value])


@pytest.mark.attack(6)
@pytest.mark.parametrize("second", [b"Bearer a.b.c", b"Bearer d.e.f", b"Basic eA==", b""])
def test_two_headers_are_malformed_whichever_they_are(second: bytes) -> None:
    for values in ([b"Bearer a.b.c", second], [second, b"Bearer a.b.c"]):
        with pytest.raises(MalformedRequestError):
            bearer_token(values)


@pytest.mark.parametrize("text", [b"opaque", b"PHNhbWw+", b"a.b.c", b"a..", b"a-b_c~d+e/f=="])
def test_any_text_of_the_alphabet_is_passed_on_unread(text: bytes) -> None:  # the validator refuses these
    assert bearer_token([b"Bearer " + text]) == text.decode()


@pytest.mark.attack(12)
def test_a_token_of_the_greatest_length_is_read_and_a_longer_one_is_invalid() -> None:
    assert bearer_token([b"Bearer " + b"a" * MAX_TOKEN]) == "a" * MAX_TOKEN
    with pytest.raises(InvalidTokenError):
        bearer_token([b"Bearer " + b"a" * (MAX_TOKEN + 1)])


def test_a_long_header_of_another_scheme_is_still_no_token() -> None:  # Kerberos tickets are long
    assert bearer_token([b"Negotiate " + b"a" * 50_000]) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize("value", [b"Bearer " + b"a" * 1_000_000, b"Bearer" + b" " * 1_000_000, b"x" * 1_000_000])
def test_the_longest_headers_take_time_in_proportion_to_their_length(value: bytes) -> None:
    try:
        assert bearer_token([value]) is None
    except (InvalidTokenError, MalformedRequestError):
        assert value.startswith(b"Bearer")


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda tail: b"Bearer " + tail)))
def test_any_bytes_give_no_token_or_one_of_the_alphabet_or_one_of_two_errors(value: bytes) -> None:
    try:
        token = bearer_token([value])
    except (MalformedRequestError, InvalidTokenError):
        return
    assert token is None or TOKEN.fullmatch(token)


@given(st.lists(st.sampled_from(list(ALPHABET)), min_size=1, max_size=100).map(bytes), st.integers(0, 2))
def test_every_token_of_the_alphabet_is_found_exactly(text: bytes, padding: int) -> None:
    token = text + b"=" * padding
    assert bearer_token([b"Bearer " + token]) == token.decode()


@pytest.mark.attack(13)
@given(st.lists(st.sampled_from(list(ALPHABET)), min_size=1, max_size=30).map(bytes), st.data())
def test_one_byte_outside_the_alphabet_is_refused_wherever_it_stands(text: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    bad = data.draw(st.integers(0, 255).filter(lambda byte: not re.match(rb"[A-Za-z0-9._~+/=-]", bytes([byte]))))
    if (at, bad) == (0, 0x20):
        return
    with pytest.raises(MalformedRequestError):
        bearer_token([b"Bearer " + text[:at] + bytes([bad]) + text[at:]])
