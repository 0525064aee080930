"""Long-running sessions over a real store: started in one process, resumed in others, renewed by one at a time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from obo_middleware import DownstreamApi, OnBehalfOf, Session
from obo_middleware._context import AsyncContext
from obo_middleware.errors import SessionEndedError
from tests.adapters.conftest import environment_of
from tests.adapters.servers import ROOT
from tests.adapters.world import GRAPH_SCOPES, World
from tests.shared.applications import (
    KEY,
    NEXT_KEY,
    Make,
    admitted,
    make,
    outside,
    server,
    started,
    whose,
    whose_awaitable,
    world,
)
from tests.shared.servers import Server

__all__ = ["make", "outside", "server", "world"]

DAY = 86_400.0


async def ended_awaitable(obo: OnBehalfOf, session: Session) -> None:
    await obo.end_session(session.id)
    await obo.runtime.store.aclose()  # type: ignore[union-attr]  # there is one


def test_a_session_is_resumed_three_days_after_its_request_and_token_are_gone(make: Make, world: World) -> None:
    session = started(make(), world.token("alice", lifetime=3_600))
    world.clock.advance(3 * DAY)
    context = make().resume_session_blocking(session.id)
    assert context.user is not None
    assert context.user.object_id == world.object_id("alice")
    assert context.user.scopes == {"access_as_user"}
    assert context.user.expires_on == int(session.expires_on)
    assert context.client("graph").get("/me").json()["id"] == world.object_id("alice")
    assert context.credential.get_token("https://graph.microsoft.com/User.Read").token
    assert world.entra.exchanges == 1, "the one that started it"


def test_an_awaitable_worker_resumes_what_an_awaitable_route_started(make: Make, world: World) -> None:
    async def main() -> str:
        obo = make()
        context = AsyncContext(obo.runtime, admitted(obo, world.token("bob")))
        session = await context.start_session("graph", lifetime=3_600)
        context.end()
        await obo.aclose()
        return await whose_awaitable(make(), session)

    assert asyncio.run(main()) == world.object_id("bob")


def test_a_plain_function_in_an_awaitable_app_starts_one_too(make: Make, world: World) -> None:
    obo = make()
    session = AsyncContext(obo.runtime, admitted(obo, world.token("alice"))).start_session_blocking()
    assert whose(make(), session) == world.object_id("alice")


def test_another_process_resumes_it(make: Make, world: World, server: Server) -> None:
    session = started(make(), world.token("alice"))
    world.clock.advance(3 * DAY)
    variables = {"SHARED_STORE": server.url, "OBO_CACHE_KEYS": KEY.text}
    done = subprocess.run(
        [sys.executable, "-m", "tests.shared.session_worker", session.id, "3"],
        cwd=ROOT,
        env={**os.environ, **environment_of(world), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == (world.object_id("alice"), 0), done.stderr


def test_two_workers_that_resume_at_once_redeem_the_refresh_token_once(make: Make, world: World) -> None:
    session = started(make(), world.token("alice"))
    workers = [make() for _ in range(4)]
    world.entra.reset_counts()
    world.entra.think_time = 0.2
    try:
        with ThreadPoolExecutor(4) as threads:
            blocking = [threads.submit(whose, worker, session) for worker in workers[:2]]
            awaitable = [threads.submit(asyncio.run, whose_awaitable(worker, session)) for worker in workers[2:]]
            answers = {done.result() for done in blocking + awaitable}
    finally:
        world.entra.think_time = 0
    assert answers == {world.object_id("alice")}
    assert len(world.entra.token_requests) == 1


def test_workers_that_want_different_scopes_at_once_redeem_one_after_the_other(make: Make, world: World) -> None:
    names = {"graph": GRAPH_SCOPES, "profile": ("User.Read",), "mail": ("Mail.Read",)}
    apis = {name: DownstreamApi(world.graph.base_url, scopes=list(scopes)) for name, scopes in names.items()}
    session = started(make(downstream_apis=apis), world.token("alice"))
    world.entra.reset_counts()

    def asked(name: str) -> int:
        context = make(downstream_apis=apis).resume_session_blocking(session.id)
        return context.client(name).get("/me").status_code

    with ThreadPoolExecutor(3) as threads:
        assert set(threads.map(asked, ["graph", "profile", "mail"])) <= {200, 403}
    assert len(world.entra.token_requests) == 3
    assert [request.status for request in world.entra.token_requests] == [200] * 3


def test_a_session_goes_on_with_each_new_refresh_token(make: Make, world: World) -> None:
    session = started(make(), world.token("alice"))
    for _ in range(3):
        world.clock.advance(DAY)
        assert whose(make(), session) == world.object_id("alice")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_ended_session_is_over_for_every_worker(make: Make, world: World, elsewhere: bool) -> None:
    obo = make()
    session = started(obo, world.token("alice"))
    ending = make() if elsewhere else obo
    ending.end_session_blocking(session.id)
    ending.end_session_blocking(session.id)
    asyncio.run(ended_awaitable(ending, session))
    for worker in (obo, make()):
        with pytest.raises(SessionEndedError, match="no such session"):
            worker.resume_session_blocking(session.id)


def test_a_session_that_the_provider_revoked_is_over(make: Make, world: World, server: Server) -> None:
    name = world.newcomer()
    session = started(make(), world.token(name))
    world.entra.revoke(name, end_session=True)
    context = make().resume_session_blocking(session.id)
    with pytest.raises(SessionEndedError, match="does not renew"):
        context.client("graph").get("/me")
    with pytest.raises(SessionEndedError, match="no such session"):
        make().resume_session_blocking(session.id)


def test_a_session_ends_with_its_absolute_lifetime(make: Make, world: World) -> None:
    obo = make()
    session = started(obo, world.token("alice"), lifetime=DAY)
    world.clock.advance(DAY - 10)
    context = obo.resume_session_blocking(session.id)
    assert context.client("graph").get("/me").status_code == 200
    world.clock.advance(11)
    with pytest.raises(SessionEndedError):
        obo.resume_session_blocking(session.id)
    with pytest.raises(Exception, match="expired"):
        context.client("graph").get("/me")


def test_forgetting_a_user_ends_their_sessions_and_nobody_elses(make: Make, world: World) -> None:
    obo = make()
    alices, bobs = (started(obo, world.token(name)) for name in ("alice", "bob"))
    obo.forget_blocking(admitted(obo, world.token("alice")).user)
    with pytest.raises(SessionEndedError):
        make().resume_session_blocking(alices.id)
    assert whose(make(), bobs) == world.object_id("bob")


def test_forgetting_all_tokens_leaves_sessions(make: Make, world: World) -> None:
    obo = make()
    session = started(obo, world.token("alice"))
    assert whose(obo, session) == world.object_id("alice")
    obo.forget_all_blocking()
    assert whose(make(), session) == world.object_id("alice")


def test_an_id_of_another_applications_key_is_no_session(make: Make, world: World) -> None:
    session = started(make(), world.token("alice"))
    with pytest.raises(SessionEndedError, match="not the id"):
        make(NEXT_KEY).resume_session_blocking(session.id)


def test_a_session_outlives_the_key_that_it_was_sealed_with(make: Make, world: World) -> None:
    session = started(make(KEY), world.token("alice"))
    assert whose(make(NEXT_KEY, KEY), session) == world.object_id("alice")
    world.clock.advance(DAY)
    assert whose(make(NEXT_KEY, KEY), session) == world.object_id("alice")
    with pytest.raises(SessionEndedError):  # it moved to the new key, so that the old one may go
        make(KEY).resume_session_blocking(session.id)


@pytest.mark.attack(134, 157)
def test_a_refresh_token_is_nowhere_but_sealed_in_the_store(make: Make, world: World, server: Server) -> None:
    session = started(make(), world.token("alice"))
    tokens = list(world.entra._state.refresh_tokens)
    everything = b"".join(server.ask("DUMP", key) for key in server.ask("KEYS", "*"))
    for text in (*tokens, world.object_id("alice"), world.entra.tenant_id, session.id):
        assert text.encode() not in everything
    assert session.id not in repr(session)
    assert str(session) == session.id
