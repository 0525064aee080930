"""A Flask app that calls Microsoft Graph as its signed-in user. README.md beside this file tells how to run it."""

from __future__ import annotations

import os
from typing import Any

import httpx
from flask import Flask

from obo_middleware import DownstreamApi, Settings
from obo_middleware.flask import OnBehalfOf

# Who this API is stands in AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.
graph_url = os.environ.get("GRAPH_BASE_URL", "https://graph.microsoft.com/v1.0")
settings = Settings.from_env(
    downstream_apis={"graph": DownstreamApi(graph_url, scopes=["User.Read", "Mail.Read"])},
    public_paths=["/health"],
)
obo = OnBehalfOf()
app = Flask(__name__)
obo.init_app(app, settings)


@app.get("/me")
def me() -> dict[str, Any]:
    user = obo.context.require()
    profile = obo.client("graph").get("/me").raise_for_status().json()
    return {"name": profile["displayName"], "mail": profile["mail"], "client": user.client_id}


@app.get("/messages")
@obo.require_scopes("access_as_user")
def messages() -> list[str]:
    page = obo.client("graph").get("/me/messages", params={"$top": 3}).raise_for_status().json()
    return [message["subject"] for message in page["value"]]


@app.get("/users")
def users() -> list[str]:
    # The application's own permission, User.Read.All, and not the user's: decide with care who may see this.
    page = obo.app_client("graph").get("/users").raise_for_status().json()
    return [user["displayName"] for user in page["value"]]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "up"}


@app.errorhandler(httpx.HTTPStatusError)
def graph_refused(error: httpx.HTTPStatusError) -> tuple[dict[str, str], int]:
    return {"title": "Microsoft Graph refused", "detail": str(error)}, 502
