"""How long a user's context lives in FastAPI and Starlette, behind uvicorn: as long as its request, and no longer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from obo_middleware import DownstreamApi, OnBehalfOf
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.fastapi import CurrentContext, CurrentUser, downstream
from tests.adapters.harness import bearer
from tests.adapters.servers import UvicornServer
from tests.adapters.world import PATIENCE, World
from tests.frameworks.lifetimes_site import TASKS, Endless, Site, blocking_name_of, name_of, refuses, serve

Graph = Annotated[httpx.AsyncClient, downstream("graph")]
BlockingGraph = Annotated[httpx.Client, downstream("graph", blocking=True)]


# Plain functions, coroutines, dependencies of routers


def test_endpoints_and_dependencies_of_both_kinds_have_the_clients_of_their_user(world: World) -> None:
    seen: list[tuple[str, str, str]] = []

    async def around(graph: Graph, user: CurrentUser) -> AsyncIterator[None]:
        seen.append(("async before", user.object_id, await name_of(graph)))
        yield
        seen.append(("async after", user.object_id, await name_of(graph)))

    def blocking_around(graph: BlockingGraph, user: CurrentUser) -> Iterator[None]:
        seen.append(("def before", user.object_id, blocking_name_of(graph)))
        yield
        seen.append(("def after", user.object_id, blocking_name_of(graph)))

    router = APIRouter(prefix="/within", dependencies=[Depends(around), Depends(blocking_around)])

    @router.get("/async")
    async def of_a_coroutine(graph: Graph) -> str:
        return await name_of(graph)

    @router.get("/def")
    def of_a_function(graph: BlockingGraph) -> str:
        return blocking_name_of(graph)

    app = FastAPI()
    app.include_router(router)
    users = [world.newcomer() for _ in range(4)]
    asked = [(path, user) for path in ("/within/async", "/within/def") for user in users for _ in range(5)]
    with serve(app, world) as site:
        answers = site.crowd([(path, world.token(user)) for path, user in asked])
        site.over.wait_for(len(asked))
    assert [answer.json() for answer in answers] == [world.object_id(user) for _, user in asked]
    assert all(user == answered for _, user, answered in seen)
    assert sorted({when for when, _, _ in seen}) == ["async after", "async before", "def after", "def before"]
    assert len(seen) == 4 * len(asked)


# Applications in applications


def test_an_app_in_an_app_in_an_app_has_the_context_of_the_outermost(world: World) -> None:
    innermost, outer = FastAPI(), FastAPI()

    @innermost.get("/me")
    async def me(request: Request, context: CurrentContext) -> list[str]:
        assert context is request.state.obo
        return [request.scope["root_path"], await name_of(context.client("graph"))]

    outer.mount("/one", Starlette(routes=[Mount("/two", innermost)]))
    with serve(outer, world) as site:
        assert site.get("/one/two/me", world.token("bob")).json() == ["/one/two", world.object_id("bob")]
        assert site.get("/one/two/me").status_code == 401


def test_a_mounted_app_with_a_middleware_of_its_own_has_a_context_of_its_own(world: World) -> None:
    contexts: list[Any] = []

    async def me(request: Request) -> JSONResponse:
        contexts.append(request.state.obo)
        return JSONResponse(await name_of(request.state.obo.client("graph")))

    obo = OnBehalfOf(world.settings(required_scopes=["orders.read"]))

    @asynccontextmanager
    async def living(_app: Starlette) -> AsyncIterator[None]:
        async with obo:  # a mounted app never hears of its end
            yield

    inner = OnBehalfOfMiddleware(Starlette(routes=[Route("/me", me)]), obo=obo)
    outer = Starlette(routes=[Mount("/inner", inner), Route("/me", me)], lifespan=living)
    with serve(outer, world) as site:
        reader = world.token("alice", scopes=["access_as_user", "orders.read"])
        for path in ("/inner/me", "/me"):
            assert site.get(path, reader).json() == world.object_id("alice")
        assert site.get("/inner/me", world.token("alice")).status_code == 403
    one, other = contexts
    assert one is not other


# Work after the answer


@pytest.mark.parametrize("respond", TASKS)
@pytest.mark.parametrize("blocking", [True, False])
def test_a_background_task_may_use_its_client_when_the_answer_has_long_been_read(
    world: World, respond: Any, blocking: bool
) -> None:
    read, done = threading.Event(), list[Any]()

    async def work(client: Any) -> None:
        assert await asyncio.to_thread(read.wait, PATIENCE)
        done.extend((await name_of(client), client))

    def blocking_work(client: Any) -> None:
        assert read.wait(PATIENCE)
        done.extend((blocking_name_of(client), client))

    async def begin(request: Request) -> Any:
        context = request.state.obo
        if blocking:
            return respond(blocking_work, context.blocking_client("graph"))
        return respond(work, context.client("graph"))

    with serve(Starlette(routes=[Route("/", begin)]), world) as site:
        assert site.get("/", world.token("alice")).json() == "accepted"
        assert (site.over.count, done) == (0, [])
        read.set()
        site.over.wait_for(1)
    assert done[0] == world.object_id("alice")
    assert refuses(done[1])


def test_a_task_that_goes_on_after_its_request_must_have_asked_for_it(world: World) -> None:
    app, tasks = FastAPI(), list[asyncio.Task[str]]()

    async def careless(client: Any) -> str:
        await over.wait()
        return await name_of(client)

    async def careful(mine: Any) -> str:
        with mine:
            return await careless(mine.client("graph"))

    @app.post("/begin")
    async def begin(context: CurrentContext) -> None:
        works = (careless(context.client("graph")), careful(context.detach()))
        tasks.extend(asyncio.create_task(work) for work in works)

    @app.get("/results")
    async def results() -> list[str]:
        over.set()
        return [str(one) for one in await asyncio.gather(*tasks, return_exceptions=True)]

    over = asyncio.Event()
    with serve(app, world) as site:
        assert site.client.post("/begin", headers=bearer(world.token("alice"))).status_code == 200
        site.over.wait_for(1)
        refused, detached = site.get("/results", world.token("bob")).json()
    assert "belonged to the user of a request that is over" in refused
    assert detached == world.object_id("alice"), "whoever's request is handled meanwhile"


# Streams


@pytest.mark.parametrize("blocking", [True, False])
def test_a_stream_keeps_its_client_until_its_end(world: World, blocking: bool) -> None:
    app, kept, read = FastAPI(), list[Any](), threading.Event()

    async def parts(graph: httpx.AsyncClient) -> AsyncIterator[str]:
        yield await name_of(graph) + "\n"
        assert await asyncio.to_thread(read.wait, PATIENCE)
        yield await name_of(graph) + "\n"

    def blocking_parts(graph: httpx.Client) -> Iterator[str]:
        yield blocking_name_of(graph) + "\n"
        assert read.wait(PATIENCE)
        yield blocking_name_of(graph) + "\n"

    @app.get("/")
    async def begin(context: CurrentContext) -> StreamingResponse:
        kept.append(context.blocking_client("graph") if blocking else context.client("graph"))
        return StreamingResponse(blocking_parts(kept[0]) if blocking else parts(kept[0]))

    with serve(app, world) as site, site.stream("/", world.token("alice")) as response:
        lines = response.iter_lines()
        assert next(lines) == world.object_id("alice")
        assert site.over.count == 0
        read.set()
        assert list(lines) == [world.object_id("alice")]
        site.over.wait_for(1)
    assert refuses(kept[0])


@pytest.mark.parametrize("floods", [True, False])
def test_a_client_that_leaves_ends_its_request_and_the_answer_of_the_api_behind(world: World, floods: bool) -> None:
    app, kept, endless = FastAPI(), list[Any](), Endless(floods=floods)

    @app.get("/relay")
    async def relay(context: CurrentContext) -> StreamingResponse:
        graph = context.client("graph")
        kept.append(graph)

        async def parts() -> AsyncIterator[bytes]:
            async with graph.stream("GET", "/endless") as response:
                async for part in response.aiter_bytes():
                    yield part

        return StreamingResponse(parts())

    behind = UvicornServer(endless, lifespan="off")
    url = "http://{}:{}".format(*behind.address)
    apis = {"graph": DownstreamApi(url, scopes=["User.Read"], timeout=60)}
    with serve(app, world, downstream_apis=apis) as site:
        with site.stream("/relay", world.token("alice")) as response:
            # Kept: the iterator closes the connection when it is collected, and then the client has left already.
            parts = response.iter_bytes()
            assert next(parts).startswith(b"begin")
            assert (site.over.count, endless.left.is_set()) == (0, False)
        site.over.wait_for(1)
        assert endless.left.wait(PATIENCE)
        assert refuses(kept[0])
    behind.stop()


# WebSockets


def test_a_websockets_context_lives_as_long_as_its_connection(world: World) -> None:
    app, kept = FastAPI(), list[Any]()

    @app.websocket("/socket")
    async def talk(websocket: WebSocket, context: CurrentContext) -> None:
        kept.append(context.client("graph"))
        await websocket.accept()
        try:
            while await websocket.receive_text() == "who?":
                await websocket.send_text(await name_of(kept[0]))
        except WebSocketDisconnect:
            kept.append(await name_of(kept[0]))

    with serve(app, world) as site:
        url = f"ws://{site.host}:{site.port}/socket"
        with connect(url, additional_headers=bearer(world.token("alice")), proxy=None) as client:
            for _ in range(3):
                client.send("who?")
                assert client.recv(PATIENCE) == world.object_id("alice")
            assert site.over.count == 0
        site.over.wait_for(1)
        with pytest.raises(InvalidStatus, match="401"):
            connect(url, proxy=None)
    assert kept[1] == world.object_id("alice"), "the handler may still say goodbye"
    assert refuses(kept[0])


# The life of the app


def test_an_app_calls_as_itself_at_its_start_and_end_and_shares_its_tokens_with_requests(world: World) -> None:
    obo, left = OnBehalfOf(world.settings()), list[int]()

    async def count() -> int:
        return len((await obo.app_client("graph").get("/users")).raise_for_status().json()["value"])

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[dict[str, int]]:
        yield {"users": await count()}
        left.append(await count())

    app = FastAPI(lifespan=living)
    app.add_middleware(OnBehalfOfMiddleware, obo=obo)

    @app.get("/")
    async def numbers(request: Request, context: CurrentContext) -> list[Any]:
        there = (await context.app_client("graph").get("/users")).json()["value"]
        return [request.state.users, len(there), await name_of(context.client("graph"))]

    users = len(world.entra.users)
    with Site(app) as site:
        for name in ("alice", "bob"):
            assert site.get("/", world.token(name)).json() == [users, users, world.object_id(name)]
    assert left == [users]
    grants = [request.grant_type for request in world.entra.token_requests]
    assert grants.count("client_credentials") == 1
    assert len(grants) == 3
