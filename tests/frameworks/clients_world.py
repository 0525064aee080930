"""What the clients of these tests call: APIs that check whose token they get, and a server that speaks HTTP/2."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import jwt
import trustme
from hypercorn.asyncio import serve
from hypercorn.config import Config

from obo_middleware.testing import LocalEntra
from tests.core.hostile import Answer, Asked, Say

MODELS = "https://cognitiveservices.azure.com"
VAULT = "https://vault.azure.net"
FILES = "api://files"


def expose(entra: LocalEntra, uri: str, *scopes: str) -> None:
    """Register an API whose scopes the demo API may ask for on behalf of its users."""
    app = entra.register_app(uri, identifier_uris=(uri,), scopes=scopes, token_version=1)
    entra.update_app(entra.api, delegated={**entra.api.delegated, app.client_id: scopes})


def whose(entra: LocalEntra, asked: Asked, audience: str) -> str:
    """Return the object id in a request's token, after a real check of its signature and audience."""
    token = asked.headers["authorization"].removeprefix("Bearer ")
    with httpx.Client(verify=entra.ssl_context(), trust_env=False) as client:
        keys = client.get(f"{entra.authority}/{entra.tenant_id}/discovery/v2.0/keys").json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    return str(jwt.decode(token, key.key, ["RS256"], audience=audience)["oid"])


def answering(entra: LocalEntra, audience: str, **members: Any) -> Say:
    """Return an API's answer: who asks, the length of what came, and more."""

    def say(asked: Asked) -> Answer:
        body = {"user": whose(entra, asked, audience), "length": len(asked.body), **members}
        return Answer(200, json.dumps(body).encode(), [("Content-Type", "application/json")])

    return say


def model(entra: LocalEntra) -> Say:
    """Return the answer of a language model that knows who asks."""

    def say(asked: Asked) -> Answer:
        message = {"role": "assistant", "content": f"Hello, {whose(entra, asked, MODELS)}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        said = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
        return Answer(200, json.dumps(said).encode(), [("Content-Type", "application/json")])

    return say


async def _tell_the_version(scope: Any, receive: Any, send: Any) -> None:
    """Answer as an ASGI app: with the version of HTTP in which it was asked."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["http_version"].encode()})


@contextmanager
def speaking_http2(folder: Any) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run hypercorn with TLS; give its URL, and the context that trusts it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = Config()
        config.bind = [f"fd://{listening.detach()}"]
        config.certfile = config.keyfile = str(folder / "server.pem")
        config.errorlog = config.accesslog = None
        yield from _running(config, trusting)


def _running(config: Config, trusting: ssl.SSLContext) -> Iterator[tuple[str, ssl.SSLContext]]:
    loop = asyncio.new_event_loop()
    told = asyncio.Event()
    sockets = config.create_sockets()
    # hypercorn makes its sockets of the same number once more.
    host, port = sockets.secure_sockets[0].getsockname()
    sockets.secure_sockets[0].detach()

    async def main() -> None:
        await serve(_tell_the_version, config, shutdown_trigger=told.wait)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), name="hypercorn", daemon=True)
    thread.start()
    try:
        yield f"https://{host}:{port}", trusting
    finally:
        loop.call_soon_threadsafe(told.set)
        thread.join(10)
        loop.close()
