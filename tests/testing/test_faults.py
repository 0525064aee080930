from __future__ import annotations

import threading
import time

import httpx
import pytest

from obo_middleware.testing import LocalEntra
from tests.testing.kit import ask, client_credentials_form, exchange, refusal, token_url


def test_throttling_says_when_to_come_again(entra: LocalEntra, http: httpx.Client) -> None:
    entra.throttle(retry_after=7)
    response = ask(entra, http, client_credentials_form(entra))
    assert response.headers["retry-after"] == "7"
    assert refusal(response) == (429, "temporarily_unavailable", 90055)


def test_a_fault_ends_after_its_times(entra: LocalEntra, http: httpx.Client) -> None:
    entra.throttle(times=2)
    form = client_credentials_form(entra)
    assert [ask(entra, http, form).status_code for _ in range(3)] == [429, 429, 200]


def test_a_fault_ends_when_it_is_forgotten(entra: LocalEntra, http: httpx.Client) -> None:
    entra.outage()
    form = client_credentials_form(entra)
    response = ask(entra, http, form)
    assert refusal(response) == (503, "temporarily_unavailable", 90033)
    assert "retry-after" not in response.headers
    entra.forget_faults()
    assert ask(entra, http, form).status_code == 200


def test_an_outage_meets_the_endpoints_it_names(entra: LocalEntra, http: httpx.Client) -> None:
    entra.outage(500, endpoints=("metadata", "jwks"))
    paths = ("v2.0/.well-known/openid-configuration", "discovery/v2.0/keys", "discovery/instance")
    answers = [http.get(f"{entra.authority}/common/{path}").status_code for path in paths]
    assert answers == [500, 500, 400]
    assert ask(entra, http, client_credentials_form(entra)).status_code == 200


@pytest.mark.parametrize("endpoint", ["token", "jwks"])
def test_connections_can_be_dropped(entra: LocalEntra, http: httpx.Client, endpoint: str) -> None:
    entra.drop_connections(endpoints=(endpoint,), times=1)
    url = token_url(entra) if endpoint == "token" else f"{entra.authority}/common/discovery/keys"
    method = "POST" if endpoint == "token" else "GET"
    with pytest.raises(httpx.TransportError):
        http.request(method, url)
    assert http.request(method, url).status_code in (200, 400)


def test_dropped_token_requests_are_recorded(entra: LocalEntra, http: httpx.Client) -> None:
    entra.drop_connections()
    with pytest.raises(httpx.TransportError):
        ask(entra, http, client_credentials_form(entra))
    assert [request.status for request in entra.token_requests] == [0]


@pytest.mark.parametrize("endpoint", ["token", "metadata"])
def test_any_bytes_can_be_the_answer(entra: LocalEntra, http: httpx.Client, endpoint: str) -> None:
    entra.answer_once(200, {"Content-Type": "text/html", "X-Odd": "1"}, b"<p>" * 100_000, endpoint=endpoint)
    urls = {"token": token_url(entra), "metadata": f"{entra.authority}/common/.well-known/openid-configuration"}
    method = "POST" if endpoint == "token" else "GET"
    response = http.request(method, urls[endpoint])
    assert (response.headers["x-odd"], len(response.content)) == ("1", 300_000)


def test_the_latest_fault_comes_first(entra: LocalEntra, http: httpx.Client) -> None:
    entra.outage()
    entra.answer_once(302, {"Location": "https://elsewhere.example"})
    form = client_credentials_form(entra)
    assert [ask(entra, http, form).status_code for _ in range(2)] == [302, 503]


def test_the_token_endpoint_thinks_without_holding_others_up(entra: LocalEntra, http: httpx.Client) -> None:
    entra.think_time = 0.05
    assert entra.think_time == 0.05
    started = time.monotonic()
    threads = [threading.Thread(target=exchange, args=(entra, http, entra.sign_in("alice"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entra.exchanges == 10
    assert time.monotonic() - started >= 0.05
    entra.forget_faults()
    assert entra.think_time == 0


def test_a_thinking_provider_stops_at_once(http: httpx.Client) -> None:
    with LocalEntra(think_time=3600) as entra:
        form, url = client_credentials_form(entra), token_url(entra)
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(http.post(url, data=form).status_code))
        thread.start()
        while not entra.requests_to("token"):
            time.sleep(0.001)
    thread.join()
    assert answers == [200]


# Records


def test_token_requests_are_recorded(entra: LocalEntra, http: httpx.Client) -> None:
    http.headers["X-Mine"] = "1"
    ask(entra, http, client_credentials_form(entra))
    exchange(entra, http, "opaque")
    good, bad = entra.token_requests
    assert (good.tenant, good.grant_type, good.status) == (entra.tenant_id, "client_credentials", 200)
    assert (good.error, good.error_code) == (None, None)
    assert (bad.status, bad.error, bad.error_code) == (400, "invalid_grant", 50013)
    assert bad.form["assertion"] == "opaque"
    assert bad.headers["x-mine"] == "1"
    assert entra.api.secret not in repr(bad)


def test_only_exchanges_that_succeed_are_counted(entra: LocalEntra, http: httpx.Client) -> None:
    exchange(entra, http, "opaque")
    exchange(entra, http, entra.sign_in("alice"))
    ask(entra, http, client_credentials_form(entra))
    assert (entra.exchanges, entra.requests_to("token")) == (1, 3)


def test_requests_are_counted_by_endpoint(entra: LocalEntra, http: httpx.Client) -> None:
    http.get(f"{entra.authority}/common/discovery/keys")
    http.get(f"{entra.authority}/common/discovery/v2.0/keys")
    http.get(f"{entra.authority}/common/.well-known/openid-configuration")
    assert (entra.requests_to("jwks"), entra.requests_to("metadata"), entra.requests_to("token")) == (2, 1, 0)
    with pytest.raises(ValueError, match="keys"):
        entra.requests_to("keys")


def test_connections_are_counted(entra: LocalEntra, http: httpx.Client) -> None:
    for _ in range(3):
        ask(entra, http, client_credentials_form(entra))
    assert entra.connections == 1
    http.get(f"{entra.authority}/common/discovery/keys", headers={"Connection": "close"})
    http.get(f"{entra.authority}/common/discovery/keys")
    assert entra.connections == 2
    entra.reset_counts()
    ask(entra, http, client_credentials_form(entra))
    assert (entra.connections, entra.requests_to("token"), len(entra.token_requests)) == (0, 1, 1)


# For other processes


def test_another_process_can_sign_in_and_count(entra: LocalEntra, http: httpx.Client) -> None:
    with httpx.Client() as other:
        signed_in = other.post(f"{entra.authority}/_local/sign-in", json={"user": "bob"}).json()
        assert signed_in["token_type"] == "Bearer"
        exchange(entra, http, signed_in["access_token"])
        stats = other.get(f"{entra.authority}/_local/stats").json()
        assert stats == {"exchanges": 1, "token_requests": 1, "connections": 1, "requests": {"token": 1}}
        assert other.post(f"{entra.authority}/_local/reset").status_code == 204
        stats = other.get(f"{entra.authority}/_local/stats").json()
    assert stats == {"exchanges": 0, "token_requests": 0, "connections": 0, "requests": {}}


@pytest.mark.parametrize("body", ["no", "{}", "[]", '{"user": "mallory"}', '{"user": "bob", "scopes": 1}'])
def test_a_bad_sign_in_is_answered_with_the_reason(entra: LocalEntra, http: httpx.Client, body: str) -> None:
    response = http.post(f"{entra.authority}/_local/sign-in", content=body)
    assert response.status_code == 400
    assert response.json()["error"]
