"""One FastAPI app with one downstream call, under uvicorn: with our middleware, or as it would be without."""

from __future__ import annotations

import importlib
import time
from typing import Annotated, Any

import jwt
import uvicorn
from fastapi import Depends, FastAPI, Request

from obo_middleware import DownstreamApi
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.fastapi import downstream
from tests.benchmarks import stage
from tests.benchmarks.processes import options, say


async def _cpu() -> float:
    """Return the processor seconds that this process has taken."""
    return time.process_time()


async def _shared(request: Request) -> Any:
    return request.app.state.client


Injected = Annotated[Any, downstream(stage.API)]
Shared = Annotated[Any, Depends(_shared)]


def _ours(app: FastAPI, given: dict[str, Any], library: Any) -> None:
    """Inject a client that acts as the user."""
    api = DownstreamApi(given["graph"], scopes=[stage.SCOPE])
    settings = stage.settings(
        stage.RemoteProvider.of(given["provider"]),
        downstream_apis={stage.API: api},
        http=library,
        public_paths=["/cpu"],
    )
    app.add_middleware(OnBehalfOfMiddleware, settings=settings)

    @app.get("/me")
    async def me(graph: Injected) -> Any:
        return (await graph.get("/me")).raise_for_status().json()


def _static(app: FastAPI, given: dict[str, Any], library: Any) -> None:
    """Be the floor: a static token on a shared client, no authentication at all."""
    app.state.client = _client(given, library, Authorization=f"Bearer {stage.opaque_token(stage.DOWNSTREAM)}")

    @app.get("/me")
    async def me(graph: Shared) -> Any:
        return (await graph.get("/me")).raise_for_status().json()


def _msal(app: FastAPI, given: dict[str, Any], library: Any, *, cached: bool) -> None:
    """Be a peer: PyJWT and MSAL in the handler, with a look into MSAL's cache or, as most have it, without one."""
    from tests.benchmarks import peers  # the other apps do not wait for its import

    provider = stage.RemoteProvider.of(given["provider"])
    application = peers.msal_app(provider)
    key = stage.signing_key(provider, given["provider"]["tokens"][0])
    checks: dict[str, Any] = {"audience": given["provider"]["client_id"], "issuer": given["provider"]["issuer"]}
    app.state.client = _client(given, library)

    def exchanged(token: str, claims: dict[str, Any]) -> str:
        found = None
        if cached:
            accounts = application.get_accounts(username=claims["preferred_username"])
            found = application.acquire_token_silent([stage.GRAPH_SCOPE], account=accounts[0]) if accounts else None
        found = found or application.acquire_token_on_behalf_of(token, [stage.GRAPH_SCOPE])
        return str(found["access_token"])

    @app.get("/me")
    async def me(request: Request, graph: Shared) -> Any:
        token = request.headers["authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, key, algorithms=["RS256"], **checks)
        headers = {"Authorization": f"Bearer {exchanged(token, claims)}"}
        return (await graph.get("/me", headers=headers)).raise_for_status().json()


def _client(given: dict[str, Any], library: Any, **headers: str) -> Any:
    """Return a shared client that keeps as many connections as our pool does."""
    limits = library.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=60.0)
    return library.AsyncClient(base_url=given["graph"], headers=headers, limits=limits, trust_env=False)


class _Server(uvicorn.Server):
    """uvicorn that says its port when it is ready."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        say(port=self.servers[0].sockets[0].getsockname()[1])


def main() -> None:
    """Serve until a signal comes."""
    given = options()
    app, library = FastAPI(), importlib.import_module(given["library"])
    app.get("/cpu")(_cpu)
    kind: str = given["kind"]
    if kind == "ours":
        _ours(app, given, library)
    elif kind == "static":
        _static(app, given, library)
    else:
        _msal(app, given, library, cached=kind == "msal cached")
    _Server(uvicorn.Config(app, port=0, loop="asyncio", log_level="warning", access_log=False)).run()


if __name__ == "__main__":
    main()
