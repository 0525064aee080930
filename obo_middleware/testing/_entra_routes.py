"""The endpoints of LocalEntra: thin, from a request to the judges and back."""

from __future__ import annotations

import json
import types
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ._cross_origin import CrossOrigin, spa_origins
from ._errors import EntraError, correlation_id, missing_parameter
from ._metadata import instance_discovery, key_document, openid_configuration
from ._provider import Provider
from ._records import TokenRequest
from ._sign_in_routes import authorize, login, logout, read_form

OWN_USER_AGENT = "LocalGraph"
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_NOT_STORED = _JSON | {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}

_PUBLIC = frozenset({"metadata", "jwks", "instance"})
"""What pages of any origin may read."""

Answer = Callable[[Provider, Request], Awaitable[Response]]


class _Endpoint:
    """A named endpoint: counts its requests, meets faults, turns refusals into Entra's documents."""

    def __init__(self, provider: Provider, name: str, answer: Answer) -> None:
        self._provider, self._name, self._answer = provider, name, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.headers.get("user-agent") == OWN_USER_AGENT:
            scope["local.server"].leave_out(scope)
        else:
            self._provider.records.count(self._name)
        response = await self.respond(request)
        if response is None:
            await scope["local.server"].drop(scope, receive)
        else:
            await response(scope, receive, send)

    async def respond(self, request: Request) -> Response | None:
        """Return the response, None for a connection to be dropped."""
        struck, canned = self._provider.faults.take(self._name)
        if struck:
            return canned.response() if canned else None
        try:
            return await self._answer(self._provider, request)
        except EntraError as error:
            return _refusal(self._provider, request, error)


class _TokenEndpoint:
    """The token endpoint: thinks first, and records what was asked and how it ended."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider, request = self._provider, Request(scope, receive)
        provider.records.count("token")
        pairs = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        await scope["local.server"].pause(provider.faults.think_time)
        struck, canned = provider.faults.take("token")
        if not struck:
            response, error = self._exchange(request, pairs)
            _record(provider, request, pairs, response.status_code, error)
            await response(scope, receive, send)
        elif canned:
            _record(provider, request, pairs, canned.status)
            await canned.response()(scope, receive, send)
        else:
            _record(provider, request, pairs, 0)
            await scope["local.server"].drop(scope, receive)

    def _exchange(self, request: Request, pairs: list[tuple[str, str]]) -> tuple[Response, EntraError | None]:
        try:
            form = read_form(request, pairs)
            document = self._provider.exchange(request.path_params["tenant"], form, request.headers.get("origin"))
        except EntraError as error:
            return _refusal(self._provider, request, error), error
        return _json(document, _NOT_STORED), None


def _refusal(provider: Provider, request: Request, error: EntraError) -> Response:
    body = error.body(provider.state.authority, provider.clock(), correlation_id(request.headers))
    return Response(body, error.status, _NOT_STORED)


def _json(document: Mapping[str, Any], headers: Mapping[str, str] = _JSON) -> Response:
    return Response(json.dumps(document).encode(), 200, dict(headers))


def _record(
    provider: Provider,
    request: Request,
    pairs: list[tuple[str, str]],
    status: int,
    error: EntraError | None = None,
) -> None:
    form = dict(pairs)
    record = TokenRequest(
        request.path_params["tenant"],
        form.get("grant_type", ""),
        status,
        None if error is None else error.error,
        None if error is None else error.code,
        types.MappingProxyType(form),
        types.MappingProxyType(dict(request.headers)),
    )
    provider.records.keep(record)


def _configuration(version: int) -> Answer:
    async def answer(provider: Provider, request: Request) -> Response:
        with provider.lock:
            return _json(openid_configuration(provider.state, request.path_params["tenant"], version))

    return answer


def _keys(version: int) -> Answer:
    async def answer(provider: Provider, request: Request) -> Response:
        with provider.lock:
            return _json(key_document(provider.state, request.path_params["tenant"], version))

    return answer


async def _instance(provider: Provider, request: Request) -> Response:
    endpoint = request.query_params.get("authorization_endpoint")
    if not endpoint:
        raise missing_parameter("authorization_endpoint")
    return _json(instance_discovery(provider.state, endpoint))


def build_app(provider: Provider, local_routes: list[Route]) -> Starlette:
    """Return the ASGI application of a provider, with the routes for load tests in other processes."""
    table: list[tuple[str, str, str, Answer]] = [
        ("GET", "/{tenant}/v2.0/.well-known/openid-configuration", "metadata", _configuration(2)),
        ("GET", "/{tenant}/.well-known/openid-configuration", "metadata", _configuration(1)),
        ("GET", "/{tenant}/discovery/v2.0/keys", "jwks", _keys(2)),
        ("GET", "/{tenant}/discovery/keys", "jwks", _keys(1)),
        ("GET", "/{tenant}/discovery/instance", "instance", _instance),
        ("GET", "/{tenant}/oauth2/v2.0/authorize", "authorize", authorize),
        ("POST", "/{tenant}/login", "login", login),
        ("GET", "/{tenant}/oauth2/v2.0/logout", "logout", logout),
    ]
    routes = [_route(provider, *row) for row in table]
    redeem = CrossOrigin(_TokenEndpoint(provider), "POST, OPTIONS", lambda origin: _single_page_app(provider, origin))
    token = Route("/{tenant}/oauth2/v2.0/token", redeem, methods=["POST", "OPTIONS"])
    return Starlette(routes=[token, *routes, *local_routes])


def _route(provider: Provider, method: str, path: str, name: str, answer: Answer) -> Route:
    endpoint = _Endpoint(provider, name, answer)
    if name not in _PUBLIC:
        return Route(path, endpoint, methods=[method])
    return Route(path, CrossOrigin(endpoint, "GET, OPTIONS", lambda _: "*"), methods=[method, "OPTIONS"])


def _single_page_app(provider: Provider, origin: str) -> str | None:
    with provider.lock:
        return origin if origin.lower() in spa_origins(provider.state.apps.values()) else None
