"""Note what happens while the API answers a request, for the picture that the page draws.

What is noted is what was measured: when the token was found valid, when requests to Graph left and came back, and what
LocalEntra itself says it was asked with this token in between. No token is noted; of the caller's, some claims are.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, cast

import httpx
from fastapi import Depends, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from obo_middleware.testing import LocalEntra, TokenRequest

HEADER = "Demo-Recording"
SHOWN_CLAIMS = ("aud", "scp", "azp", "name", "amr", "acrs", "xms_cc", "exp")
_EXCHANGE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Recording:
    """The steps of one request, each at so many milliseconds after its arrival."""

    def __init__(self, entra: LocalEntra, token: str, path: str) -> None:
        self._entra, self._token = entra, token
        self._began = time.perf_counter()
        self._seen = len(self._exchanges())
        self._keys = entra.requests_to("jwks")
        self._waited_since = 0.0
        self._left = 0.0
        self._settled = True
        self.claims: dict[str, Any] = {}
        self.steps: list[dict[str, Any]] = [{"kind": "request", "at": 0.0, "path": path}]

    def admit(self, claims: dict[str, Any]) -> None:
        """Note that the middleware let the request in."""
        self.claims = {name: claims[name] for name in SHOWN_CLAIMS if name in claims}
        self._note_keys()
        self._note("valid", left=int(claims["exp"] - self._entra.clock()))

    def watch(self, client: httpx.AsyncClient) -> None:
        """Note what a downstream client sends and gets."""
        self._waited_since, self._settled = self._now(), False
        client.event_hooks = {"request": [self._leaves], "response": [self._returns]}

    async def _leaves(self, request: httpx.Request) -> None:
        self._settle()
        self._left = self._now()
        self._note("call", path=request.url.path)

    async def _returns(self, response: httpx.Response) -> None:
        challenged = "insufficient_claims" in response.headers.get("www-authenticate", "")
        self._note("called", status=response.status_code, challenged=challenged, took=self._now() - self._left)
        self._waited_since, self._settled = self._now(), False

    def _settle(self) -> None:
        """Note where the token came from that a request to Graph needed: the cache, or LocalEntra."""
        asked = self._exchanges()[self._seen :]
        self._seen += len(asked)
        if asked:
            last, took = asked[-1], self._now() - self._waited_since
            answer: dict[str, Any] = {
                "status": last.status,
                "error": last.error,
                "code": last.error_code,
                "tries": len(asked),
            }
            self._note("exchange", at=self._waited_since, scope=_short(last.form.get("scope", "")))
            self._note("exchanged", took=took, **answer)
        else:
            self._note("hit", at=self._waited_since)
        self._settled = True

    def end(self, status: int) -> str:
        """Return the recording as the text of a header."""
        if not self.claims:
            self._note_keys()
        if not self._settled and status >= 400 and len(self._exchanges()) > self._seen:
            self._settle()
        self._note("answer", status=status, took=self._now())
        return json.dumps({"claims": self.claims, "steps": self.steps}, default=list, separators=(",", ":"))

    def _note_keys(self) -> None:
        if self._entra.requests_to("jwks") > self._keys:
            self._note("keys")

    def _exchanges(self) -> list[TokenRequest]:
        """Return what LocalEntra was asked with this very token."""
        asked = self._entra.token_requests
        return [one for one in asked if one.grant_type == _EXCHANGE and one.form.get("assertion") == self._token]

    def _now(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 2)

    def _note(self, kind: str, at: float | None = None, **more: Any) -> None:
        self.steps.append({"kind": kind, "at": self._now() if at is None else at} | more)


def _short(scopes: str) -> str:
    """Return scopes without their resource and the words of OpenID Connect."""
    names = [scope.rpartition("/")[2] for scope in scopes.split()]
    return " ".join(name for name in names if name not in ("openid", "profile", "offline_access"))


class Recorder:
    """ASGI middleware outside of everything: begins a recording, and sends it with the answer."""

    def __init__(self, app: ASGIApp, entra: LocalEntra) -> None:
        self._app, self._entra = app, entra

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        recording = Recording(self._entra, header.partition(" ")[2], scope["path"])

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])[HEADER] = recording.end(message["status"])
            await send(message)

        scope.setdefault("state", {})["recording"] = recording
        await self._app(scope, receive, answer)


class Admission:
    """ASGI middleware inside of the one that validates: notes who was let in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        if "recording" in state:
            state["recording"].admit(dict(state["obo"].user.claims))
        await self._app(scope, receive, send)


def _recorded(request: Request) -> Recording:
    return cast(Recording, request.state.recording)


Recorded = Annotated[Recording, Depends(_recorded)]
"""The recording of the request, as a parameter of a route."""
