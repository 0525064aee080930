from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from obo_middleware._context import AsyncContext
from obo_middleware._validation import Validated
from tests.core.faces import Face
from tests.core.hostile import Answer, Asked
from tests.core.kit import claims_of

USERS = ["u0", "u1", "u2", "u3", "u4"]
CALLS = 50


def echo(asked: Asked) -> Answer:
    """Tell the caller whose token and whose cookies came."""
    token = asked.headers["authorization"].removeprefix("Bearer ")
    who = claims_of(token)["oid"]
    body = json.dumps({"user": who, "cookie": asked.headers.get("cookie")}).encode()
    return Answer(body=body, headers=[("Set-Cookie", f"session={who}; Path=/")])


@pytest.mark.attack(171)
def test_cookies_do_not_cross_from_one_user_to_another(face: Face) -> None:
    face.server.say("/v1/me", echo)
    alice = face.context("alice")
    seen = [face.call(context, "/me").json() for context in (alice, alice, face.context("bob"), face.context("alice"))]
    cookie = f"session={face.entra.alice.object_id}"
    assert [one["cookie"] for one in seen] == [None, cookie, None, None]


@pytest.mark.attack(171)
def test_cookies_do_not_cross_from_the_user_to_the_application(face: Face) -> None:
    face.server.say("/v1/me", echo)
    context = face.context("alice")
    face.call(context, "/me")
    assert face.call(context, "/me", as_app=True).json()["cookie"] is None


@pytest.mark.attack(170)
def test_nothing_of_the_incoming_request_is_sent(face: Face) -> None:
    face.get()
    sent = set(face.server.asked[0].headers)
    assert sent <= {"accept", "accept-encoding", "authorization", "connection", "host", "user-agent"}


def test_a_closed_client_leaves_everybody_elses_connections_open(face: Face) -> None:
    first, second = face.context("alice"), face.context("bob")
    if face.blocking:
        with first.blocking_client("api") as client:
            assert client.get("/me").status_code == 200
        first.blocking_client("api").close()
        with second.blocking_client("api") as other:
            assert other.get("/me").status_code == 200
    else:

        async def both() -> None:
            async with first.client("api") as client:
                assert (await client.get("/me")).status_code == 200
            await first.client("api").aclose()
            async with second.client("api") as other:
                assert (await other.get("/me")).status_code == 200

        face.run(both)
    assert len(face.server.asked) == 2
    assert face.server.connections == 1, "the second user found the first one's connection open"


def in_threads(face: Face, valid: list[Validated]) -> list[str]:
    def one(who: Validated) -> str:
        return str(AsyncContext(face.runtime, who).blocking_client("api").get("/me").json()["user"])

    with ThreadPoolExecutor(len(valid)) as executor:
        return list(executor.map(one, valid))


def in_tasks(face: Face, valid: list[Validated]) -> list[str]:
    async def one(who: Validated) -> str:
        return str((await AsyncContext(face.runtime, who).client("api").get("/me")).json()["user"])

    async def main() -> list[str]:
        return list(await asyncio.gather(*map(one, valid)))

    return face.run(main)


@pytest.mark.attack(117)
def test_each_of_many_users_at_the_same_time_gets_their_own_data(face: Face) -> None:
    face.server.say("/v1/me", echo)
    ids = {name: face.entra.add_user(name).object_id for name in USERS}
    valid = {name: face.valid(name) for name in USERS}
    names = [USERS[number % len(USERS)] for number in range(CALLS)]
    seen = (in_threads if face.blocking else in_tasks)(face, [valid[name] for name in names])
    assert seen == [ids[name] for name in names]
    assert face.entra.exchanges == len(USERS)


def test_blocking_and_awaitable_clients_share_their_tokens(face: Face) -> None:
    face.server.say("/v1/me", echo)
    context = face.context("alice")
    face.call(context, "/me")
    face.blocking = not face.blocking
    face.call(context, "/me")
    assert face.entra.exchanges == 1
    assert len(set(face.tokens)) == 1
