"""A token in a header of a trusted proxy's own: the same rules, and never two ways at once."""

from __future__ import annotations

import pytest

from obo_middleware._bearer import MAX_TOKEN, bearer_token, presented
from obo_middleware.errors import InvalidTokenError, MalformedRequestError

pytestmark = pytest.mark.attack(15)


def test_without_a_proxys_header_the_authorization_headers_are_all_there_is() -> None:
    assert presented([b"Bearer a.b.c"], []) == [b"Bearer a.b.c"]
    assert presented([], []) == []


@pytest.mark.parametrize("authorization", [[], [b"Basic eA=="], [b"Negotiate x"]])
def test_a_proxys_header_holds_the_bare_token(authorization: list[bytes]) -> None:
    assert bearer_token(presented(authorization, [b"a.b.c"])) == "a.b.c"


@pytest.mark.parametrize("authorization", [b"Bearer a.b.c", b"Bearer d.e.f", b"bearer", b"Bearer a b", b"Basic \x00"])
def test_a_token_that_comes_in_both_ways_is_malformed(authorization: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        presented([authorization], [b"a.b.c"])


@pytest.mark.parametrize(
    "proxied",
    [
        [b"a.b.c", b"a.b.c"],
        [b"a.b.c", b""],
        [b"a.b.c,d.e.f"],
        [b""],
        [b"Bearer a.b.c"],
        [b"a b"],
        [b"a\x00"],
        [b"\xff"],
    ],
)
def test_anything_but_one_token_is_malformed(proxied: list[bytes]) -> None:
    with pytest.raises(MalformedRequestError):
        bearer_token(presented([], proxied))


def test_a_token_that_is_too_long_is_invalid() -> None:
    with pytest.raises(InvalidTokenError):
        bearer_token(presented([], [b"a" * (MAX_TOKEN + 1)]))
