"""Every forged token, over the wire to all four adapters: one answer, and nothing else happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.adapters import actions
from tests.adapters.attacks.nothing import nothing_happens
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import INVALID, MALFORMED, NO_SCOPE, OURS, invalid, realm
from tests.adapters.world import World
from tests.core.forged_claims import CLAIMS
from tests.core.forgery import HEADERS, KEYS, STRUCTURE, Forge, params

IN_NO_HEADER = ("white space", "44 padded header", "45 deep payload", "45 deep header")
"""Not for a header, or malformed there: white space, ``=`` before the end, and 270 KB, more than servers read."""
OFFLINE = {name: forge for name, forge in (STRUCTURE | HEADERS | CLAIMS).items() if name not in IN_NO_HEADER}


@pytest.mark.parametrize("path", ["/whoami", "/me", "/scope", "/public"])
def test_a_request_that_gets_through_would_be_noticed(adapter: Served, world: World, path: str) -> None:
    with pytest.raises(AssertionError, match="the app was called"), nothing_happens(adapter, world):
        adapter.get(path, world.token("alice"))


@pytest.mark.parametrize("forge", params(OFFLINE))
def test_a_forged_token_gets_one_answer_and_nothing_else_happens(adapter: Served, world: World, forge: Forge) -> None:
    token = forge(world.entra)
    with nothing_happens(adapter, world):
        check_problem(adapter.get("/me", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.parametrize("forge", params(KEYS))
def test_a_token_signed_by_anybody_else_costs_one_look_for_its_key(adapter: Served, world: World, forge: Forge) -> None:
    token = forge(world.entra)
    with nothing_happens(adapter, world, fetches=2):
        for _ in range(2):
            check_problem(adapter.get("/me", token), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(30, 31, 74)
def test_no_token_makes_the_api_ask_an_address_of_the_tokens_choice(adapter: Served, world: World) -> None:
    other = world.entra.authority  # it would answer, and count
    headers = {"jku": f"{other}/common/discovery/keys", "x5u": f"{other}/common/discovery/keys"}
    with nothing_happens(adapter, world):
        for name, url in headers.items():
            assert adapter.get("/me", world.token("alice", headers={name: url})).status_code == 401
        token = world.token("alice", iss=f"{other}/{'1' * 8}-2222-4333-8444-555555555555/v2.0")
        assert adapter.get("/me", token).status_code == 401


@pytest.mark.attack(43)
def test_a_token_that_is_remembered_opens_the_door_to_no_other_spelling(adapter: Served, world: World) -> None:
    token = world.token("alice")
    assert adapter.get("/whoami", token).status_code == 200
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    first = alphabet.index(token[-1]) // 16 * 16  # these sixteen letters begin with the same bits
    others = [token[:-1] + last for last in alphabet[first : first + 16] if last != token[-1]]
    with nothing_happens(adapter, world):
        for other in (*others, token + "=", token + "=="):
            check_problem(adapter.get("/whoami", other), 401, INVALID, challenge=invalid(world))


@pytest.mark.attack(90)
def test_a_missing_scope_is_not_told_from_claims_that_nobody_signed(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["orders.read"])
    with nothing_happens(served, world, fetches=2):
        for name, forge in KEYS.items():
            assert served.get("/whoami", forge(world.entra)).status_code == 401, name
        forged = world.token("alice", scopes=["none.such"])[:-8] + "AAAAAAAA"
        check_problem(served.get("/whoami", forged), 401, INVALID, challenge=invalid(world))
    challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
    rightly_signed = served.get("/whoami", world.token("alice"))
    check_problem(rightly_signed, 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)


def flattened(token: str) -> dict[str, Any]:
    header, payload, signature = token.split(".")
    return {"protected": header, "payload": payload, "signature": signature}


def general(token: str) -> dict[str, Any]:
    header, payload, signature = token.split(".")
    return {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}


def hidden(token: str) -> dict[str, Any]:
    """Hide a good token in the names of members, beside other claims (CVE-2022-39227)."""
    header, payload, signature = token.split(".")
    forged = flattened(token) | {"payload": flattened(token)["payload"][::-1]}
    return {f"  {header}.": "", "x": f".{payload}.{signature}"} | forged


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(flattened, marks=pytest.mark.attack(39)),
        pytest.param(general, marks=pytest.mark.attack(39)),
        pytest.param(hidden, marks=pytest.mark.attack(40)),
        pytest.param(lambda token: {"access_token": token}, marks=pytest.mark.attack(22, 40), id="member"),
        pytest.param(lambda token: [token], marks=pytest.mark.attack(22), id="list"),
    ],
)
@pytest.mark.parametrize("spaces", [False, True], ids=["dense", "with spaces"])
def test_json_in_place_of_a_token_is_malformed(adapter: Served, world: World, form: Any, spaces: bool) -> None:
    text = json.dumps(form(world.token("alice")), separators=None if spaces else (",", ":"))
    with nothing_happens(adapter, world):
        answer = parse_answer(adapter.raw(b"Authorization: Bearer " + text.encode()))
        check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


def test_padding_within_a_token_is_malformed(adapter: Served, world: World) -> None:
    token = STRUCTURE["44 padded header"](world.entra)
    with nothing_happens(adapter, world):
        check_problem(adapter.get("/me", token), 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


BUGS = [RuntimeError("a bug"), KeyError("aud"), RecursionError()]


@pytest.mark.attack(189)
@pytest.mark.parametrize(
    "place",
    [
        "parse_token",
        "check_header",
        "check_times",
        "check_audience",
        "check_signature",
        "user_from_claims",
        "TokenValidator.remembered",
    ],
)
def test_an_error_that_nobody_expected_lets_nobody_in(
    adapter: Served, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    for required in BUGS:

        def fail(*_arguments: object, error: Exception = required, **_options: object) -> None:
            raise error

        with nothing_happens(adapter, world), monkeypatch.context() as patch:
            patch.setattr(f"obo_middleware._validation.{place}", fail)
            check_problem(adapter.get("/me", world.token("alice")), 500, OURS)
    logged = {record.getMessage() for record in caplog.records if record.name == "obo_middleware"}
    assert {f"OboError: {type(error).__name__}" for error in BUGS} <= logged


@pytest.mark.attack(189)
@pytest.mark.parametrize("place", ["check_audience", "TokenValidator.check"])
def test_an_error_of_the_validator_lets_nobody_in_where_authentication_is_optional(
    kind: str, start: Start, world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    served = start(kind, required=False)

    def fail(*_arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(f"obo_middleware._validation.{place}", fail)
    check_problem(served.get("/whoami", world.token("alice")), 500, OURS)
    assert actions.reached.count == 0
