"""Endpoints no real provider has: for people and load tests, whose programs run in other processes."""

from __future__ import annotations

import json
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


class LocalControl(Protocol):
    """What these endpoints need of LocalEntra."""

    def sign_in(self, user: str, *, scopes: tuple[str, ...]) -> str:
        """Return an access token for the demo API."""

    def stats(self) -> dict[str, Any]:
        """Return the counters."""

    def reset_counts(self) -> None:
        """Count from 0 again."""


def local_routes(entra: LocalControl) -> list[Route]:
    """Return `/_local/stats`, `/_local/token/{user}` (a token's text alone), `/_local/sign-in` and `/_local/reset`.

    No counter counts requests to them.
    """

    async def stats(request: Request) -> Response:
        request.scope["local.server"].leave_out(request.scope)
        return JSONResponse(entra.stats())

    async def sign_in(request: Request) -> Response:
        request.scope["local.server"].leave_out(request.scope)
        try:
            asked = json.loads(await request.body())
            user, scopes = str(asked["user"]), tuple(asked.get("scopes", ("access_as_user",)))
            token = entra.sign_in(user, scopes=scopes)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)
        return JSONResponse({"access_token": token, "token_type": "Bearer"})

    async def token(request: Request) -> Response:
        request.scope["local.server"].leave_out(request.scope)
        user = request.path_params["user"]
        try:
            return PlainTextResponse(
                entra.sign_in(user, scopes=("access_as_user",)), headers={"Cache-Control": "no-store"}
            )
        except KeyError:
            return PlainTextResponse(f"there is no user {user!r}\n", 404)

    async def reset(request: Request) -> Response:
        request.scope["local.server"].leave_out(request.scope)
        entra.reset_counts()
        return Response(status_code=204)

    return [
        Route("/_local/stats", stats, methods=["GET"]),
        Route("/_local/sign-in", sign_in, methods=["POST"]),
        Route("/_local/token/{user}", token, methods=["GET"]),
        Route("/_local/reset", reset, methods=["POST"]),
    ]
