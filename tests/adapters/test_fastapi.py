"""What is FastAPI's own: dependencies, the OpenAPI document, plain functions, WebSockets, tasks in the background."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, Security, WebSocket
from fastapi.responses import JSONResponse

from obo_middleware import ConfigurationError, User
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.errors import InsufficientScopeError, RequestEndedError
from obo_middleware.fastapi import CurrentContext, CurrentUser, current_user, downstream, require_scopes
from tests.adapters.apps import fastapi_app
from tests.adapters.by_hand import Exchange, living
from tests.adapters.harness import Served, check_problem
from tests.adapters.outcomes import NO_SCOPE, realm
from tests.adapters.servers import UvicornServer
from tests.adapters.world import World

Graph = Annotated[httpx.AsyncClient, downstream("graph")]
OrdersReader = Annotated[User, Security(current_user, scopes=["orders.read"])]

done: list[Any] = []
router = APIRouter(prefix="/orders", dependencies=[require_scopes("orders.read")])


@router.get("/")
async def list_orders() -> list[str]:
    return ["one"]


@router.post("/", dependencies=[require_scopes("orders.write")])
async def add_order() -> str:
    return "added"


async def read_orders(user: OrdersReader) -> str:
    return user.object_id


async def in_background(graph: Graph, tasks: BackgroundTasks) -> str:
    async def work() -> None:
        done.append((await graph.get("/me")).json()["id"])
        done.append(graph)

    tasks.add_task(work)
    return "accepted"


async def plainly_open() -> str:
    return "open"


async def socket(websocket: WebSocket, context: CurrentContext, user: CurrentUser) -> None:
    await websocket.accept()
    profile = (await context.client("graph").get("/me")).json()
    await websocket.send_json({"graph": profile["id"], "user": user.object_id})
    await websocket.close()


async def guarded_socket(websocket: WebSocket, user: OrdersReader) -> None:
    raise AssertionError("must not be called")


def whole_app(world: World, **changes: Any) -> FastAPI:
    app = fastapi_app(world.settings(**({"public_paths": ["/openapi.json", "/docs", "/open"]} | changes)))
    app.include_router(router)
    app.get("/read-orders")(read_orders)
    app.post("/in-background")(in_background)
    app.get("/open")(plainly_open)
    app.websocket("/socket")(socket)
    app.websocket("/guarded-socket")(guarded_socket)
    return app


def serve_whole(world: World, **changes: Any) -> Served:
    return Served("fastapi", UvicornServer(whole_app(world, **changes)))


def test_the_openapi_document_shows_authorize_on_protected_routes_only(world: World) -> None:
    with serve_whole(world) as served:
        document = served.get("/openapi.json").json()
        (name,) = document["components"]["securitySchemes"]
        scheme = document["components"]["securitySchemes"][name]
        assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
        protected = ("/me", "/blocking-me", "/users", "/scope", "/orders/", "/read-orders")
        for path in protected:
            # One requirement; older releases of FastAPI write it once for each dependency that has it.
            requirements = document["paths"][path]["get"]["security"]
            assert {scheme for requirement in requirements for scheme in requirement} == {name}, path
        assert "security" not in document["paths"]["/open"]["get"]
        assert "parameters" not in document["paths"]["/me"]["get"], "dependencies are no parameters of the client's"
        assert "SwaggerUIBundle" in served.get("/docs").text


def test_scopes_of_security_of_routers_and_of_routes_add_up(world: World) -> None:
    with serve_whole(world) as served:
        reader = world.token(scopes=["access_as_user", "orders.read"])
        writer = world.token(scopes=["access_as_user", "orders.read", "orders.write"])
        assert served.get("/orders/", reader).json() == ["one"]
        assert served.get("/read-orders", reader).status_code == 200
        assert served.client.post("/orders/", headers={"Authorization": f"Bearer {writer}"}).json() == "added"
        refused = served.client.post("/orders/", headers={"Authorization": f"Bearer {reader}"})
        challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.write"'
        check_problem(refused, 403, NO_SCOPE | {"scope": "orders.write"}, challenge=challenge)
        assert served.get("/orders/", world.token()).status_code == 403
        assert served.get("/read-orders", world.token()).status_code == 403


def test_plain_functions_get_blocking_clients_for_the_user_and_the_app(world: World) -> None:
    with serve_whole(world) as served:
        assert served.get("/blocking-me", world.token("bob")).json()["id"] == world.object_id("bob")
        assert served.get("/blocking-users", world.token("bob")).status_code == 200
        assert [request.user for request in world.graph.requests] == [world.object_id("bob"), None]


def test_without_the_middleware_the_error_says_what_to_add() -> None:
    app = fastapi_app(None)

    async def run() -> None:
        await Exchange(app, "/me").run()

    with pytest.raises(ConfigurationError, match=r"app\.add_middleware\(OnBehalfOfMiddleware, settings=settings\)"):
        asyncio.run(run())


@pytest.mark.attack(172)
def test_background_tasks_may_use_the_client_and_nothing_after_them(world: World) -> None:
    done.clear()
    with serve_whole(world) as served:
        headers = {"Authorization": f"Bearer {world.token('alice')}"}
        assert served.client.post("/in-background", headers=headers).json() == "accepted"
    name, client = done
    assert name == world.object_id("alice")
    with pytest.raises(RequestEndedError):
        asyncio.run(client.get("/me"))


def shake_hands(world: World, path: str, token: str, *extensions: str) -> Exchange:
    async def run() -> Exchange:
        app = whole_app(world)
        opened = Exchange(app, path, token, kind="websocket", extensions=extensions)
        async with living(app):
            await opened.run()
        return opened

    return asyncio.run(run())


def test_a_websocket_route_gets_its_context_and_user(world: World) -> None:
    opened = shake_hands(world, "/socket", world.token("bob"))
    assert opened.types == ["websocket.accept", "websocket.send", "websocket.close"]
    bob = world.object_id("bob")
    assert json.loads(opened.sent[1]["text"]) == {"graph": bob, "user": bob}


def test_a_websocket_route_refuses_a_token_without_its_scope(world: World) -> None:
    token = world.token()
    assert shake_hands(world, "/guarded-socket", token).sent == [{"type": "websocket.close", "code": 1008}]
    denied = shake_hands(world, "/guarded-socket", token, "websocket.http.response")
    assert (denied.status, denied.json()) == (403, NO_SCOPE | {"scope": "orders.read"})


def test_an_app_mounted_in_a_protected_one_has_the_users_context(world: World) -> None:
    inner, outer = fastapi_app(None), FastAPI()
    outer.mount("/inner", inner)
    outer.add_middleware(OnBehalfOfMiddleware, settings=world.settings())
    with Served("fastapi", UvicornServer(outer)) as served:
        assert served.get("/inner/me", world.token("alice")).json()["id"] == world.object_id("alice")
        assert served.get("/inner/me").status_code == 401


def test_an_error_handler_of_the_app_goes_first(world: World) -> None:
    app = fastapi_app(world.settings())
    app.add_exception_handler(InsufficientScopeError, lambda _request, _error: JSONResponse({"own": True}, 418))
    with Served("fastapi", UvicornServer(app)) as served:
        assert served.get("/scope", world.token()).status_code == 418
