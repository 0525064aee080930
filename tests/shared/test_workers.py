"""Eight workers in processes of their own over one store: crowds of new users, killed leaders, users forgotten."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from obo_middleware import OnBehalfOf
from obo_middleware.redis import RedisTokenStore
from tests.adapters.world import Clock, World, new_world
from tests.shared.applications import KEY
from tests.shared.servers import PRODUCTS, Server, eventually
from tests.shared.workers import Ask, Workers, crowd

USERS = 500
PATHS = ("/one", "/two")
LONG_LEAD, SHORT_LEAD = 60.0, 4.0
"""Seconds: longer than an exchange takes in a crowd on two cores, and what a killed leader costs the others."""
PATIENT = {"SHARED_MAX_WAIT": "3"}
"""These tests share two cores with others, whose slowness is not to be taken for the store's."""
KILLS = 2


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    with new_world(Clock()) as running:
        yield running


@pytest.fixture(scope="module", params=PRODUCTS, ids=lambda product: product.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def workers(outside: World, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder: Path = tmp_path_factory.mktemp("workers")
    variables = {"OBO_CACHE_KEYS": KEY.text, **PATIENT}
    with Workers(outside, server.url, folder, lead_seconds=LONG_LEAD, **variables) as running:
        running.wait()
        yield running


@pytest.fixture
def world(outside: World) -> Iterator[World]:
    outside.set_back()
    yield outside
    outside.set_back()


@pytest.mark.attack(117, 124, 135)
def test_a_crowd_of_new_users_over_eight_workers_is_one_exchange_for_each_user_and_scope(
    workers: Workers, world: World
) -> None:
    names = [world.newcomer() for _ in range(USERS)]
    tokens = {name: world.token(name) for name in names}
    asks = [
        (name, Ask(address, path, tokens[name])) for name in names for path in PATHS for address in workers.addresses
    ]
    random.Random(5).shuffle(asks)  # noqa: S311  # an order, and no secret
    answers = crowd([ask for _, ask in asks], at_once=200)
    assert [answer["user"] for answer in answers] == [world.object_id(name) for name, _ in asks]
    # One that is late is sent again under the same id: by a busy machine, and not by a second worker.
    made = {request.headers["client-request-id"] for request in world.entra.token_requests}
    assert len(made) == USERS * len(PATHS), stores(workers)
    assert len({answer["pid"] for answer in answers}) == 8


def stores(workers: Workers) -> list[Any]:
    """Return what became of the store's operations in each worker."""
    said = crowd([Ask(address, "/pid") for address in workers.addresses] * 16)
    return list({answer["pid"]: answer["store"] for answer in said}.values())


def leaders(server: Server) -> list[int]:
    """Return the processes that lead now: a lead is named after its owner."""
    owners = [server.ask("GET", key) for key in server.ask("KEYS", "obo:*:l:*")]
    return [int(owner.partition(b".")[0]) for owner in owners if owner]


@pytest.mark.attack(125)
def test_a_leader_that_is_killed_costs_one_exchange_and_its_lead(world: World, server: Server, tmp_path: Path) -> None:
    variables = {"OBO_CACHE_KEYS": KEY.text, **PATIENT}
    with (
        Workers(world, server.url, tmp_path, lead_seconds=SHORT_LEAD, kinds=["uvicorn"], **variables) as workers,
        ThreadPoolExecutor(1) as thread,
    ):
        workers.wait()
        for _ in range(KILLS):
            world.entra.reset_counts()
            world.entra.think_time = 1.0
            name = world.newcomer()
            asks = [Ask(address, "/one", world.token(name)) for address in workers.addresses] * 16
            answers = thread.submit(crowd, asks)
            eventually(lambda: world.entra.requests_to("token") == 1 and leaders(server))
            (leader,) = leaders(server)
            os.kill(leader, signal.SIGKILL)
            assert {answer["user"] for answer in answers.result()} == {world.object_id(name)}
            assert len(world.entra.token_requests) <= 2
            assert leader not in {answer["pid"] for answer in answers.result()}


def test_who_is_forgotten_is_forgotten_by_every_worker_in_less_than_a_second(
    workers: Workers, world: World, server: Server
) -> None:
    name = world.newcomer()
    token = world.token(name)
    asks = [Ask(address, "/one", token) for address in workers.addresses] * 16

    def kept() -> set[Any]:
        return {answer["tokens"] for answer in crowd([Ask(address, "/pid") for address in workers.addresses] * 16)}

    crowd(asks)
    with OnBehalfOf(world.settings(token_store=RedisTokenStore(server.url, keys=[KEY]))) as obo:
        obo.forget_all_blocking()
        pause = threading.Event()
        for _ in range(20):
            if kept() == {0}:
                break
            pause.wait(0.05)
        assert kept() == {0}
    world.entra.reset_counts()
    crowd(asks)
    assert world.entra.exchanges == 1
