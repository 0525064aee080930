"""What browsers may do from another origin: read public documents, and redeem the codes of single-page apps.

Facts: Fetch standard (CORS), Microsoft identity platform "Redirect URIs of single-page apps".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._errors import EntraError
from ._registrations import Application

SPA_LIFETIME = 86_400.0
"""Seconds that a single-page app's refresh tokens work, however often they are renewed."""


def origin_of(uri: str) -> str:
    """Return the origin of a URI as browsers write it (RFC 6454 section 6.2)."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}".lower()


def spa_origins(apps: Iterable[Application]) -> frozenset[str]:
    """Return the origins of all single-page apps."""
    return frozenset(origin_of(uri) for app in apps for uri in app.spa_redirect_uris)


def check_origin(app: Application, origin: str | None, *, spa: bool) -> None:
    """Judge from where a code or refresh token is redeemed; `spa` tells if a single-page app got it.

    Raise AADSTS9002326 or 9002327.
    """
    if origin is not None and not (spa and origin.lower() in spa_origins((app,))):
        raise EntraError(
            9002326,
            "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type or 'Native' "
            f"client-type with CORS origin registered to allow this. Request origin: '{origin}'.",
        )
    if origin is None and spa:
        raise EntraError(
            9002327,
            "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin "
            "requests.",
        )


class CrossOrigin:
    """An endpoint that browsers may ask from other origins: `allowed` returns who may read the answer, if anybody."""

    def __init__(self, app: ASGIApp, methods: str, allowed: Callable[[str], str | None]) -> None:
        self._app, self._methods, self._allowed = app, methods, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        reader = self._allowed(headers.get("origin", ""))
        if scope["method"] == "OPTIONS":
            await _preflight(reader, self._methods, headers)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(raw=message["headers"])
                added.add_vary_header("Origin")
                if reader is not None:
                    added["Access-Control-Allow-Origin"] = reader
            await send(message)

        await self._app(scope, receive, answer)


def _preflight(reader: str | None, methods: str, headers: Headers) -> Response:
    response = Response(status_code=204, headers={"Vary": "Origin"})
    if reader is not None:
        response.headers["Access-Control-Allow-Origin"] = reader
        response.headers["Access-Control-Allow-Methods"] = methods
        response.headers["Access-Control-Allow-Headers"] = headers.get("access-control-request-headers", "")
    return response
