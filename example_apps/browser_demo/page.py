"""Serve the page: its files, MSAL.js as npm brought it, and headers that let it reach here and the provider only."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from obo_middleware.testing import LocalEntra

FOLDER = Path(__file__).parent / "static"
FILES = {
    "/": "index.html",
    "/redirect": "redirect.html",
    "/style.css": "style.css",
    "/app.js": "app.js",
    "/auth.js": "auth.js",
    "/client.js": "client.js",
    "/diagram.js": "diagram.js",
    "/steps.js": "steps.js",
    "/redirect.js": "redirect.js",
}
SCRIPTS = {
    "/msal-browser.min.js": "msal-browser.min.js",
    "/msal-redirect-bridge.min.js": "redirect-bridge/msal-redirect-bridge.min.js",
}


def page_paths() -> list[str]:
    """Return the paths that need no token."""
    return [*FILES, *SCRIPTS, "/config.json", "/consented"]


def page_routes(entra: LocalEntra, msal: Path) -> list[BaseRoute]:
    """Return the routes of the page; `msal` is the folder of MSAL.js."""

    async def config(_request: Request) -> Response:
        """Tell the page what its registration is. None of it is secret."""
        return JSONResponse(
            {
                "authority": f"{entra.authority}/{entra.tenant_id}",
                "clientId": entra.client.client_id,
                "scopes": [f"{entra.api.identifier_uris[0]}/access_as_user"],
            }
        )

    async def consented(request: Request) -> Response:
        """Come back from the API's consent page. The code that comes along is for nobody, and ends here."""
        outcome = "declined" if "error" in request.query_params else "accepted"
        return RedirectResponse(f"/?consent={outcome}", 303)

    own = [_file(path, FOLDER / name, "no-cache") for path, name in FILES.items()]
    theirs = [_file(path, msal / name, "max-age=3600") for path, name in SCRIPTS.items()]
    return [*own, *theirs, Route("/config.json", config), Route("/consented", consented)]


def _file(path: str, file: Path, kept: str) -> Route:
    async def answer(_request: Request) -> Response:
        return FileResponse(file, headers={"Cache-Control": kept})

    return Route(path, answer)


class SecurityHeaders:
    """ASGI middleware that tells the browser what the page may do; `provider` is the identity provider's origin."""

    def __init__(self, app: ASGIApp, provider: str) -> None:
        self._app = app
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; "
            f"form-action 'none'; connect-src 'self' {provider}; frame-src 'self' {provider}; "
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # MSAL.js opens the page of its answers in a hidden frame when it renews a sign-in without a word.
        ancestors = "'self'" if scope.get("path") == "/redirect" else "'none'"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers["Content-Security-Policy"] = f"{self._policy}frame-ancestors {ancestors}"
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, answer)
