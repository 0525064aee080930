"""Flask and plain WSGI under gunicorn: one worker with threads, and preloaded workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.conftest import environment_of
from tests.adapters.harness import LEAK, Canary, Served, check_problem, parse_answer
from tests.adapters.outcomes import DOWN, INVALID, MALFORMED, MISSING, NO_SCOPE, OURS, invalid, realm
from tests.adapters.servers import GunicornServer
from tests.adapters.world import World

Gunicorn = tuple[Served, GunicornServer]


@pytest.fixture
def outside(real_time_world: World) -> Iterator[World]:
    """Give the world of the apps in other processes, with counts at 0."""
    real_time_world.set_back()
    yield real_time_world
    real_time_world.set_back()


@pytest.fixture
def served(shared_gunicorn: Gunicorn) -> Served:
    return shared_gunicorn[0]


@pytest.mark.attack(117)
def test_requests_of_20_users_at_once_are_20_exchanges(served: Served, outside: World) -> None:
    each = 10 if served.kind == "flask" else 3
    names = [outside.newcomer() for _ in range(20)] * each
    tokens = {name: outside.token(name) for name in names}
    answers = served.crowd([("/me", tokens[name]) for name in names])
    assert [answer.status for answer in answers] == [200] * 20 * each
    assert [answer.json()["id"] for answer in answers] == [outside.object_id(name) for name in names]
    assert outside.entra.exchanges == 20
    assert len(outside.entra.token_requests) == 20


@pytest.mark.attack(1, 22, 85, 149)
def test_answers_under_gunicorn_are_those_of_every_server(served: Served, outside: World) -> None:
    check_problem(served.get("/me"), 401, MISSING, challenge=realm(outside))
    check_problem(served.get("/me", "an-opaque-token"), 401, INVALID, challenge=invalid(outside))
    challenge = f'{realm(outside)}, error="insufficient_scope", scope="orders.read"'
    refused = served.get("/scope", outside.token())
    check_problem(refused, 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
    check_problem(served.get("/nowhere", outside.token()), 500, OURS)
    outside.entra.throttle(retry_after=9)
    check_problem(served.get("/me", outside.token()), 503, DOWN, retry_after="9")


@pytest.mark.attack(6)
def test_a_doubled_header_is_refused_under_gunicorn(served: Served, outside: World) -> None:
    line = f"Authorization: Bearer {outside.token()}".encode()
    answer = parse_answer(served.raw(line, line))
    check_problem(answer, 400, MALFORMED, challenge=f'{realm(outside)}, error="invalid_request"')


@pytest.mark.attack(14, 16)
def test_a_doubled_slash_or_an_underscore_opens_nothing_under_gunicorn(served: Served, outside: World) -> None:
    assert parse_answer(served.raw(path=b"//public")).status == 401
    assert parse_answer(served.raw(f"Authorization_: Bearer {outside.token()}".encode())).status in (400, 401)


def test_a_refused_head_request_leaves_the_connection_in_order(served: Served, outside: World) -> None:
    answers = [served.client.head("/me"), served.client.get("/public"), served.client.head("/me")]
    assert [answer.status_code for answer in answers] == [401, 200, 401]
    assert answers[1].json() == {"user": None}


def test_a_streamed_answer_keeps_its_client_to_the_end_under_gunicorn(served: Served, outside: World) -> None:
    response = served.get("/stream", outside.token("alice"))
    assert outside.object_id("alice") in response.text.splitlines()[0]
    assert "value" in response.text.splitlines()[1]


def test_an_answer_that_has_begun_is_cut_off_under_gunicorn(served: Served, outside: World) -> None:
    line = f"Authorization: Bearer {outside.token()}".encode()
    data = served.raw(line, path=b"/late")
    assert data.count(b"HTTP/1.") == 1
    assert b"problem+json" not in data


def test_a_new_user_costs_one_request_and_no_connection_under_gunicorn(served: Served, outside: World) -> None:
    assert served.get("/me", outside.token()).status_code == 200
    outside.entra.reset_counts()
    assert served.get("/me", outside.token()).status_code == 200
    assert (outside.entra.requests_to("token"), outside.entra.connections) == (1, 0)
    assert (outside.entra.requests_to("metadata"), outside.entra.requests_to("jwks")) == (0, 0)


@pytest.mark.attack(184)
def test_no_token_or_secret_is_in_what_gunicorn_says_at_debug(shared_gunicorn: Gunicorn, outside: World) -> None:
    served, server = shared_gunicorn
    assert served.get("/me", outside.token()).status_code == 200
    assert "DEBUG" in server.said
    assert not LEAK.search(server.said)


@pytest.mark.attack(160)
def test_workers_forked_after_the_import_share_no_connection_and_no_lock(outside: World, tmp_path: Path) -> None:
    environment = environment_of(outside) | {"ADAPTERS_TOKEN": outside.token("alice")}
    output = tmp_path / "output"
    app = "tests.adapters.gunicorn_app:in_flask"
    with Served("flask", GunicornServer(app, output, environment, "--preload", workers=2, threads=4)) as preloaded:
        pids = {answer.json()["pid"] for answer in preloaded.crowd([("/pid", "unused")] * 20)}
        before = outside.entra.exchanges
        names = [outside.newcomer() for _ in range(4)] * 5
        tokens = {name: outside.token(name) for name in names}
        answers = preloaded.crowd([("/me", tokens[name]) for name in names])
        own = [answer.json()["id"] == outside.object_id(name) for name, answer in zip(names, answers, strict=True)]
        assert own == [True] * 20
        assert before == 1, "the parent's, before it forked"
        assert outside.entra.exchanges - before <= 4 * 2, "at most one for each user and worker"
        assert pids
    assert "Error" not in output.read_text()


def test_the_canary_sings(canary: Canary, outside: World) -> None:
    logging.getLogger("anything").debug("a token: %s", outside.token())
    assert len(canary.leaks) == 1
    canary.leaks.clear()
    assert canary.records > 0
