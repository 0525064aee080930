from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials._authority import Authority
from credentials._cache import SKEW, ExpiringCache, key_of, pair_key, token_cache
from credentials._client_authentication import ClientSecret
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine
from credentials._token_endpoint import UserAssertion
from tests.credentials.helpers import NOW, Clock

END = 100.0


def cache(clock: Clock, size: int = 3) -> ExpiringCache[str, float]:
    return ExpiringCache(size=size, until=lambda value: value, clock=clock)


# Keys as bytes


@pytest.mark.attack(118)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", ""), ("", "a")),
        (("a",), ("a", "")),
        ((), ("",)),
        (("a", "b"), ("b", "a")),
        (("a b",), ("a", "b")),
        (("a\x00b",), ("a", "b")),
        (("a" + "\x00" * 7 + "\x01b",), ("a", "b")),
        (("\x00" * 8,), ("", "")),
    ],
)
def test_different_lists_of_fields_have_different_keys(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert key_of(*one) != key_of(*other)


@pytest.mark.attack(118)
@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_keys_are_equal_if_and_only_if_the_fields_are(one: list[str], other: list[str]) -> None:
    assert (key_of(*one) == key_of(*other)) == (one == other)


def test_text_and_its_bytes_are_the_same_field() -> None:
    assert key_of("ä") == key_of("ä".encode())
    assert len(key_of("ä")) == 32


# What makes a token another one


def make(
    tenant: str = "tenant-a", client_id: str = "client-a", authority: str = "https://login.example"
) -> ConfidentialClient:
    return ConfidentialClient(
        authority=Authority(authority),
        tenant_id=tenant,
        client_id=client_id,
        authentication=ClientSecret("s"),
        engine=TokenEngine(),
        additionally_allowed_tenants=["*"],
    )


ASSERTION = UserAssertion(token="user-token", partition=key_of("alice"))


def key(
    *scopes: str, client: ConfidentialClient | None = None, user: UserAssertion | None = ASSERTION, **options: Any
) -> bytes:
    who = client or make()
    return who.key(who.query(scopes or ("s", "t"), **options), user)


KEYS: dict[str, Callable[[], bytes]] = {
    "base": key,
    "no user": lambda: key(user=None),
    "another user": lambda: key(user=UserAssertion(token="user-token", partition=key_of("bob"))),
    "another tenant": lambda: key(tenant_id="tenant-b"),
    "another authority": lambda: key(client=make(authority="https://login.example/x")),
    "another client": lambda: key(client=make(client_id="client-b")),
    "continuous access evaluation": lambda: key(enable_cae=True),
    "fewer scopes": lambda: key("s"),
    "other scopes": lambda: key("s", "u"),
    "joined scopes": lambda: key("st"),
    "a scope called cae": lambda: key("s", "t", "cae"),
    "client and tenant exchanged": lambda: key(client=make(tenant="client-a", client_id="tenant-a")),
}


@pytest.mark.attack(120)
@pytest.mark.peer_defect(20)
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(KEYS, 2)))
def test_every_field_changes_the_key(one: str, other: str) -> None:
    assert KEYS[one]() != KEYS[other]()


@pytest.mark.attack(119)
def test_order_and_doubles_of_scopes_do_not_change_the_key() -> None:
    assert {key("s", "t"), key("t", "s"), key("t", "s", "t")} == {key()}
    assert key("S", "t") != key(), "in another case it is another scope"


def test_the_default_tenant_and_the_same_one_by_name_share_a_key() -> None:
    assert key(tenant_id="tenant-a") == key(tenant_id=None) == key()


def test_the_token_itself_and_claims_do_not_change_the_key() -> None:
    again = UserAssertion(token="another-token", partition=key_of("alice"))
    assert key(claims="{}", user=again) == key()


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_the_quick_key_of_two_hashes_is_the_same_key(first: bytes, second: bytes) -> None:
    assert pair_key(first, second) == key_of(first, second)


# Entries


def test_an_entry_is_served_until_its_end(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now + 1)
    clock.now += 0.999
    assert entries.get("a") is not None
    clock.now += 0.001
    assert entries.get("a") is None


def ending_after(looks: int) -> ExpiringCache[str, float]:
    """Return a cache with an entry whose end comes after so many looks at the clock."""
    ticks = itertools.chain([0.0] * looks, itertools.repeat(END))
    entries: ExpiringCache[str, float] = ExpiringCache(size=3, until=lambda value: value, clock=lambda: next(ticks))
    entries.put("a", END)
    return entries


@pytest.mark.parametrize("looks", range(1, 7))
def test_an_end_that_comes_in_the_middle_of_a_look_is_no_error(looks: int) -> None:
    entries = ending_after(looks)
    assert [entries.get("a") for _ in range(6)][-1] is None


@pytest.mark.parametrize("looks", range(1, 7))
def test_an_end_that_comes_in_the_middle_of_forgetting_is_no_error(looks: int) -> None:
    entries = ending_after(looks)
    entries.discard("a")
    assert entries.get("a") is None


def test_a_value_whose_end_has_come_is_not_kept_and_removes_what_was_there(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now)
    assert (entries.get("a"), len(entries)) == (None, 0)
    entries.put("a", clock.now + 9)
    entries.put("a", clock.now)
    assert (entries.get("a"), len(entries)) == (None, 0)


def test_a_later_value_replaces_the_earlier_one(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now + 1)
    entries.put("a", clock.now + 9)
    clock.now += 5
    assert entries.get("a") == NOW + 9
    assert len(entries) == 1


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (None, None, True),
        (NOW + 5, None, True),
        (NOW + 5, NOW + 5, True),
        (NOW + 5, NOW + 1, True),  # another one, whose end has come
        (None, NOW + 1, True),
        (NOW + 5, NOW + 6, False),
        (None, NOW + 6, False),
    ],
)
def test_a_value_is_kept_unless_another_good_one_came_in_between(
    clock: Clock, before: float | None, now: float | None, kept: bool
) -> None:
    entries = cache(clock)
    if now is not None:
        entries.put("a", now)
    clock.now += 1
    entries.put_unless_changed("a", NOW + 9, now if now == before else before)
    assert (entries.get("a") == NOW + 9) is kept


@pytest.mark.attack(135)
def test_it_is_bounded_and_the_least_recently_used_go_first(clock: Clock) -> None:
    entries = cache(clock)
    for number, name in enumerate("abc"):
        entries.put(name, clock.now + 100 - number)
    entries.get("a")
    entries.put("d", clock.now + 50)
    assert [name for name in "abcd" if entries.get(name)] == ["a", "c", "d"]
    for number in range(100):
        entries.put(str(number), clock.now + 10)
    assert len(entries) == 3


@pytest.mark.attack(135)
def test_expiry_frees_room_before_anything_else_must_go(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("short", clock.now + 1)
    entries.put("long 1", clock.now + 99)
    entries.put("long 2", clock.now + 99)
    clock.now += 2
    entries.get("long 1")
    entries.put("new", clock.now + 99)
    assert all(entries.get(name) for name in ("long 1", "long 2", "new"))
    assert len(entries) == 3


def test_an_entry_replaced_by_a_shorter_lived_one_is_freed_at_its_new_end(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now + 1000)
    entries.put("a", clock.now + 10)
    for number in range(200):
        entries.put("b", clock.now + 500 + number)
    clock.now += 20
    entries.put("c", clock.now + 1)
    assert (len(entries), entries.get("a")) == (2, None)


def test_an_entry_replaced_by_a_longer_lived_one_stays(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now + 10)
    entries.put("a", clock.now + 1000)
    clock.now += 20
    entries.put("b", clock.now + 1)
    assert entries.get("a") is not None


@pytest.mark.attack(135)
def test_what_is_remembered_of_replaced_entries_is_bounded(clock: Clock) -> None:
    entries = cache(clock)
    for number in range(5000):
        entries.put(str(number % 5), clock.now + 100 + number)
    assert len(entries._ends) < 100


def test_discard_and_clear_forget(clock: Clock) -> None:
    entries = cache(clock)
    entries.put("a", clock.now + 1)
    entries.put("b", clock.now + 1)
    entries.discard("a")
    entries.discard("never there")
    assert (entries.get("a"), entries.get("b")) == (None, NOW + 1)
    entries.clear()
    assert len(entries) == 0


@pytest.mark.attack(137)
def test_a_token_is_kept_until_the_skew_before_its_end(clock: Clock) -> None:
    entries = token_cache(size=2, clock=clock)
    entries.put(b"k", ("t", int(NOW) + 60, "Bearer", None))
    clock.now = NOW + 60 - SKEW - 0.1
    assert entries.get(b"k") is not None
    clock.now = NOW + 60 - SKEW
    assert entries.get(b"k") is None
    assert SKEW == 30


def test_threads_do_not_disturb_each_other(clock: Clock) -> None:
    entries = cache(clock, size=50)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(500):
                name = str((number * seed) % 70)
                entries.put(name, clock.now + 1 + number % 3)
                entries.get(name)
                entries.discard(str(number % 70))
                assert len(entries) <= 50
        except BaseException as error:  # noqa: BLE001  # a failure in a thread is the test's
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
