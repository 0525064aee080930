from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from credentials.kernel import Flow, HttpResponse, TransportError
from obo_middleware._discovery import entra_place
from obo_middleware._keys import SigningKey
from obo_middleware._metadata import (
    COOL_DOWN,
    FAILURE_KEPT,
    KEYS_LIVE,
    LONG_COOL_DOWN,
)
from obo_middleware.errors import ConfigurationError, UpstreamUnavailableError
from tests.core.issuer_bench import HOST, Bench, Provider, rs256
from tests.core.kit import NOW, TENANT, Clock, no_answer, nothing


def test_the_first_look_fetches_metadata_and_keys_once() -> None:
    bench = Bench("a", "b")
    assert bench.issuer.metadata is None
    assert bench.has("a")
    assert bench.provider.asked == [f"{HOST}/{TENANT}/v2.0/.well-known/openid-configuration", f"{HOST}/keys"]
    assert bench.key("b", no_answer).value().kid == "b"
    assert bench.changes == 0


def test_version_1_has_a_discovery_document_of_its_own() -> None:
    assert entra_place(HOST, TENANT, "1.0").urls == (f"{HOST}/{TENANT}/.well-known/openid-configuration",)


@pytest.mark.attack(105)
def test_a_new_kid_is_found_by_one_more_fetch() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    assert bench.has("b")
    assert (bench.provider.fetches, bench.changes) == (2, 1)


@pytest.mark.attack(102, 103)
def test_a_flood_of_unknown_kids_costs_one_fetch_in_each_cool_down() -> None:
    bench = Bench("a")
    bench.has("a")
    for number in range(1000):
        assert not bench.has(f"random-{number}")
        assert bench.has("a")
    assert bench.provider.fetches == 2
    bench.clock.now += LONG_COOL_DOWN - 1
    assert bench.key("random", no_answer).value() is None
    bench.clock.now += 1
    for number in range(1000):
        assert not bench.has(f"random-{number}")
    assert bench.provider.fetches == 3
    assert bench.changes == 0


def test_after_a_fetch_that_helped_the_next_may_come_soon() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    bench.has("b")
    bench.provider.kids = ["a", "b", "c"]
    bench.clock.now += COOL_DOWN - 1
    assert not bench.has("c")
    bench.clock.now += 1
    assert bench.has("c")


@pytest.mark.attack(106)
def test_a_withdrawn_key_is_refused_no_later_than_the_keys_lifetime() -> None:
    bench = Bench("a", "b")
    bench.has("a")
    bench.provider.kids = ["b"]
    bench.clock.now = NOW + KEYS_LIVE
    assert bench.key("a", no_answer).value().kid == "a"
    bench.clock.now += 0.5
    assert not bench.has("a")
    assert bench.changes == 1


def test_old_keys_that_are_still_published_stay() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.clock.now = NOW + KEYS_LIVE + 1
    assert bench.has("a")
    assert (bench.provider.fetches, bench.changes) == (2, 0)
    assert bench.key("a", no_answer).value().kid == "a"


OUTAGES: list[Exception | HttpResponse] = [
    TransportError("ConnectError"),
    HttpResponse(status=503, headers={}, body=b""),
    HttpResponse(status=302, headers={"location": f"{HOST}/keys"}, body=b"{}"),
    HttpResponse(status=200, headers={}, body=b"<html>"),
    HttpResponse(status=200, headers={}, body=b'{"keys":[]}'),  # as discovery document: wrong; as keys: none
]


@pytest.mark.attack(107, 109)
@pytest.mark.parametrize("failure", OUTAGES, ids=str)
def test_an_outage_costs_nobody_the_keys_that_are_known(failure: Exception | HttpResponse) -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.failure = failure
    assert not bench.has("unknown")
    assert bench.has("a")
    bench.clock.now = NOW + 3 * KEYS_LIVE
    assert bench.has("a")
    asked = len(bench.provider.asked)
    assert bench.has("a")
    assert len(bench.provider.asked) == asked, "while the provider is down it is asked once in a cool-down"
    bench.provider.failure = None
    bench.provider.kids = ["b"]
    bench.clock.now += COOL_DOWN
    assert bench.has("b")
    assert not bench.has("a")


@pytest.mark.attack(108)
@pytest.mark.parametrize("failure", OUTAGES[:-1], ids=str)
def test_an_outage_without_keys_is_answered_at_once_for_a_moment(failure: Exception | HttpResponse) -> None:
    bench = Bench("a")
    bench.provider.failure = failure
    assert isinstance(bench.key("a").error, UpstreamUnavailableError)
    bench.provider.failure = None
    bench.clock.now += FAILURE_KEPT - 1
    assert isinstance(bench.key("a", no_answer).error, UpstreamUnavailableError)
    bench.clock.now += 1
    assert bench.has("a")


def test_an_outage_without_keys_says_when_to_come_back() -> None:
    bench = Bench("a")
    bench.provider.failure = TransportError("down")
    error = bench.key("a").error
    assert isinstance(error, UpstreamUnavailableError)
    assert error.retry_after == FAILURE_KEPT


@pytest.mark.attack(109)
def test_a_key_set_without_usable_keys_is_an_outage() -> None:
    bench = Bench()
    error = bench.key("a").error
    assert isinstance(error, UpstreamUnavailableError)
    assert "no usable signing key" in str(error)
    assert bench.issuer.metadata is None


@pytest.mark.attack(112)
def test_metadata_of_another_tenant_is_a_wrong_setting_and_not_kept() -> None:
    bench = Bench("a")
    body = json.dumps({"issuer": "https://evil.example/x/v2.0", "jwks_uri": f"{HOST}/keys"}).encode()
    bench.provider.failure = HttpResponse(status=200, headers={}, body=body)
    played = bench.key("a")
    assert isinstance(played.error, ConfigurationError)
    assert len(played.effects) == 1, "the key set of wrong metadata is not fetched"
    assert bench.issuer.metadata is None
    again = bench.key("a", no_answer).error
    assert isinstance(again, ConfigurationError)
    assert again is not played.error, "each caller has an error with a traceback of its own"
    bench.provider.failure = None
    bench.clock.now += FAILURE_KEPT
    assert bench.has("a")


@pytest.mark.parametrize("back", [1.0, LONG_COOL_DOWN + 1, 10 * KEYS_LIVE])
def test_a_clock_that_is_set_back_does_not_stop_renewals_for_long(back: float) -> None:
    bench = Bench("a")
    bench.has("a")
    bench.has("unknown")
    bench.clock.now -= back
    bench.provider.kids = ["b"]
    for _ in range(int(2 * LONG_COOL_DOWN / COOL_DOWN)):
        bench.clock.now += COOL_DOWN
        bench.has("b")
    assert bench.has("b")


def test_keys_that_were_fetched_in_the_future_are_fetched_again() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["b"]
    bench.clock.now -= 1
    assert not bench.has("a")


def test_a_failure_before_the_first_keys_is_not_told_once_there_are_some() -> None:
    bench = Bench("a")
    bench.provider.failure = TransportError("down")
    assert bench.key("a").error is not None
    bench.provider.failure = None
    bench.clock.now += FAILURE_KEPT
    assert bench.has("a")
    assert not bench.has("unknown")
    assert bench.has("a")


def start(flow: Flow[SigningKey | None]) -> tuple[Generator[Any, Any, SigningKey | None], Any]:
    return flow, next(flow)


def finish(flow: Generator[Any, Any, SigningKey | None], effect: Any, provider: Provider) -> SigningKey | None:
    """Play a flow that has begun to its end."""
    try:
        while True:
            effect = flow.send(provider(effect))
    except StopIteration as stop:
        key: SigningKey | None = stop.value
        return key


@pytest.mark.attack(104)
def test_whoever_asks_during_a_fetch_waits_for_it() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, request = start(bench.issuer.key_flow(rs256("b")))
    follower, wait = start(bench.issuer.key_flow(rs256("b")))
    assert type(wait).__name__ == "WaitFor"
    assert finish(leader, request, bench.provider) is not None
    with pytest.raises(StopIteration) as stop:
        follower.send(None)
    assert stop.value.value.kid == "b"
    assert bench.provider.fetches == 2


def test_a_known_key_serves_while_somebody_fetches_it_anew() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.clock.now += KEYS_LIVE + 1
    leader, request = start(bench.issuer.key_flow(rs256("a")))
    assert bench.key("a", no_answer).value().kid == "a"
    assert finish(leader, request, bench.provider) is not None


def test_a_fetch_that_ends_between_two_looks_still_counts() -> None:
    clock = Clock()
    hooks: list[Callable[[], object]] = []

    def ticking() -> float:
        while hooks:
            hooks.pop()()
        return clock()

    bench = Bench("a", clock=ticking)
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, request = start(bench.issuer.key_flow(rs256("b")))
    hooks.append(lambda: finish(leader, request, bench.provider))
    assert bench.key("b", no_answer).value().kid == "b"


def test_a_fetch_that_comes_and_goes_between_two_looks_is_not_made_again() -> None:
    clock = Clock()
    hooks: list[Callable[[], object]] = []

    def ticking() -> float:
        if hooks:
            hooks.pop()()
        return clock()

    bench = Bench("a", clock=ticking)
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    hooks += [lambda: bench.has("b"), nothing]
    assert bench.key("b", no_answer).value().kid == "b"
    assert bench.provider.fetches == 2


def test_a_leader_who_leaves_lets_another_one_fetch() -> None:
    bench = Bench("a")
    bench.has("a")
    bench.provider.kids = ["a", "b"]
    leader, _request = start(bench.issuer.key_flow(rs256("b")))
    follower, _wait = start(bench.issuer.key_flow(rs256("b")))
    leader.close()
    key = finish(follower, follower.send(None), bench.provider)
    assert key is not None
    assert key.kid == "b"
