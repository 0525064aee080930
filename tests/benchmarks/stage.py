"""What the benchmarks share: a provider, tokens of realistic size, and settings that fit them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from starlette.types import ASGIApp, Message

from credentials import AccessTokenInfo
from credentials.kernel import BlockingDriver, Flow, UserAssertion, Want
from obo_middleware import DownstreamApi, Settings
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware._validation import Validated
from obo_middleware.testing import Application, AppSecret, LocalEntra

INBOUND = 1_700
DOWNSTREAM = 2_048
API = "graph"
SCOPE = "User.Read"
GRAPH_SCOPE = f"https://graph.microsoft.com/{SCOPE}"
_GROUP = 39
"""Characters that one more group takes in a token's JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteProvider:
    """Stand for a LocalEntra in another process, by what its clients need to know."""

    authority: str
    tenant_id: str
    api: Application
    ca_pem_path: str

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this provider only."""
        return ssl.create_default_context(cafile=self.ca_pem_path)

    @classmethod
    def of(cls, told: dict[str, str]) -> RemoteProvider:
        """Return the provider that a process told of."""
        api = Application("api", told["client_id"], secrets=(AppSecret(told["client_secret"]),))
        return cls(authority=told["authority"], tenant_id=told["tenant_id"], api=api, ca_pem_path=told["ca_pem_path"])


Provider = LocalEntra | RemoteProvider


@contextmanager
def provider() -> Iterator[LocalEntra]:
    """Serve the local provider over TLS, which the peers insist on."""
    with LocalEntra(tls=True) as entra:
        yield entra


def inbound_token(entra: LocalEntra, user: str) -> str:
    """Return an access token for the demo API, as long as one of a user with a dozen groups."""
    if user not in entra.users:
        entra.add_user(user)
    short = len(entra.sign_in(user))
    groups = [
        str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))) for number in range((INBOUND - short) * 3 // 4 // _GROUP)
    ]
    return entra.sign_in(user, groups=groups)


def settings(entra: Provider, **changes: Any) -> Settings:
    """Return the demo API's settings, with one downstream API that is never called."""
    given: dict[str, Any] = {
        "tenant_id": entra.tenant_id,
        "client_id": entra.api.client_id,
        "client_credential": entra.api.secret,
        "authority": entra.authority,
        "allow_local_issuer": True,
        "ssl_context": entra.ssl_context(),
        "downstream_apis": {API: DownstreamApi("https://graph.microsoft.com/v1.0", scopes=[SCOPE])},
    }
    return Settings(**given | changes)


def warm_runtime(entra: Provider) -> Runtime:
    """Return the runtime of an application that has started: the provider's keys are known."""
    runtime = Runtime(settings(entra))
    runtime.blocking_driver.run(runtime.warm_up_flow())
    return runtime


def admit(runtime: Runtime, header: bytes) -> Validated:
    """Return whose a request with this ``Authorization`` is, by the steps of the middleware."""
    values, path = [header], "/me"
    valid = runtime.known(values, path) or runtime.blocking_driver.run(runtime.admit_flow(values, path))
    assert valid is not None
    return valid


def bearer(token: str) -> bytes:
    """Return the value of the ``Authorization`` header, made anew as a server makes it for each request."""
    return b"Bearer " + token.encode()


def user_number(valid: Validated, number: int) -> Validated:
    """Return another user's validated token: the same but for its partition of the cache."""
    partition = hashlib.sha256(number.to_bytes(8, "big")).digest()
    assertion = UserAssertion(token=valid.assertion.token, partition=partition)
    return valid._replace(assertion=assertion)


def keep_token(runtime: Runtime, valid: Validated) -> None:
    """Put a token of 2 kB into the cache for a user, as an exchange would."""
    query = runtime.client.query((SCOPE,), enable_cae=runtime.settings.enable_cae)
    want = Want(key=runtime.client.key(query, valid.assertion))
    BlockingDriver(runtime.pool).run(runtime.engine.token_flow(want, lambda: given_flow(opaque_token(DOWNSTREAM))))


def given_flow(token: str) -> Flow[AccessTokenInfo]:
    """Return a token as if the provider had just given it."""
    yield from ()
    return AccessTokenInfo(token, 4_000_000_000, refresh_on=3_999_990_000)


_made = iter(range(10**9))


def opaque_token(length: int) -> str:
    """Return a text unlike every other one, as long as a token."""
    return f"{next(_made):0{length}d}"


def context_of(runtime: Runtime, valid: Validated) -> AsyncContext:
    """Return a request's context for a user."""
    return AsyncContext(runtime, valid)


def signing_key(entra: Provider, token: str) -> Any:
    """Return the public key that verifies a token, as PyJWT finds it."""
    keys = jwt.PyJWKClient(f"{entra.authority}/{entra.tenant_id}/discovery/v2.0/keys", ssl_context=entra.ssl_context())
    return keys.get_signing_key_from_jwt(token).key


@asynccontextmanager
async def alive(app: ASGIApp) -> AsyncIterator[None]:
    """Start an ASGI app as a server does, and end it."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    living = asyncio.ensure_future(_life(app, told, heard))
    await told.put({"type": "lifespan.startup"})
    await heard.get()
    try:
        yield
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await living


async def _life(app: ASGIApp, told: asyncio.Queue[Message], heard: asyncio.Queue[Message]) -> None:
    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, told.get, heard.put)


def base64url(data: bytes) -> str:
    """Return bytes as base64url text without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
