"""What the workers of the load tests import: an app of ASGI and one of WSGI that get tokens over one shared store.

They answer whose token they got; a token never leaves them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import jwt

from obo_middleware import DownstreamApi, OnBehalfOf, Settings, wsgi
from obo_middleware.asgi import OnBehalfOfMiddleware, Receive, Scope, Send
from obo_middleware.redis import RedisTokenStore

PID = "/pid"
SCOPES = {"/one": "https://graph.microsoft.com/User.Read", "/two": "https://graph.microsoft.com/Mail.Read"}
"""A path for each scope that a token is got for."""

STORE = RedisTokenStore(
    os.environ["SHARED_STORE"],
    lead_seconds=float(os.environ["SHARED_LEAD_SECONDS"]),
    max_wait=float(os.environ.get("SHARED_MAX_WAIT", "0.05")),
)

settings = Settings.from_env(
    downstream_apis={"graph": DownstreamApi(os.environ["SHARED_GRAPH"], scopes=["User.Read"])},
    public_paths=[PID],
    token_store=STORE,
)
OBO = OnBehalfOf(settings)


def said(token: str = "") -> bytes:
    """Return whose a token is, which process got it, and how many tokens that process has in memory."""
    whose = jwt.decode(token, options={"verify_signature": False})["oid"] if token else None
    tokens = len(OBO.runtime.engine)
    return json.dumps({"user": whose, "pid": os.getpid(), "store": STORE.statistics, "tokens": tokens}).encode()


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    token = ""
    if scope["path"] != PID:
        token = (await scope["state"]["obo"].credential.get_token(SCOPES[scope["path"]])).token
    content = said(token)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    token = ""
    if environ["PATH_INFO"] != PID:
        token = environ[wsgi.ENVIRON_KEY].credential.get_token(SCOPES[environ["PATH_INFO"]]).token
    content = said(token)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


in_asgi = OnBehalfOfMiddleware(_app, obo=OBO)
in_wsgi = wsgi.OnBehalfOfMiddleware(_plain, obo=OBO)
