from __future__ import annotations

import httpx
import pytest

from obo_middleware.testing import LocalEntra, LocalGraph
from tests.testing.kit import as_itself, decoded, error_of, get, graph_token


def test_a_challenge_is_given_so_many_times(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    alice, bob = graph_token(entra, http), graph_token(entra, http, "bob")
    graph.challenge("alice", times=2)
    graph.challenge("alice", {"access_token": {"nbf": {"value": "1"}}})
    assert get(graph, http, "me", bob).status_code == 200
    answers = [get(graph, http, "me", alice) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
    encoded = [a.headers["www-authenticate"].split('claims="')[1].rstrip('"') for a in answers[:3]]
    assert decoded(encoded[0]) == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
    assert decoded(encoded[2]) == {"access_token": {"nbf": {"value": "1"}}}


def test_a_challenge_can_be_given_for_ever(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http)
    graph.challenge(entra.alice, times=None)
    assert {get(graph, http, "me", token).status_code for _ in range(5)} == {401}
    graph.forget_faults()
    assert get(graph, http, "me", token).status_code == 200


def test_a_token_can_be_called_expired(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http)
    graph.expire("alice")
    response = get(graph, http, "me", token)
    assert "expired" in response.json()["error"]["message"]
    assert "claims" not in response.headers["www-authenticate"]
    assert get(graph, http, "me", token).status_code == 200


def test_an_outage_can_be_had(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http)
    graph.outage(retry_after=3, times=1)
    response = get(graph, http, "me", token)
    assert error_of(response) == (503, "serviceNotAvailable")
    assert response.headers["retry-after"] == "3"
    graph.answer_once(200, {"Content-Type": "text/plain"}, b"hello")
    assert get(graph, http, "me", token).text == "hello"
    graph.drop_connections(times=1)
    with pytest.raises(httpx.TransportError):
        get(graph, http, "me", token)
    assert get(graph, http, "me", token).status_code == 200
    assert [request.status for request in graph.requests] == [503, 200, 0, 200]


def test_it_thinks_as_long_as_it_is_told(entra: LocalEntra, http: httpx.Client) -> None:
    with LocalGraph(entra, think_time=0.01) as graph:
        assert graph.think_time == 0.01
        graph.think_time = 0.02
        response = get(graph, http, "me", graph_token(entra, http))
        assert response.elapsed.total_seconds() >= 0.02


def test_requests_are_recorded(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    get(graph, http, "me", graph_token(entra, http))
    get(graph, http, "users", as_itself(entra, http))
    get(graph, http, "me", "opaque")
    seen = [(one.method, one.path, one.status, one.user, one.client_id) for one in graph.requests]
    assert seen == [
        ("GET", "/v1.0/me", 200, entra.alice.object_id, entra.api.client_id),
        ("GET", "/v1.0/users", 200, None, entra.api.client_id),
        ("GET", "/v1.0/me", 401, None, None),
    ]
    assert graph.connections == 1
    graph.reset_counts()
    assert (graph.requests, graph.connections) == ([], 0)


def test_a_challenged_user_is_recorded(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    graph.challenge("alice")
    get(graph, http, "me", graph_token(entra, http))
    assert [(one.status, one.user) for one in graph.requests] == [(401, entra.alice.object_id)]
