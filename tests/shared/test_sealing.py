"""Names and seals of entries: who may read what, and that nothing opens where it does not belong."""

from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AccessTokenInfo
from credentials.kernel import Name
from obo_middleware._sealing import PlainSealer, Sealer, SecretKey, SecretSealer
from obo_middleware._shared_cache import decoded, encoded
from tests.shared.by_hand import FORMER, GROUP, KEY, OTHER, OURS, SEALER, SECRET

NAME, DATA = SEALER.names(KEY)[0], b"a token"
SEALERS: list[Sealer] = [SEALER, PlainSealer()]
by_sealer = pytest.mark.parametrize("sealer", SEALERS, ids=lambda one: type(one).__name__)


# Keys


def test_a_new_key_is_a_key_and_no_two_are_alike() -> None:
    first, second = SecretKey.generate(), SecretKey.generate()
    assert first != second
    assert len(first.secret) == 32


@pytest.mark.parametrize("raw", [b"\xfb\xff" * 16, b"\0" * 32], ids=["symbols", "zeros"])
def test_both_alphabets_padded_or_not_and_with_blanks_around_are_one_key(raw: bytes) -> None:
    texts = [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()]
    texts += [texts[1].rstrip("="), f" {texts[0]}\n"]
    assert {SecretKey(text).secret for text in texts} == {raw}


@pytest.mark.parametrize("text", ["", "short", "!" * 44, "é" * 43, "A" * 42, "A" * 64, None, 7, b"A" * 43])
def test_any_other_text_is_refused_and_the_text_says_how_to_make_a_key(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as caught:
        SecretKey(text)
    assert not text or str(text) not in str(caught.value)


def test_a_key_is_shown_nowhere() -> None:
    assert SECRET.text not in repr(SECRET)
    assert SECRET.text not in str(SECRET)


# Names


@by_sealer
def test_names_are_different_for_different_entries_and_groups_are_their_users(sealer: Sealer) -> None:
    names = [sealer.names(key)[0] for key in (KEY, OTHER, OURS)]
    assert len({name.entry for name in names}) == len({name.group for name in names}) == 3
    assert sealer.group_names(GROUP) == (names[0].group,)
    assert names == [sealer.names(key)[0] for key in (KEY, OTHER, OURS)]


def test_names_say_nothing_without_the_key() -> None:
    ours, theirs = SEALER.names(KEY)[0], SecretSealer([FORMER]).names(KEY)[0]
    assert not {ours.entry, ours.group}.intersection({theirs.entry, theirs.group})
    plain = PlainSealer().names(KEY)[0]
    assert not {ours.entry, ours.group}.intersection({plain.entry, plain.group})


# Seals


@by_sealer
def test_what_is_sealed_opens_under_its_name(sealer: Sealer) -> None:
    assert sealer.open(NAME, sealer.seal(NAME, DATA)) == DATA
    assert sealer.open(NAME, sealer.seal(NAME, b"")) == b""


@pytest.mark.attack(128)
@by_sealer
@pytest.mark.parametrize(
    "other",
    [SEALER.names(OTHER)[0], Name(NAME.group, "other"), Name("other", NAME.entry), Name(NAME.entry, NAME.group)],
    ids=["user", "entry", "group", "swapped"],
)
def test_what_is_sealed_does_not_open_under_another_name(sealer: Sealer, other: Name) -> None:
    assert sealer.open(other, sealer.seal(NAME, DATA)) is None


@pytest.mark.attack(127)
def test_no_byte_of_a_sealed_value_can_be_changed() -> None:
    sealed = SEALER.seal(NAME, DATA)
    for place in range(len(sealed)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(sealed)
            changed[place] ^= change
            assert SEALER.open(NAME, bytes(changed)) is None


@pytest.mark.attack(127)
def test_no_part_of_a_sealed_value_can_be_left_out_or_added() -> None:
    sealed = SEALER.seal(NAME, DATA)
    assert [end for end in range(len(sealed)) if SEALER.open(NAME, sealed[:end]) is not None] == []
    assert SEALER.open(NAME, sealed + b"\0") is None
    assert SEALER.open(NAME, sealed[1:]) is None


def test_no_two_seals_are_alike_and_none_shows_what_is_in_it() -> None:
    assert len({SEALER.seal(NAME, DATA) for _ in range(100)}) == 100
    assert DATA not in SEALER.seal(NAME, DATA)


@pytest.mark.attack(133)
def test_the_first_key_seals_and_every_key_opens() -> None:
    old, new = SecretSealer([FORMER]), SecretSealer([SECRET, FORMER])
    assert new.names(KEY) == (*SEALER.names(KEY), *old.names(KEY))
    assert new.group_names(GROUP) == (*SEALER.group_names(GROUP), *old.group_names(GROUP))
    assert new.open(NAME, old.seal(NAME, DATA)) == DATA
    assert SEALER.open(NAME, new.seal(NAME, DATA)) == DATA


@pytest.mark.attack(133)
def test_what_an_unknown_key_sealed_is_nothing() -> None:
    assert SecretSealer([FORMER]).open(NAME, SEALER.seal(NAME, DATA)) is None


# What is in an entry


INFOS = [
    AccessTokenInfo("text", 1_800_000_000),
    AccessTokenInfo("a.b-c_d~e", 1_800_000_000, "pop", 1_790_000_000),
    AccessTokenInfo("t" * 20_000, 2**33, "", None),
]


@pytest.mark.parametrize("info", INFOS, ids=["short", "whole", "long"])
def test_a_token_comes_back_as_it_was(info: AccessTokenInfo) -> None:
    found = decoded(encoded(info, 12.5))
    assert found == (info, 12.5)
    assert found is not None
    assert type(found.info.expires_on) is int


@pytest.mark.attack(127)
@given(st.binary(max_size=80))
def test_any_other_bytes_are_a_token_that_fits_a_header_or_nothing(data: bytes) -> None:
    found = decoded(data)
    assert found is None or (
        found.info.token.isascii() and found.info.token.isprintable() and " " not in found.info.token
    )


HEAD = encoded(AccessTokenInfo("", 1_800_000_000), 1.0)
BAD = {
    "nothing": b"",
    "no token": HEAD,
    "a blank": HEAD + b"a b",
    "a line": HEAD + b"a\r\nX: y",
    "beyond ASCII": HEAD + "é".encode(),
    "no end": encoded(AccessTokenInfo("t", float("inf")), 1.0),  # type: ignore[arg-type]  # what nobody writes
    "no number": encoded(AccessTokenInfo("t", float("nan")), 1.0),  # type: ignore[arg-type]  # what nobody writes
    "asked for at no time": encoded(AccessTokenInfo("t", 1), float("nan")),
    "asked for after all time": encoded(AccessTokenInfo("t", 1), float("inf")),
    "a pickle": pickle.dumps(AccessTokenInfo("t", 1)),
    "JSON": b'{"token": "t", "expires_on": 1800000000}',
}


@pytest.mark.attack(130)
@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_token_is_nothing(data: bytes) -> None:
    assert decoded(data) is None
