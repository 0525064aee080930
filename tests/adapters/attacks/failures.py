"""One request for each way in which a request can fail, as a client of the API meets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from obo_middleware.errors import (
    ClaimsChallengeError,
    InsufficientScopeError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
)
from obo_middleware.testing import foreign_key
from tests.adapters.attacks.handlers import Call, ClientOf, Context, Deed, Way
from tests.adapters.world import SECRET, World
from tests.core.hostile import Answer, Scripted

CHALLENGE = 'Bearer error="insufficient_claims", claims="eyJhIjoiYiJ9"'


class Doing:
    """Do one thing with the context, the same in both colours."""

    def __init__(self, what: Callable[[Any], Any]) -> None:
        self._what = what

    async def awaitable(self, context: Any) -> Any:
        return self._what(context)

    def blocking(self, context: Context, client: ClientOf) -> Any:
        return self._what(context)


def raising(error: Exception) -> Doing:
    """Return the deed of a handler that raises an error."""

    def fail(_context: Any) -> Any:
        raise error

    return Doing(fail)


@dataclass(frozen=True)
class Failure:
    """A request that fails: what its user's token is, what the world does, what the handler does, and the answer."""

    status: int
    deed: Deed = field(default_factory=Call)
    token: Callable[[World, str], str | None] = lambda world, user: world.token(user, xms_cc=["cp1"])
    turn: Callable[[World, Scripted, str, str], object] = lambda world, api, user, token: None
    ours: bool = True
    """Whether the middleware gives the answer; else the framework does."""


def _claims(**claims: Any) -> Callable[[World, str], str]:
    return lambda world, user: world.token(user, **claims)


def _provider_says(status: int, body: Mapping[str, Any] | bytes, times: int = 1) -> Callable[..., object]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def turn(world: World, *_rest: object) -> None:
        for _ in range(times):
            world.entra.answer_once(status, {"Content-Type": "application/json"}, data)

    return turn


def _api_says(*answers: Answer) -> Callable[..., object]:
    return lambda world, api, user, token: api.say("/v1/me", answers[0])


def mirrored(status: int, **members: Any) -> Callable[..., object]:
    """Have the provider repeat in its answer everything that it got.

    It stands for ``{}`` in a member; one that is None is left out.
    """

    def turn(world: World, _api: Scripted, _user: str, token: str) -> None:
        text = f"you are {SECRET}, you sent {token} as Bearer {token}"
        body = {"error": "invalid_client", "error_description": text, "suberror": text, "claims": text}
        body |= {
            name: value.replace("{}", text) if isinstance(value, str) else value for name, value in members.items()
        }
        said = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        for _ in range(4):
            world.entra.answer_once(status, {}, said)

    return turn


def _ended(context: Any) -> Any:
    context.end()
    return context.credential


def _bug(_context: Any) -> Any:
    raise RuntimeError("a bug in the handler")


TOKEN_IN_HEADER = Call(prepare=lambda client: client.headers.update({"Authorization": f"Bearer {SECRET}"}))

FAILURES: dict[str, Failure] = {
    # By the request itself
    "no token": Failure(401, token=lambda world, user: None),
    "no bearer token": Failure(401, token=lambda world, user: "Basic"),
    "two words": Failure(400, token=lambda world, user: f"{world.token(user)} {world.token(user)}"),
    "foreign key": Failure(401, token=_claims(key=foreign_key())),
    "unknown kid": Failure(401, token=_claims(headers={"kid": "unknown"})),
    "expired": Failure(401, token=_claims(lifetime=-10)),
    "another audience": Failure(401, token=_claims(aud="api://other")),
    "another issuer": Failure(401, token=_claims(iss="https://issuer.example/v2.0")),
    "cut off": Failure(401, token=lambda world, user: world.token(user)[:-30]),
    "too long": Failure(401, token=lambda world, user: world.token(user, filler="x" * 13_000)),
    "an application": Failure(403, token=lambda world, user: world.entra.app_token(roles=["Tasks.Run"])),
    # By the route
    "scope": Failure(403, Doing(lambda context: context.require("orders.write"))),
    "sign-in": Failure(401, Doing(lambda context: context.require_authentication(acr_values=["phr"], max_age=0))),
    "context": Failure(401, Doing(lambda context: context.require_authentication_context("c1"))),
    "undeclared": Failure(500, Doing(lambda context: context.client("nowhere"))),
    "misused": Failure(500, Doing(lambda context: context.require_authentication())),
    # By the provider
    "consent": Failure(403, turn=lambda w, a, user, t: w.entra.require_consent(user, w.entra.api, ["User.Read"])),
    "mfa": Failure(401, turn=lambda w, a, user, t: w.entra.require_mfa(user)),
    "mfa without cp1": Failure(403, token=_claims(), turn=lambda w, a, user, t: w.entra.require_mfa(user)),
    "session": Failure(401, turn=lambda w, a, user, t: w.entra.revoke(user, end_session=True)),
    "throttled": Failure(503, turn=lambda w, a, u, t: w.entra.throttle(retry_after=7)),
    "outage": Failure(503, turn=lambda w, a, u, t: w.entra.outage(status=500)),
    "no answer": Failure(503, turn=lambda w, a, u, t: w.entra.drop_connections()),
    "HTML": Failure(502, turn=_provider_says(200, b"<html>")),
    "another type": Failure(502, turn=_provider_says(200, {"access_token": "a", "token_type": "pop"})),
    "secret refused": Failure(500, turn=mirrored(401, error_codes=[7000215])),
    "assertion refused": Failure(401, turn=mirrored(400, error="invalid_grant", error_codes=[50013])),
    "user must act": Failure(403, turn=mirrored(400, error="interaction_required", error_codes=[50076])),
    "claims, mirrored": Failure(401, turn=mirrored(400, error="interaction_required", claims='{"a": "{}"}')),
    "consent, mirrored": Failure(403, turn=mirrored(400, error="invalid_grant", error_codes=[65001])),
    "outage, mirrored": Failure(503, turn=mirrored(500)),
    "unknown, mirrored": Failure(502, turn=mirrored(400, error="unheard_of")),
    "token, mirrored": Failure(502, turn=mirrored(200, error=None, access_token="a b", expires_in=3600)),
    # By the way of a downstream request
    "another origin": Failure(500, Call("http://localhost:9/v1/me")),
    "own header": Failure(500, TOKEN_IN_HEADER),
    "no auth": Failure(500, Call(options={"auth": None})),
    "request over": Failure(500, Doing(lambda context: (context.end(), context._lease.check()))),
    "challenge for ever": Failure(401, turn=_api_says(Answer(401, b"{}", [("WWW-Authenticate", CHALLENGE)]))),
    # By a handler
    "bug": Failure(500, Doing(_bug), ours=False),
    "raised scope": Failure(403, raising(InsufficientScopeError("not enough", scopes=["a", "b"]))),
    "raised claims": Failure(401, raising(ClaimsChallengeError("more", claims='{"a":"b"}'))),
    "raised outage": Failure(503, raising(UpstreamUnavailableError("down", retry_after=3))),
    "raised unusable": Failure(502, raising(UnusableUpstreamError("what?"))),
}


def play(way: Way, world: World, api: Scripted, failure: Failure) -> tuple[bytes, str | None]:
    """Return the bytes of the answer to a failing request, and the token that it came with."""
    user = world.newcomer()
    token = failure.token(world, user)
    failure.turn(world, api, user, token or "")
    try:
        line = [] if token is None else [b"Authorization: " + _credentials(token)]
        return way.say(failure.deed, *line), token
    finally:
        world.set_back()


def _credentials(token: str) -> bytes:
    return b"Basic YTpi" if token == "Basic" else b"Bearer " + token.encode()
