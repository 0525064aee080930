"""The endpoints of LocalGraph: each says what permission it needs, one door checks it."""

from __future__ import annotations

import base64
import hashlib
import json
import types
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ._faults import Faults
from ._graph_check import Caller, TokenRefusedError
from ._graph_data import messages, page, profile
from ._records import GraphRequest, Records
from ._registrations import User

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization"})


class GraphWorld(Protocol):
    """What the endpoints need of LocalGraph."""

    records: Records[GraphRequest]
    faults: Faults

    async def admit(self, token: str) -> Caller:
        """Return who presents a token; raise `RefusalError`."""

    def user(self, object_id: str) -> User:
        """Return a user; raise KeyError."""

    def all_users(self) -> list[User]:
        """Return all users, in the order they were registered."""


@dataclass
class RefusalError(Exception):
    """An answer with an error in Graph's form; `challenge` is a WWW-Authenticate header."""

    status: int
    code: str
    text: str
    challenge: str | None = None
    caller: Caller | None = None

    def response(self) -> Response:
        """Return the refusal as a response."""
        inner = {"date": "2025-01-01T00:00:00", "request-id": str(uuid.uuid4())}
        headers = {} if self.challenge is None else {"WWW-Authenticate": self.challenge}
        document = {"error": {"code": self.code, "message": self.text, "innerError": inner}}
        return JSONResponse(document, self.status, headers)


def claims_challenge(authority: str, claims: dict[str, Any]) -> str:
    """Return the WWW-Authenticate header that asks for a new token with these claims."""
    encoded = base64.b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode()
    uri = f"{authority}/common/oauth2/authorize"
    return f'Bearer realm="", authorization_uri="{uri}", error="insufficient_claims", claims="{encoded}"'


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request that was let in, and by whom it is."""

    world: GraphWorld
    request: Request
    caller: Caller

    @property
    def root(self) -> str:
        """Return the URL below which all endpoints are, with a slash at the end."""
        return f"{self.request.base_url}v1.0/"


Answer = Callable[[_Visit], Awaitable[Response]]


class _Door:
    """An endpoint with the permission it needs: `delegated` of a user, `application` of an app as itself."""

    def __init__(self, world: GraphWorld, answer: Answer, delegated: str | None, application: str | None) -> None:
        self._world, self._answer = world, answer
        self._delegated, self._application = delegated, application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await scope["local.server"].pause(self._world.faults.think_time)
        struck, canned = self._world.faults.take("graph")
        if not struck:
            await (await self._pass(request))(scope, receive, send)
        elif canned:
            self._keep(request, canned.status, None)
            await canned.response()(scope, receive, send)
        else:
            self._keep(request, 0, None)
            await scope["local.server"].drop(scope, receive)

    async def _pass(self, request: Request) -> Response:
        caller = None
        try:
            caller = await self._world.admit(_bearer(request))
            self._check_permission(caller)
            response = await self._answer(_Visit(self._world, request, caller))
        except RefusalError as refusal:
            caller, response = refusal.caller or caller, refusal.response()
        self._keep(request, response.status_code, caller)
        return response

    def _check_permission(self, caller: Caller) -> None:
        needed = self._application if caller.user is None else self._delegated
        if needed is None or needed in caller.permissions:
            return
        if needed.startswith("Mail."):
            raise RefusalError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        raise RefusalError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def _keep(self, request: Request, status: int, caller: Caller | None) -> None:
        user, client_id = (None, None) if caller is None else (caller.user, caller.client_id)
        headers = types.MappingProxyType(dict(request.headers))
        self._world.records.keep(GraphRequest(request.method, request.url.path, status, user, client_id, headers))


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise invalid_token("Access token is empty.")
    return token


def invalid_token(text: str) -> RefusalError:
    """Return Graph's answer to a token it does not take."""
    return RefusalError(401, "InvalidAuthenticationToken", text, 'Bearer realm="", error="invalid_token"')


def as_refusal(error: TokenRefusedError) -> RefusalError:
    """Return Graph's answer to a token that did not pass the check."""
    return invalid_token(str(error))


def _me_of(visit: _Visit) -> User:
    if visit.caller.user is None:
        raise RefusalError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    try:
        return visit.world.user(visit.caller.user)
    except KeyError as error:
        raise RefusalError(404, "Request_ResourceNotFound", "Resource does not exist.") from error


async def _me(visit: _Visit) -> Response:
    context = {"@odata.context": f"{visit.root}$metadata#users/$entity"}
    return JSONResponse(context | profile(_me_of(visit)))


async def _my_messages(visit: _Visit) -> Response:
    return _page(visit, messages(_me_of(visit)), "users/messages")


async def _users(visit: _Visit) -> Response:
    return _page(visit, [profile(user) for user in visit.world.all_users()], "users")


def _page(visit: _Visit, items: list[dict[str, Any]], what: str) -> Response:
    params, url = visit.request.query_params, str(visit.request.url.replace(query=""))
    try:
        document = page(items, url, params.get("$top", ""), params.get("$skip", ""))
    except ValueError as error:
        raise RefusalError(400, "BadRequest", "Invalid value for the query option $top or $skip.") from error
    return JSONResponse({"@odata.context": f"{visit.root}$metadata#{what}"} | document)


async def _echo(visit: _Visit) -> Response:
    """Tell what arrived, but never a token: that is what the tests of leaks look at."""
    request, body = visit.request, await visit.request.body()
    headers = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": headers,
            "user": visit.caller.user,
            "client_id": visit.caller.client_id,
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    )


async def _set_cookie(visit: _Visit) -> Response:
    response = JSONResponse({"user": visit.caller.user})
    response.set_cookie("graph_session", visit.caller.user or visit.caller.client_id)
    return response


async def _redirect(visit: _Visit) -> Response:
    return RedirectResponse(visit.request.query_params.get("to", f"{visit.root}me"), 302)


def build_graph(world: GraphWorld) -> Starlette:
    """Return LocalGraph's ASGI application."""
    table: list[tuple[str, list[str], Answer, str | None, str | None]] = [
        ("me", ["GET"], _me, "User.Read", None),
        ("me/messages", ["GET"], _my_messages, "Mail.Read", None),
        ("users", ["GET"], _users, "User.Read.All", "User.Read.All"),
        ("echo", ["GET", "POST", "PUT", "PATCH", "DELETE"], _echo, None, None),
        ("set-cookie", ["GET"], _set_cookie, None, None),
        ("redirect", ["GET"], _redirect, None, None),
    ]
    routes = [
        Route(f"/v1.0/{path}", _Door(world, answer, delegated, application), methods=methods)
        for path, methods, answer, delegated, application in table
    ]
    return Starlette(routes=routes)
