"""The fuzz targets over random bytes, the same ones in every run; and proofs that they reach what they are for."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from obo_middleware import _admission, _validation
from obo_middleware.errors import InvalidTokenError
from tests.fuzz.reader import Reader, mutated
from tests.fuzz.targets import CASES
from tests.fuzz.tokens import RAW, is_good, token_from
from tests.fuzz.world import FoundError, World, world

BYTES = st.binary(min_size=48, max_size=400) | st.binary(max_size=40)
SPARSE = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 5, 7, 255]), min_size=24, max_size=160).map(bytes)
"""Mostly plain choices, so that an input has one or two oddities and not only them."""


@pytest.mark.attack(6)
@settings(max_examples=200)
@given(BYTES | SPARSE)
def test_any_header_is_read_as_one_token_or_refused(data: bytes) -> None:
    CASES["headers"].run(data)


@pytest.mark.attack(45, 46, 78)
@settings(max_examples=250)
@given(BYTES | SPARSE)
def test_a_changed_token_is_good_or_refused(data: bytes) -> None:
    CASES["tokens"].run(data)


@pytest.mark.attack(176, 180, 181, 182)
@settings(max_examples=200)
@given(BYTES | SPARSE)
def test_any_challenge_is_claims_or_none_and_every_answer_is_well_formed(data: bytes) -> None:
    CASES["challenges"].run(data)


@pytest.mark.attack(109)
@settings(max_examples=200)
@given(BYTES | SPARSE)
def test_any_document_gives_right_keys_or_none_and_takes_none_away(data: bytes) -> None:
    CASES["documents"].run(data)


@pytest.mark.attack(141)
@settings(max_examples=200)
@given(BYTES | SPARSE)
# Half a character in an error's text, which no log could write.
@example(bytes.fromhex("008e000000000000009655c19e0000dd84"))
def test_any_answer_of_the_token_endpoint_is_a_usable_token_or_an_error(data: bytes) -> None:
    CASES["token_answers"].run(data)


@pytest.mark.parametrize("name", CASES)
def test_every_target_withstands_its_seeds(name: str) -> None:
    for seed in CASES[name].seeds():
        CASES[name].run(seed)


# The targets reach what they are for


def admitted(data: bytes, here: World) -> bool:
    return is_good(token_from(data, here), here)


@pytest.mark.parametrize("data", [b"", b"\1"], ids=["entra", "trusted"])
def test_an_unchanged_token_is_good(data: bytes) -> None:
    assert admitted(data, world())
    CASES["tokens"].run(data)


@pytest.mark.parametrize(
    "change",
    [
        *({"aud": "api://other"}, {"exp": 1}, {"nbf": 2_000_000_000}, {"tid": "x"}, {"cnf": {}}, {"scp": "User.Read"}),
        *({"idtyp": "app"}, {"sub": ""}, {"ver": "1.0"}, {"iss": "https://evil.example"}, {"exp": True}),
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_oracle_knows_a_bad_claim(change: dict[str, object]) -> None:
    entra = world().issuings[0]
    assert not is_good(entra.key.sign(entra.header, entra.claims | change), world())


def test_the_oracle_knows_a_forged_signature() -> None:
    here = world()
    entra = here.issuings[0]
    assert not is_good(here.forger.sign(entra.header, entra.claims), here)
    assert not is_good(entra.key.sign(entra.header, entra.claims)[:-4] + "AAAA", here)


@pytest.mark.parametrize("check", ["check_times", "check_audience", "check_issuer", "check_shape", "check_signature"])
def test_a_check_that_is_gone_is_found(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world()
    entra = here.issuings[0]
    bad = {
        "check_times": entra.claims | {"exp": 1},
        "check_audience": entra.claims | {"aud": "other"},
        "check_issuer": entra.claims | {"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"},
        "check_shape": entra.claims | {"nonce": "n"},
        "check_signature": entra.claims,
    }[check]
    key = here.forger if check == "check_signature" else entra.key
    token = key.sign(entra.header, bad)
    CASES["tokens"].run(RAW + token.encode())
    monkeypatch.setattr(_validation, check, lambda *_arguments, **_options: None)
    monkeypatch.setattr(_validation, "_validated", _never_expired)
    with pytest.raises(FoundError, match="a bad token is let in"):
        CASES["tokens"].run(RAW + token.encode())


_validated = _validation._validated


def _never_expired(profile: _validation.Profile, token: str, claims: dict[str, object], until: float) -> object:
    return _validated(profile, token, claims | {"exp": max(int(str(claims["exp"])), 1_900_000_000)}, until)


@pytest.mark.attack(189)
@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), AssertionError(), StopIteration()])
def test_an_unexpected_exception_is_found_and_calls_no_app(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_values: Sequence[bytes]) -> str:
        raise error

    here = world().fresh()
    monkeypatch.setattr(_admission, "bearer_token", fail)
    for through in (here.through_asgi, here.through_wsgi):
        answer = through([b"Bearer x"], "/me", "GET", b"")
        assert (answer.status, answer.called) == (500, 0)
    with pytest.raises(FoundError, match="status 500"):
        CASES["headers"].run(b"\0\0\0\0\0\0a.b.c")


def test_a_refused_good_token_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise InvalidTokenError("x")

    monkeypatch.setattr(_validation, "check_signature", refuse)
    with pytest.raises(FoundError, match="a good token is refused"):
        CASES["tokens"].run(b"")


# The reader


@given(BYTES)
def test_any_bytes_are_choices_and_values(data: bytes) -> None:
    reader = Reader(data)
    base = {"a": [1, {"b": "c"}], "d": "e"}
    kept = copy.deepcopy(base)
    mutated(reader, base, ["f"])
    assert base == kept
    assert reader.below(7) < 7
    reader.value()
    reader.rest()
    assert (reader.rest(), reader.below(300), reader.text()) == (b"", 0, "")
