"""Put the demo together: LocalEntra, LocalGraph, and one server for the page and the API, all over TLS on localhost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from example_apps.browser_demo.api import graph_refused, router
from example_apps.browser_demo.controls import GRAPH_SCOPES, Controls, DemoClock, control_routes
from example_apps.browser_demo.page import SecurityHeaders, page_paths, page_routes
from example_apps.browser_demo.recorder import Admission, Recorder
from obo_middleware import DownstreamApi, OnBehalfOf, Settings
from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.testing import LocalEntra, LocalGraph

HOST = "localhost"
MSAL = Path(__file__).parent / "node_modules" / "@azure" / "msal-browser" / "lib"


@dataclass(frozen=True)
class Demo:
    """The running demo: where the page is, and who provides what."""

    url: str
    entra: LocalEntra
    graph: LocalGraph
    certificate_pin: str


@contextmanager
def serving_demo(
    port: int = 0, entra_port: int = 0, *, think_time: float = 0.0, graph_think_time: float = 0.0
) -> Iterator[Demo]:
    """Serve the demo; ports 0 are any free ones, the think times are what provider and Graph wait, in seconds.

    Raises ``RuntimeError`` if MSAL.js is not installed or the port is taken.
    """
    if not MSAL.is_dir():
        raise RuntimeError(
            "MSAL.js is not installed: run `npm ci` in example_apps/browser_demo, or `make browser-demo`"
        )
    clock = DemoClock()
    with (
        LocalEntra(host=HOST, port=entra_port, tls=True, clock=clock, think_time=think_time, interactive=True) as entra,
        LocalGraph(entra, host=HOST, think_time=graph_think_time) as graph,
        _Listener(port) as listener,
    ):
        ca = entra.ca
        assert ca is not None  # noqa: S101  # it serves TLS
        register(entra, listener.url)
        listener.serve(build_app(entra, graph, clock), entra)
        yield Demo(listener.url, entra, graph, ca.public_key_pin)


def register(entra: LocalEntra, url: str) -> None:
    """Register the page and the API with the provider, as one would in the portal of Entra."""
    entra.update_app(entra.client, name="Mailbox (browser demo)", spa_redirect_uris=(f"{url}/", f"{url}/redirect"))
    entra.update_app(entra.api, name="Mailbox API", redirect_uris=(f"{url}/consented",))


def build_app(entra: LocalEntra, graph: LocalGraph, clock: DemoClock) -> FastAPI:
    """Return the app that serves page, API and buttons."""
    settings = Settings(
        tenant_id=entra.tenant_id,
        client_id=entra.api.client_id,
        client_credential=entra.api.secret,
        authority=entra.authority,
        allow_local_issuer=True,
        downstream_apis={"graph": DownstreamApi(graph.base_url, scopes=GRAPH_SCOPES)},
        public_paths=page_paths(),
        ssl_context=entra.ssl_context(),
        clock=clock,
    )
    obo = OnBehalfOf(settings)
    app = FastAPI(title="Mailbox API", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(router)
    app.include_router(control_routes(Controls(entra, obo, clock)))
    app.router.routes.extend(page_routes(entra, MSAL))
    app.add_exception_handler(httpx.HTTPStatusError, graph_refused)
    # The last one added is the first to see a request.
    app.add_middleware(Admission)
    app.add_middleware(OnBehalfOfMiddleware, obo=obo)
    app.add_middleware(Recorder, entra=entra)
    app.add_middleware(SecurityHeaders, provider=entra.authority)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST])
    return app


class _Listener:
    """A socket on the loopback address, and the server that answers on it from a thread."""

    def __init__(self, port: int) -> None:
        self._config = uvicorn.Config("", host="127.0.0.1", port=port, log_config=None, access_log=False)
        self._socket = self._config.bind_socket()
        self.url = f"https://{HOST}:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def serve(self, app: FastAPI, entra: LocalEntra) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=1
        )
        config.load()
        # The provider's certificate, so that a browser asks its user about one certificate only.
        config.ssl = entra.ca.server_context() if entra.ca else None
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()
