"""Every refused token gets the same bytes; only the log tells why, and it tells no more than that."""

from __future__ import annotations

import logging

import pytest

from tests.adapters.attacks.nothing import nothing_happens, warm_up
from tests.adapters.conftest import Start
from tests.adapters.harness import Served
from tests.adapters.world import World
from tests.core.forged_claims import CLAIMS
from tests.core.forgery import HEADERS, KEYS, STRUCTURE, Forge, params, with_claims, with_header

VARYING = (b"date:", b"server:")


def bytes_of(served: Served, token: str) -> bytes:
    """Return a whole response as it came over the wire, in the order in which it came, without date and server."""
    answer = served.raw(f"Authorization: Bearer {token}".encode(), path=b"/me")
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.lower().startswith(VARYING))


REFUSED: dict[str, Forge] = {
    "unknown kid": with_header(kid="unknown"),
    "bad signature": KEYS["51 another key under our kid"],
    "wrong audience": CLAIMS["60 aud of another API"],
    "expired": CLAIMS["76 expired"],
    "wrong issuer": CLAIMS["74 iss of the attacker"],
    "opaque text": STRUCTURE["22 opaque"],
    "another tenant": CLAIMS["66 another tenant in iss and tid"],
    "not yet valid": CLAIMS["79 nbf ahead"],
    "algorithm none": HEADERS["23 alg none"],
    "ID token": CLAIMS["81 nonce 'x'"],
    "bound to a key": CLAIMS["98 cnf {'jkt': 'x'}"],
    "too long": lambda _: "a" * 16_385,
}


@pytest.mark.attack(183)
def test_every_refused_token_gets_the_same_bytes(adapter: Served, world: World) -> None:
    warm_up(adapter, world)
    answers = {why: bytes_of(adapter, forge(world.entra)) for why, forge in REFUSED.items()}
    first = answers["unknown kid"]
    assert first.split(b" ", 2)[1] == b"401"
    assert {why for why, answer in answers.items() if answer != first} == set()


@pytest.mark.attack(183)
def test_the_answer_is_the_same_before_the_keys_are_known(kind: str, start: Start, world: World) -> None:
    cold = {bytes_of(start(kind), forge(world.entra)) for forge in list(REFUSED.values())[:3]}
    warm = start(kind)
    warm_up(warm, world)
    assert cold == {bytes_of(warm, REFUSED["unknown kid"](world.entra))}


@pytest.mark.attack(183)
def test_a_forged_token_gets_the_same_bytes_for_a_user_who_is_known_and_one_who_is_not(
    adapter: Served, world: World
) -> None:
    assert adapter.get("/me", world.token("alice")).status_code == 200
    forged = [world.token(name)[:-8] + "AAAAAAAA" for name in ("alice", world.newcomer())]
    forged.append(world.token("alice", oid="nobody")[:-8] + "AAAAAAAA")
    assert len({bytes_of(adapter, token) for token in forged}) == 1


# The log


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what our own loggers said, as a log has it: one text for each record."""
    ours = [record for record in caplog.records if record.name in ("obo_middleware", "credentials")]
    return [logging.Formatter("%(message)s").format(record) for record in ours]


REASONS = {
    "unknown kid": "the key is not one of the issuer's",
    "bad signature": "the signature is wrong",
    "wrong audience": "the claim aud does not name this API",
    "expired": "the token has expired",
    "wrong issuer": "the claim iss is no issuer of the settings",
    "opaque text": "the token does not have three segments",
    "another tenant": "the claim iss is not the provider's issuer",
    "not yet valid": "the claim nbf lies in the future",
    "algorithm none": "the algorithm is not one of the issuer's",
    "ID token": "the token is not an access token",
    "bound to a key": "the token is bound to a key and not a bearer token",
    "too long": "the token is too long",
}


@pytest.mark.attack(183)
@pytest.mark.parametrize("why", REASONS)
def test_the_log_tells_the_reason(adapter: Served, world: World, caplog: pytest.LogCaptureFixture, why: str) -> None:
    warm_up(adapter, world)
    caplog.clear()
    adapter.get("/me", REFUSED[why](world.entra))
    assert f"InvalidTokenError: {REASONS[why]}" in logged(caplog)


CANARY = "C4N4RY"
WILD = f"{CANARY}\r\nCRITICAL:root:forged line\x1b[31m\u2028\u202e\x00%s{{0}}"
TELLING: dict[str, Forge] = {
    "54, 184, 185 kid": with_header(kid=WILD),
    "54, 184, 185 path in kid": with_header(kid=f"../../{CANARY}/dev/null"),
    "54, 184, 185 SQL in kid": with_header(kid=f"' UNION SELECT '{CANARY}' --"),
    "54, 184, 185 kid of 10 KB": with_header(kid=CANARY * 1_700),
    **{f"184, 185 {name}": with_claims(**{name: WILD}) for name in ("iss", "tid", "aud", "exp", "ver", "cnf")},
    **{f"184, 185 {name}": with_header(**{name: WILD}) for name in ("alg", "typ", "crit")},
    "184, 185 scp": with_claims(scp=[WILD]),
    "184, 185 member of that name": with_claims(**{"roles": WILD, WILD: WILD}),
    "184, 185 azp of an unknown client": with_claims(azp=WILD, aud="x"),
}


@pytest.mark.parametrize("forge", params(TELLING))
def test_nothing_of_a_refused_token_is_in_the_log(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture, forge: Forge
) -> None:
    token = forge(world.entra)
    with caplog.at_level(logging.DEBUG), nothing_happens(adapter, world, fetches=2):
        caplog.clear()
        assert adapter.get("/me", token).status_code == 401
    lines = logged(caplog)
    assert [line for line in lines if CANARY in line or not line.isprintable()] == []
    assert [line for line in lines if any(part in line for part in token.split(".") if part)] == []
    assert any(line.startswith("InvalidTokenError: ") for line in lines)


@pytest.mark.attack(185)
def test_a_claim_that_the_log_names_is_escaped_there(
    kind: str, start: Start, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    served = start(kind, allowed_clients=["11111111-2222-4333-8444-555555555555"])
    assert served.get("/me", world.token("alice", azp=WILD)).status_code == 403
    (line,) = (line for line in logged(caplog) if "allowed_clients" in line)
    assert line.isprintable()
    assert CANARY in line


@pytest.mark.attack(184)
def test_no_record_or_repr_has_a_token_or_a_part_of_it(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    good = world.token("alice")
    tokens = [good, *(forge(world.entra) for forge in (KEYS | REFUSED).values())]
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        for token in tokens:
            adapter.get("/me", token)
        text = "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    assert [token for token in tokens if max(token.split("."), key=len) in text] == []
    valid = adapter.runtime.validator.remembered(f"Bearer {good}".encode())
    assert good not in f"{valid!r} {adapter.runtime.validator!r} {adapter.runtime!r} {adapter.runtime.settings!r}"
