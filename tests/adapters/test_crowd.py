"""Many users at once through one process: nobody gets another's answer, and nobody's token is exchanged twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.adapters.actions import entered
from tests.adapters.conftest import Start
from tests.adapters.world import World

USERS = 20


@pytest.fixture(autouse=True)
def httpcore_says_less() -> Iterator[None]:
    """Spare 200 requests at once the twenty records that httpcore makes of each; the other tests watch those."""
    logger = logging.getLogger("httpcore")
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


# Flask has its 200 under gunicorn, in test_gunicorn.
@pytest.mark.attack(117)
@pytest.mark.parametrize(("kind", "each"), [("asgi", 3), ("fastapi", 10), ("wsgi", 5), ("flask", 5)])
def test_requests_of_20_users_at_once_are_20_exchanges_and_each_gets_their_own(
    kind: str, each: int, start: Start, world: World
) -> None:
    served = start(kind)
    names = [world.newcomer() for _ in range(USERS)] * each
    tokens = {name: world.token(name) for name in names}
    answers = served.crowd([("/me", tokens[name]) for name in names])
    assert [answer.status for answer in answers] == [200] * USERS * each
    assert [answer.json()["id"] for answer in answers] == [world.object_id(name) for name in names]
    assert world.entra.exchanges == USERS
    assert len(world.entra.token_requests) == USERS


@pytest.mark.attack(124)
def test_200_first_requests_of_one_user_to_awaitable_and_plain_endpoints_are_one_exchange(
    start: Start, world: World
) -> None:
    served = start("fastapi")
    name = world.newcomer()
    token = world.token(name)
    answers = served.crowd([("/me", token), ("/blocking-me", token)] * 100)
    assert {answer.status for answer in answers} == {200}
    assert {answer.json()["id"] for answer in answers} == {world.object_id(name)}
    assert len(world.entra.token_requests) == 1


def test_a_plain_endpoint_may_lead_and_an_awaitable_one_follow(start: Start, world: World) -> None:
    served = start("fastapi")
    token = world.token()
    with ThreadPoolExecutor(2) as pool:
        with world.clock.provider_thinks():
            leader = pool.submit(served.crowd, [("/blocking-me", token)])
            world.clock.wait_for_the_provider()
            followers = pool.submit(served.crowd, [("/me", token)] * 5)
            entered.wait_for(6)
        answers = leader.result() + followers.result()
    assert {answer.status for answer in answers} == {200}
    assert len(world.entra.token_requests) == 1


@pytest.mark.attack(117, 123)
def test_users_with_and_without_rights_at_once_get_each_their_own_outcome(
    kind: str, start: Start, world: World
) -> None:
    served = start(kind)
    happy, without, revoked = (world.newcomer() for _ in range(3))
    world.entra.require_consent(without, world.entra.api, ["User.Read"])
    token = world.token(revoked)
    world.entra.revoke(revoked, end_session=True)
    requests = [("/me", world.token(happy)), ("/me", world.token(without)), ("/me", token), ("/me", "opaque")] * 10
    statuses = [answer.status for answer in served.crowd(requests)]
    assert statuses == [200, 403, 401, 401] * 10
