"""What these tests share: a clock turned by hand, flows played by hand and by both drivers, tokens of any make."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from credentials.kernel import AsyncDriver, BlockingDriver, ConnectionPool, Flow, HttpRequest, TransportError, send
from obo_middleware import DownstreamApi, Settings
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware._validation import Validated
from obo_middleware.testing import LocalEntra, SigningKey

T = TypeVar("T")

NOW = 1_800_000_000.0
SECRET = "local-secret-not-for-production"
TENANT = "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3"
CLIENT = "a9100000-0000-4000-8000-000000000001"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: these tests speak http on loopback, and a context of certifi's authorities costs 20 ms."""


class Clock:
    """A clock that moves when a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(**changes: Any) -> Settings:
    """Return settings that work, with changes."""
    given: dict[str, Any] = {"tenant_id": TENANT, "client_id": CLIENT, "client_credential": SECRET}
    return Settings(**given | {"ssl_context": PLAIN} | changes)


def settings_for(entra: LocalEntra, **changes: Any) -> Settings:
    """Return settings of the demo API at a local provider, with changes."""
    local = {"authority": entra.authority, "allow_local_issuer": True, "clock": entra.clock}
    return settings(**local | changes)


def api(base_url: str, **changes: Any) -> DownstreamApi:
    given: dict[str, Any] = {"scopes": ["User.Read"], "timeout": 5.0} | changes
    return DownstreamApi(base_url, **given)


# Flows


@dataclass
class Played:
    """What came of a flow that was played by hand: its result or error, and the effects it asked for."""

    result: Any = None
    error: Exception | None = None
    effects: list[Any] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        return [effect.request.url for effect in self.effects]

    def value(self) -> Any:
        """Return the result; raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


def play(flow: Flow[Any], answer: Callable[[Any], object]) -> Played:
    """Run a flow to its end; ``answer`` makes each effect's result, an exception among them is thrown in."""
    played = Played()
    try:
        effect = next(flow)
        while True:
            played.effects.append(effect)
            result = answer(effect)
            effect = flow.throw(result) if isinstance(result, Exception) else flow.send(result)
    except StopIteration as stop:
        played.result = stop.value
    except Exception as error:  # noqa: BLE001  # whatever it is, the test judges it
        played.error = error
    return played


def no_answer(effect: object) -> object:
    """Be the world in which nothing may be asked for."""
    raise AssertionError(f"an effect that should not be: {effect!r}")


def run_blocking(flow: Flow[T], pool: ConnectionPool | None = None) -> T:
    """Run a flow by the blocking driver."""
    own = pool or ConnectionPool(ssl_context=PLAIN)
    try:
        return BlockingDriver(own).run(flow)
    finally:
        own.close()


def run_awaitable(flow: Flow[T]) -> T:
    """Run a flow by the awaitable driver, on a loop of its own."""

    async def main() -> T:
        pool = ConnectionPool(ssl_context=PLAIN)
        try:
            return await AsyncDriver(pool).run(flow)
        finally:
            await pool.aclose()

    return asyncio.run(main())


def run_by_hand(flow: Flow[T]) -> T:
    """Play a flow with the provider's real answers."""
    result: T = play(flow, fetch).value()
    return result


def fetch(effect: Any) -> object:
    """Answer one request with what the server really says."""
    request: HttpRequest = effect.request
    try:
        return run_blocking(send(request))
    except TransportError as error:
        return error


Run = Callable[[Flow[Any]], Any]
RUNS: dict[str, Run] = {"by hand": run_by_hand, "blocking": run_blocking, "awaitable": run_awaitable}


# Tokens


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def bearer(token: str) -> list[bytes]:
    """Return the values of the Authorization headers of a request with a token."""
    return [b"Bearer " + token.encode()]


def nothing() -> None:
    """Do nothing."""


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(decode(token.split(".")[1]))
    return claims


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(decode(token.partition(".")[0]))
    return header


def signed(key: SigningKey, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes) -> str:
    """Sign exactly these bytes, or this JSON, as RS256 does."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    text = ".".join(encode(part) for part in parts)
    return f"{text}.{encode(signature_of(key, text.encode()))}"


def signature_of(key: SigningKey, text: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return key.private_key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def signer(entra: LocalEntra) -> SigningKey:
    """Return the key that the provider signs with now."""
    return entra._provider.signer()


# A whole application


@dataclass
class World:
    """An application with its users, at a local provider."""

    entra: LocalEntra
    runtime: Runtime

    def valid(self, user: str = "alice", **changes: Any) -> Validated:
        """Return a user whose token was validated."""
        token = self.entra.sign_in(user, **changes)
        valid = run_blocking(self.runtime.admit_flow(bearer(token), "/me"), self.runtime.pool)
        assert valid is not None
        return valid

    def context(self, user: str = "alice", **changes: Any) -> AsyncContext:
        """Return the context of a user's request."""
        return AsyncContext(self.runtime, self.valid(user, **changes))

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run awaitable work on a loop of its own, whose connections are closed at its end."""

        async def main() -> T:
            try:
                return await work()
            finally:
                await self.runtime.pool.aclose()

        return asyncio.run(main())
