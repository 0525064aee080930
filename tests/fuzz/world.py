"""The world around a target: an app of both kinds, without a network, and everything that it sees and says."""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from credentials.kernel import Flow, HttpRequest, HttpResponse
from obo_middleware import DownstreamApi, Settings, TrustedIssuer, User
from obo_middleware import asgi as asgi_adapter
from obo_middleware import wsgi as wsgi_adapter
from obo_middleware._runtime import Runtime
from obo_middleware.testing import LocalEntra, foreign_key
from tests.core.foreign_issuer import ForeignKey
from tests.core.kit import NOW, Clock, claims_of, fetch, header_of, play, settings_for, signer

T = TypeVar("T")

TRUSTED = "https://idp.example/realm"
AUDIENCE = "https://api.example/notes"
SCOPE = "access_as_user"


class FoundError(AssertionError):
    """Something that must not be, whatever the input is."""


def must(*, hold: bool, else_: str) -> None:
    """Raise :class:`FoundError` unless a rule holds."""
    if not hold:
        raise FoundError(else_)


@dataclass
class Answer:
    """What the client of the API got, and as whom the app was called."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    user: User | None = None
    called: int = 0


@dataclass(frozen=True)
class Issuing:
    """An issuer's key, and a good token's header and claims."""

    key: ForeignKey
    header: dict[str, Any]
    claims: dict[str, Any]


class Listener(logging.Handler):
    """Formats every record, as an application's handlers do, and keeps the loggers to itself while it listens."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("obo_middleware", "credentials")]

    def begin(self) -> None:
        for logger in self._loggers:
            logger.addHandler(self)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False

    def end(self) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class World:
    """An API at Entra and at one more issuer, with its keys fetched."""

    def __init__(self, settings: Settings, issuings: Sequence[Issuing], documents: dict[str, bytes]) -> None:
        self.settings = settings
        self.issuings = issuings
        self.forger = ForeignKey("RS256", issuings[0].key.kid, foreign_key().private_key)
        self.documents = documents
        self.runtime = Runtime(settings)
        self.log = Listener()
        self._asgi = asgi_adapter.OnBehalfOfMiddleware(self._asgi_app, settings)
        self._wsgi = wsgi_adapter.OnBehalfOfMiddleware(self._wsgi_app, settings)
        self._asgi._runtime = self._wsgi.runtime = self.runtime
        self.runtime.async_driver = _AsyncByHand(self.answer)  # type: ignore[assignment]  # has the one method in use
        self.runtime.blocking_driver = _ByHand(self.answer)  # type: ignore[assignment]  # as above
        self._answer = Answer()
        self.play(self.runtime.warm_up_flow())

    def fresh(self) -> World:
        """Forget what earlier inputs left behind."""
        self.runtime.validator._remembered.clear()
        for issuer in self.runtime.validator.issuers.values():
            issuer._next_fetch = 0.0
        self.log.said.clear()
        return self

    def answer(self, effect: Any) -> object:
        """Give one of the provider's documents; nothing else may be asked for."""
        request: HttpRequest = effect.request
        must(hold=request.method == "GET" and request.url in self.documents, else_=f"it asks for {request.url}")
        return HttpResponse(status=200, headers={}, body=self.documents[request.url])

    def play(self, flow: Flow[T]) -> T:
        result: T = play(flow, self.answer).value()
        return result

    # The two adapters

    def through_asgi(self, values: Sequence[bytes], path: str, method: str, query: bytes) -> Answer:
        self._answer = given = Answer()
        headers = [(b"host", b"api.example"), *((b"authorization", value) for value in values)]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": query}
        coroutine = self._asgi(scope, _receive, self._send)
        try:
            coroutine.send(None)
        except StopIteration:
            return given
        raise FoundError("it waits for something")

    def through_wsgi(self, values: Sequence[bytes], path: str, method: str, query: bytes) -> Answer:
        """Fold several headers into one, as servers do."""
        self._answer = given = Answer()
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": query.decode("latin-1")}
        environ |= {"PATH_INFO": path.encode().decode("latin-1"), "wsgi.input": io.BytesIO()}
        if values:
            environ["HTTP_AUTHORIZATION"] = b",".join(values).decode("latin-1")
        body = self._wsgi(environ, self._start)
        list(body)
        getattr(body, "close", lambda: None)()
        return given

    async def _asgi_app(self, scope: Any, _receive: Any, send: Any) -> None:
        self._call(scope["state"]["obo"].user)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _wsgi_app(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        self._call(environ[wsgi_adapter.ENVIRON_KEY].user)
        start("200 OK", [])
        return []

    def _call(self, user: User | None) -> None:
        self._answer.called += 1
        self._answer.user = user

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self._begin(message["status"], pairs)

    def _start(self, status: str, headers: list[tuple[str, str]], *_exc_info: Any) -> None:
        self._begin(int(status.split(maxsplit=1)[0]), headers)

    def _begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        must(hold=not self._answer.status, else_="it answers twice")
        self._answer.status, self._answer.headers = status, headers


class _ByHand:
    def __init__(self, answer: Callable[[Any], object]) -> None:
        self._answer = answer

    def run(self, flow: Flow[Any]) -> Any:
        return play(flow, self._answer).value()


class _AsyncByHand(_ByHand):
    async def run(self, flow: Flow[Any]) -> Any:
        return super().run(flow)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@functools.cache
def world() -> World:
    """Return the one world, made of what a local provider publishes and signs."""
    documents: dict[str, bytes] = {}

    def record(effect: Any) -> object:
        response = documents_of_the_trusted().get(effect.request.url) or fetch(effect)
        assert isinstance(response, HttpResponse)
        documents[effect.request.url] = response.body
        return response

    with LocalEntra(clock=Clock()) as entra:
        graph = DownstreamApi("https://graph.example/v1.0", scopes=["User.Read"])
        trusted = TrustedIssuer(TRUSTED, audiences=[AUDIENCE], algorithms=["RS256", "ES256"])
        settings = settings_for(
            entra, required_scopes=[SCOPE], downstream_apis={"graph": graph}, issuers=[trusted], public_paths=["/open"]
        )
        play(Runtime(settings).warm_up_flow(), record).value()
        token = entra.sign_in("alice")
        key = ForeignKey("RS256", signer(entra).kid, signer(entra).private_key)
    return World(settings, [Issuing(key, header_of(token), claims_of(token)), trusted_issuing()], documents)


@functools.cache
def trusted_issuing() -> Issuing:
    key = ForeignKey("ES256", "trusted-1", ec.derive_private_key(20_261_124, ec.SECP256R1()))
    claims = {"iss": TRUSTED, "aud": AUDIENCE, "sub": "carol", "client_id": "client-1", "scope": f"openid {SCOPE}"}
    claims |= {"iat": int(NOW), "exp": int(NOW) + 3600, "jti": "t-1"}  # type: ignore[dict-item]  # JSON of any kind
    return Issuing(key, {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}, claims)


def documents_of_the_trusted() -> dict[str, HttpResponse]:
    keys = {"keys": [trusted_issuing().key.jwk]}
    about = {"issuer": TRUSTED, "jwks_uri": f"{TRUSTED}/keys"}
    found = {f"{TRUSTED}/.well-known/openid-configuration": about, f"{TRUSTED}/keys": keys}
    return {url: HttpResponse(status=200, headers={}, body=json.dumps(body).encode()) for url, body in found.items()}
