"""What is Starlette's own: ``@requires`` with the token's scopes, ``request.user``, mounts and sub-applications."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from obo_middleware.asgi import OnBehalfOfMiddleware
from tests.adapters.harness import Served
from tests.adapters.servers import UvicornServer
from tests.adapters.world import World


@requires("access_as_user")
async def profile(request: Request) -> Response:
    context = request.state.obo
    name = (await context.client("graph").get("/me")).json()["displayName"]
    return JSONResponse({"name": name, "display": request.user.display_name, "who": request.user.identity})


@requires("orders.read")
async def orders(request: Request) -> Response:
    return JSONResponse({})


async def anybody(request: Request) -> Response:
    user = request.user
    return JSONResponse([user.is_authenticated, user.display_name, user.identity, sorted(request.auth.scopes)])


ROUTES = [Route("/profile", profile), Route("/orders", orders), Route("/anybody", anybody)]


def starlette_app(world: World, **changes: Any) -> Starlette:
    app = Starlette(routes=[*ROUTES, Mount("/mounted", routes=ROUTES)])
    app.add_middleware(OnBehalfOfMiddleware, settings=world.settings(**changes))
    return app


def test_starlettes_requires_looks_at_the_tokens_scopes(world: World) -> None:
    with Served("asgi", UvicornServer(starlette_app(world))) as served:
        token = world.token("alice")
        who = f"{world.entra.tenant_id}.{world.object_id('alice')}"
        expected = {"name": "Alice Adams", "display": "Alice Adams", "who": who}
        assert served.get("/profile", token).json() == expected
        assert served.get("/mounted/profile", token).json() == expected
        assert served.get("/orders", token).status_code == 403
        granted = served.get("/anybody", token).json()
        assert granted == [True, "Alice Adams", who, ["access_as_user", "authenticated"]]


def test_starlettes_user_is_nobody_without_a_token(world: World) -> None:
    with Served("asgi", UvicornServer(starlette_app(world, required=False))) as served:
        assert served.get("/anybody").json() == [False, "", "", []]
        assert served.get("/profile").status_code == 403


@pytest.mark.attack(16)
def test_a_mounted_path_is_public_only_as_a_whole(world: World) -> None:
    with Served("asgi", UvicornServer(starlette_app(world, public_paths=["/anybody"]))) as served:
        assert served.get("/anybody").status_code == 200
        assert served.get("/mounted/anybody").status_code == 401


@pytest.mark.attack(16)
def test_a_protected_sub_application_judges_the_whole_path(world: World) -> None:
    inner = OnBehalfOfMiddleware(Starlette(routes=ROUTES), settings=world.settings(public_paths=["/sub/anybody"]))
    app = Starlette(routes=[Mount("/sub", inner), Route("/anybody", lambda _: JSONResponse("open"))])
    with Served("asgi", UvicornServer(app, lifespan="off")) as served:
        assert served.get("/anybody").json() == "open"
        assert served.get("/sub/anybody").json() == [False, "", "", []]
        assert served.get("/sub/profile").status_code == 401
