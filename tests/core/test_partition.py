from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obo_middleware._claims import partition_of
from obo_middleware._runtime import Runtime
from obo_middleware.testing import LocalEntra
from tests.core.kit import Clock, Run, bearer, settings_for

CLAIMS: dict[str, Any] = {
    "iss": "https://login.microsoftonline.com/t/v2.0",
    "tid": "t",
    "oid": "o",
    "sub": "s",
    "azp": "c",
    "sid": "session",
    "acr": "1",
    "amr": ["pwd"],
    "auth_time": 1000,
    "scp": "a b",
    "iat": 1,
    "exp": 2,
    "uti": "x",
}


def partition(text: str = "t", mode: str = "session", **changes: Any) -> bytes:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return partition_of(text, claims, mode)


def test_the_next_token_of_the_same_session_keeps_the_partition() -> None:
    assert partition() == partition("the next token", iat=3601, nbf=3601, exp=7200, uti="y", rh="z", aio="w")


@pytest.mark.attack(120, 121)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://login.microsoftonline.com/u/v2.0"),
        pytest.param("tid", "u", marks=pytest.mark.attack(93)),
        ("oid", "p"),
        ("azp", "d"),
        ("appid", "c"),
        ("sid", "another session"),
        ("acr", "0"),
        ("acrs", ["c1"]),
        ("amr", ["pwd", "mfa"]),
        ("amr", []),
        ("auth_time", 1001),
        ("scp", "a"),
        ("scp", "a b c"),
        ("roles", ["r"]),
        ("idtyp", "user"),
        ("cnf", {"jkt": "x"}),
    ],
)
def test_who_through_which_client_and_with_what_strength_makes_a_partition(name: str, value: Any) -> None:
    changed: dict[str, Any] = {name: value}
    assert partition(**changed) != partition()
    if name in CLAIMS:
        assert partition(**changed | {name: None}) != partition()


@pytest.mark.attack(118)
def test_a_value_does_not_slip_from_one_claim_into_the_next() -> None:
    assert partition(azp="c", appid=None) != partition(azp=None, appid="c")
    assert partition(tid="t", oid="oo") != partition(tid="to", oid="o")
    assert partition(acr=None, acrs="1") != partition(acr="1", acrs=None)
    assert partition(sid="null") != partition(sid=None)


NO_SESSION: dict[str, Any] = {"sid": None, "acr": None, "acrs": None, "amr": None, "auth_time": None}


@pytest.mark.attack(121)
def test_a_token_that_says_nothing_of_its_session_is_its_own_partition() -> None:
    assert partition("one", **NO_SESSION) == partition("one", **NO_SESSION)
    assert partition("one", **NO_SESSION) != partition("two", **NO_SESSION)
    assert partition("one", **NO_SESSION | {"amr": [], "sid": ""}) != partition("two", **NO_SESSION | {"amr": []})


@pytest.mark.parametrize(
    "claim", [{"sid": "s"}, {"acr": "1"}, {"acrs": ["c1"]}, {"amr": ["pwd"]}, {"auth_time": 1}], ids=str
)
def test_one_claim_of_a_session_is_enough(claim: dict[str, Any]) -> None:
    assert partition("one", **NO_SESSION | claim) == partition("two", **NO_SESSION | claim)


@pytest.mark.attack(120, 121)
def test_by_assertion_every_token_is_its_own_partition() -> None:
    assert partition("one", "assertion") == partition("one", "assertion", oid="p")
    assert partition("one", "assertion") != partition("two", "assertion")
    assert partition("one", "assertion") == partition("one", **NO_SESSION)


@pytest.mark.attack(93, 117)
@given(st.text(), st.text(), st.text(), st.text())
def test_two_users_never_share_a_partition(oid: str, tid: str, other_oid: str, other_tid: str) -> None:
    if (oid, tid) != (other_oid, other_tid):
        assert partition(oid=oid, tid=tid) != partition(oid=other_oid, tid=other_tid)


@pytest.mark.parametrize(("mode", "exchanges"), [("session", 1), ("assertion", 2)])
def test_the_hourly_new_token_costs_an_exchange_by_assertion_only(
    entra: LocalEntra, clock: Clock, run: Run, mode: str, exchanges: int
) -> None:
    runtime = Runtime(settings_for(entra, cache_partition=mode))
    query = runtime.client.query(("User.Read",))
    for _ in range(2):
        valid = run(runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"))
        assert run(runtime.client.token_flow(query, valid.assertion)).token
        clock.now += 60
    assert entra.exchanges == exchanges


@pytest.mark.attack(120, 121)
def test_users_and_weaker_sessions_never_get_each_others_tokens(entra: LocalEntra, run: Run) -> None:
    runtime = Runtime(settings_for(entra))
    query = runtime.client.query(("User.Read",))
    tokens = [
        entra.sign_in("alice"),
        entra.sign_in("bob"),
        entra.sign_in("alice", amr=["pwd", "mfa"]),
        entra.sign_in("alice", scp="access_as_user other"),
        entra.sign_in("alice", azp="another client"),
        entra.sign_in("alice", version=1),
    ]
    got = set()
    for token in tokens:
        valid = run(runtime.admit_flow(bearer(token), "/me"))
        assert runtime.client.fresh(query, valid.assertion) is None
        got.add(run(runtime.client.token_flow(query, valid.assertion)).token)
    assert len(got) == len(tokens) == entra.exchanges
