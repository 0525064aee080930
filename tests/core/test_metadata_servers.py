from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from credentials.kernel import AsyncDriver, BlockingDriver, ConnectionPool
from obo_middleware import ConfigurationError, _metadata
from obo_middleware._discovery import entra_place
from obo_middleware._metadata import COOL_DOWN, KEYS_LIVE, LONG_COOL_DOWN, MAX_DOCUMENT, Issuer
from obo_middleware._validation import TokenValidator, Validated
from obo_middleware.errors import InvalidTokenError, UpstreamUnavailableError
from obo_middleware.testing import LocalEntra, foreign_key
from tests.core.hostile import Answer, Scripted
from tests.core.kit import PLAIN, TENANT, Clock, Run, fetch, nothing, play, run_awaitable, run_blocking, settings_for
from tests.marks import by_name, showing

DISCOVERY = f"/{TENANT}/v2.0/.well-known/openid-configuration"
KEYS = "/keys"
CROWD = 100


@pytest.fixture
def issuer(server: Scripted, clock: Clock) -> Issuer:
    """Make an issuer whose server is in order so far."""
    server.say(DISCOVERY, {"issuer": f"{server.url}/{TENANT}/v2.0", "jwks_uri": server.url + KEYS})
    server.say(KEYS, {"keys": [foreign_key().jwk | {"kid": "a"}]})
    return Issuer(entra_place(server.url, TENANT, "2.0"), clock=clock, on_change=nothing)


GREAT = b'{"keys":[],"x":"' + b"x" * MAX_DOCUMENT + b'"}'

BAD: dict[str, Answer] = {
    "html": Answer(body=b"<html>sorry</html>"),
    "empty": Answer(body=b""),
    "more than 64 KiB": Answer(body=GREAT),
    "ten thousand keys": Answer(body=b'{"keys":[' + b",".join([b'{"kid":"k"}'] * 10_000) + b"]}"),
    "302": Answer(302, b"{}", [("Location", "/elsewhere")]),
    "307 to another host": Answer(307, b"{}", [("Location", "http://localhost/elsewhere")]),
    "500": Answer(500),
    "packed": Answer(body=b"\x1f\x8b\x08\x00" + b"x" * 50, headers=[("Content-Encoding", "gzip")]),
}
CASES = {
    **dict.fromkeys(["html", "empty", "more than 64 KiB", "ten thousand keys", "packed"], (109,)),
    **dict.fromkeys(["302", "307 to another host"], (110,)),
}
"""The cases of the list of attacks that these are."""


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("bad", by_name(BAD, CASES | {"500": (108,)}))
def test_without_keys_a_bad_answer_is_an_outage(
    server: Scripted, issuer: Issuer, run: Run, path: str, bad: Answer
) -> None:
    server.say(path, bad)
    with pytest.raises(UpstreamUnavailableError):
        run(issuer.key_flow(("a", "RS256")))
    assert server.paths == [DISCOVERY, KEYS][: 1 + (path == KEYS)]


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize("bad", by_name(BAD, CASES | {"500": (107,)}))
def test_with_keys_a_bad_answer_changes_nothing(
    server: Scripted, issuer: Issuer, run: Run, *, clock: Clock, path: str, bad: Answer
) -> None:
    known = run(issuer.key_flow(("a", "RS256")))
    server.say(path, bad)
    assert run(issuer.key_flow(("b", "RS256"))) is None
    clock.now += KEYS_LIVE + 1
    assert run(issuer.key_flow(("a", "RS256"))) is known
    assert "/elsewhere" not in server.paths


@pytest.mark.attack(109)
@pytest.mark.parametrize("run", [run_blocking, run_awaitable], ids=["blocking", "awaitable"])
def test_a_dripping_answer_is_cut_off(
    server: Scripted, issuer: Issuer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # a byte comes often enough for every wait for data to succeed
    monkeypatch.setattr(_metadata, "_TIMEOUT", 0.3)
    server.say(KEYS, Answer(body=b'{"keys":[]}' + b" " * 5_000, drip=0.02))
    with pytest.raises(UpstreamUnavailableError):
        run(issuer.key_flow(("a", "RS256")))


@pytest.mark.attack(108)
def test_a_dead_host_is_an_outage(run: Run, clock: Clock) -> None:
    with Scripted() as gone:
        url = gone.url
    issuer = Issuer(entra_place(url, TENANT, "2.0"), clock=clock, on_change=nothing)
    with pytest.raises(UpstreamUnavailableError, match="could not be fetched"):
        run(issuer.key_flow(("a", "RS256")))


@pytest.mark.parametrize(
    "change",
    [
        *showing(112, {"issuer": "https://evil.example/x/v2.0"}),
        *showing(113, {"jwks_uri": "https://evil.example/keys"}),
        *showing(111, {"jwks_uri": "file:///etc/passwd"}),
        {"jwks_uri": None},
    ],
)
def test_wrong_metadata_is_a_wrong_setting(server: Scripted, issuer: Issuer, run: Run, change: dict[str, Any]) -> None:
    right = {"issuer": f"{server.url}/{TENANT}/v2.0", "jwks_uri": server.url + KEYS}
    server.say(DISCOVERY, right | change)
    with pytest.raises(ConfigurationError):
        run(issuer.key_flow(("a", "RS256")))
    assert server.paths == [DISCOVERY]


@pytest.mark.attack(110)
def test_no_redirect_hands_anything_to_another_server(server: Scripted, issuer: Issuer, run: Run) -> None:
    with Scripted() as other:
        server.say(DISCOVERY, Answer(302, b"{}", [("Location", other.url + DISCOVERY)]))
        with pytest.raises(UpstreamUnavailableError):
            run(issuer.key_flow(("a", "RS256")))
        assert other.connections == 0


@pytest.mark.attack(56, 115)
def test_one_bad_key_costs_nobody_the_others(server: Scripted, issuer: Issuer, run: Run) -> None:
    bad = [{"kty": "RSA", "kid": "x", "n": "!", "e": "!"}, {"kty": "oct", "kid": "a", "k": "AAAA"}, None]
    server.say(KEYS, {"keys": [*bad, foreign_key().jwk | {"kid": "a"}, *bad]})
    assert run(issuer.key_flow(("a", "RS256"))).kid == "a"


# A crowd at the same time


def in_threads(work: Callable[[BlockingDriver], Any]) -> list[Any]:
    pool = ConnectionPool(ssl_context=PLAIN)
    barrier = threading.Barrier(CROWD)

    def one(_number: int) -> Any:
        barrier.wait()
        return work(BlockingDriver(pool))

    try:
        with ThreadPoolExecutor(CROWD) as executor:
            return list(executor.map(one, range(CROWD)))
    finally:
        pool.close()


def in_tasks(work: Callable[[AsyncDriver], Any]) -> list[Any]:
    async def main() -> list[Any]:
        pool = ConnectionPool(ssl_context=PLAIN)
        try:
            return list(await asyncio.gather(*(work(AsyncDriver(pool)) for _ in range(CROWD))))
        finally:
            await pool.aclose()

    return asyncio.run(main())


Crowd = Callable[[Callable[[Any], Any]], list[Any]]
both_crowds = pytest.mark.parametrize("crowd", [in_threads, in_tasks], ids=["threads", "tasks"])


@both_crowds
def test_a_crowd_at_a_cold_start_fetches_once(entra: LocalEntra, crowd: Crowd) -> None:
    validator, token = TokenValidator(settings_for(entra)), entra.sign_in("alice")
    found: list[Validated] = crowd(lambda driver: driver.run(validator.validate_flow(token)))
    assert {valid.user.object_id for valid in found} == {entra.alice.object_id}
    assert (entra.requests_to("metadata"), entra.requests_to("jwks")) == (1, 1)


@pytest.mark.attack(104)
@both_crowds
def test_a_crowd_with_one_new_key_fetches_once(entra: LocalEntra, crowd: Crowd) -> None:
    validator = TokenValidator(settings_for(entra))
    play(validator.validate_flow(entra.sign_in("bob")), fetch).value()
    entra.rotate_keys()
    token = entra.sign_in("alice")
    entra.reset_counts()
    found: list[Validated] = crowd(lambda driver: driver.run(validator.validate_flow(token)))
    assert {valid.user.object_id for valid in found} == {entra.alice.object_id}
    assert (entra.requests_to("metadata"), entra.requests_to("jwks")) == (1, 1)


@pytest.mark.attack(102, 103)
@both_crowds
def test_a_crowd_of_forgers_fetches_once_and_good_tokens_go_on(entra: LocalEntra, crowd: Crowd) -> None:
    validator, good = TokenValidator(settings_for(entra)), entra.sign_in("alice")
    play(validator.validate_flow(entra.sign_in("bob")), fetch).value()
    entra.reset_counts()
    forged = [entra.sign_in("bob", headers={"kid": f"random-{number}"}) for number in range(CROWD)]

    def one(driver: Any) -> Any:
        token = forged.pop()
        return driver.run(judged(token))

    def judged(token: str) -> Any:
        try:
            yield from validator.validate_flow(token)
        except InvalidTokenError:
            return (yield from validator.validate_flow(good))

    found = crowd(one)
    assert {valid.user.object_id for valid in found} == {entra.alice.object_id}
    assert (entra.requests_to("metadata"), entra.requests_to("jwks")) == (1, 1)


@pytest.mark.attack(108)
@both_crowds
def test_a_crowd_meets_an_outage_with_one_request(entra: LocalEntra, crowd: Crowd) -> None:
    validator, token = TokenValidator(settings_for(entra)), entra.sign_in("alice")
    entra.outage(endpoints=("metadata",))

    def refused() -> Any:
        try:
            yield from validator.validate_flow(token)
        except UpstreamUnavailableError as error:
            return str(error)

    assert all(crowd(lambda driver: driver.run(refused())))
    assert entra.requests_to("metadata") == 1


# A real provider over time


@pytest.mark.attack(105, 106, 107)
def test_rollover_withdrawal_and_outage(entra: LocalEntra, clock: Clock, run: Run) -> None:
    validator = TokenValidator(settings_for(entra))
    day: dict[str, Any] = {"lifetime": int(3 * KEYS_LIVE)}
    old = entra.sign_in("alice", **day)
    assert run(validator.validate_flow(old))
    entra.rotate_keys()
    new = entra.sign_in("alice", **day)
    assert run(validator.validate_flow(new))
    assert run(validator.validate_flow(old)), "published still"
    entra.rotate_keys(withdraw_old=True)
    entra.outage(endpoints=("metadata", "jwks"))
    clock.now += KEYS_LIVE + LONG_COOL_DOWN
    assert run(validator.validate_flow(new)), "the last good keys survive an outage"
    entra.forget_faults()
    clock.now += COOL_DOWN
    for token in (old, new):
        with pytest.raises(InvalidTokenError):
            run(validator.validate_flow(token))
    assert run(validator.validate_flow(entra.sign_in("alice")))


@pytest.mark.attack(108)
def test_an_outage_at_the_start_passes(entra: LocalEntra, clock: Clock, run: Run) -> None:
    validator, token = TokenValidator(settings_for(entra)), entra.sign_in("alice")
    for fault in (entra.outage, entra.drop_connections):
        fault(endpoints=("metadata",))
        with pytest.raises(UpstreamUnavailableError):
            run(validator.validate_flow(token))
        entra.forget_faults()
        clock.now += 10
    assert run(validator.validate_flow(token))
