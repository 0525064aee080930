"""A FastAPI app that calls Microsoft Graph as its signed-in user. README.md beside this file tells how to run it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from obo_middleware import DownstreamApi, Settings
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.fastapi import CurrentUser, downstream, require_scopes

# Who this API is stands in AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.
graph_url = os.environ.get("GRAPH_BASE_URL", "https://graph.microsoft.com/v1.0")
settings = Settings.from_env(
    downstream_apis={"graph": DownstreamApi(graph_url, scopes=["User.Read", "Mail.Read"])},
    public_paths=["/health", "/docs", "/openapi.json"],
)
app = FastAPI(title="Microsoft Graph as you")
app.add_middleware(OnBehalfOfMiddleware, settings=settings)

GraphAsUser = Annotated[httpx.AsyncClient, downstream("graph")]
GraphAsApp = Annotated[httpx.AsyncClient, downstream("graph", as_app=True)]


@app.get("/me")
async def me(graph: GraphAsUser, user: CurrentUser) -> dict[str, Any]:
    profile = (await graph.get("/me")).raise_for_status().json()
    return {"name": profile["displayName"], "mail": profile["mail"], "client": user.client_id}


@app.get("/messages", dependencies=[require_scopes("access_as_user")])
async def messages(graph: GraphAsUser) -> list[str]:
    page = (await graph.get("/me/messages", params={"$top": 3})).raise_for_status().json()
    return [message["subject"] for message in page["value"]]


@app.get("/users")
async def users(graph: GraphAsApp) -> list[str]:
    # The application's own permission, User.Read.All, and not the user's: decide with care who may see this.
    page = (await graph.get("/users")).raise_for_status().json()
    return [user["displayName"] for user in page["value"]]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "up"}


@app.exception_handler(httpx.HTTPStatusError)
async def graph_refused(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"title": "Microsoft Graph refused", "detail": str(error)}, status_code=502)
