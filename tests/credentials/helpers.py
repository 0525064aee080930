"""What the tests of the credentials share: flows played by hand, a clock, answers, certificates."""

from __future__ import annotations

import asyncio
import base64
import datetime
import functools
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from credentials import AccessToken, AccessTokenInfo, ClientSecretCredential, OnBehalfOfCredential, TokenRequestOptions
from credentials import aio as awaitable
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import Effect, Flow, HttpResponse
from credentials._pool import ConnectionPool
from obo_middleware.testing import LocalEntra

T = TypeVar("T")

NOW = 1_800_000_000.0
SECRET = "local-secret-not-for-production"
GRAPH = "https://graph.microsoft.com"


class Clock:
    """A clock that moves when a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


# Flows by hand


@dataclass
class Played(Generic[T]):
    """What a flow asked for, and how it ended."""

    effects: list[Effect] = field(default_factory=list)
    error: BaseException | None = None
    value: list[T] = field(default_factory=list)

    @property
    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value[0]


def play(flow: Flow[T], *answers: object) -> Played[T]:
    """Run a flow to its end: give it the answers one after the other, throw those that are exceptions."""
    played: Played[T] = Played()
    left = list(answers)
    step: Callable[[], Effect] = functools.partial(next, flow)
    try:
        while True:
            played.effects.append(step())
            if not left:
                break
            answer = left.pop(0)
            give: Callable[..., Effect] = flow.throw if isinstance(answer, BaseException) else flow.send
            step = functools.partial(give, answer)
    except StopIteration as stop:
        played.value.append(stop.value)
        assert not left, "the flow ended before it took all answers"
        return played
    except Exception as error:  # noqa: BLE001  # whatever the flow raises is its outcome
        played.error = error
        assert not left, "the flow ended before it took all answers"
        return played
    flow.close()
    raise AssertionError(f"the flow asks for more: {played.effects[-1]}")


# Both colours


class Drive:
    """Run flows by the blocking or the awaitable driver over one pool."""

    def __init__(self, colour: str, pool: ConnectionPool) -> None:
        self.colour, self.pool = colour, pool

    def __call__(self, flow: Flow[T]) -> T:
        return BlockingDriver(self.pool).run(flow) if self.colour == "blocking" else asyncio.run(self._run(flow))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            return await AsyncDriver(self.pool).run(flow)
        finally:
            await self.pool.aclose()


class Colour:
    """Make credentials of one colour and use them from plain tests."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def classes(self) -> tuple[type[Any], type[Any]]:
        if self.name == "blocking":
            return ClientSecretCredential, OnBehalfOfCredential
        return awaitable.ClientSecretCredential, awaitable.OnBehalfOfCredential

    def client_secret(self, *args: Any, **options: Any) -> Any:
        return self.classes[0](*args, **options)

    def on_behalf_of(self, *args: Any, **options: Any) -> Any:
        return self.classes[1](*args, **options)

    def get_token(self, credential: Any, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, and close what the credential opened for it."""
        token: AccessToken = self._use(credential, lambda: credential.get_token(*scopes, **options))
        return token

    def get_token_info(
        self, credential: Any, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        info: AccessTokenInfo = self._use(credential, lambda: credential.get_token_info(*scopes, options=options))
        return info

    def _use(self, credential: Any, ask: Callable[[], Any]) -> Any:
        if self.name == "blocking":
            with credential:
                return ask()
        return asyncio.run(_use_async(credential, ask))


async def _use_async(credential: Any, ask: Callable[[], Awaitable[Any]]) -> Any:
    async with credential:
        return await ask()


def local_options(entra: LocalEntra) -> dict[str, Any]:
    """Return the options by which a credential finds a local provider and shares its clock."""
    trust = {"connection_verify": entra.ca_pem_path} if entra.tls else {"allow_local_authority": True}
    return {"authority": entra.authority, "clock": entra.clock, **trust}


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Run the work in so many threads at once and return the results, or the exceptions."""
    results: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(10)
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  # the test looks at it
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == count, "a thread hangs"
    return results


# Answers of a token endpoint


def answer(status: int = 200, headers: Mapping[str, str] | None = None, **members: Any) -> HttpResponse:
    """Return an answer with a JSON object as its body."""
    return HttpResponse(status=status, headers=headers or {}, body=json.dumps(members).encode())


def token_answer(text: str = "downstream-token", **members: Any) -> HttpResponse:
    usual: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600, "access_token": text}
    return answer(**(usual | members))


def refusal(*codes: int, status: int = 400, error: str = "invalid_grant", **members: Any) -> HttpResponse:
    headers = members.pop("headers", {})
    return answer(status, headers, error=error, error_codes=list(codes), error_description="AADSTS: no.", **members)


def client_info(uid: str, utid: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"uid": uid, "utid": utid}).encode()).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


# Keys and certificates


def rsa_key(name: str = "leaf") -> rsa.RSAPrivateKey:
    """Return an RSA key, the same one for the same name: making one takes a while."""
    return _rsa_key(name)


@functools.cache
def _rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(name: str = "leaf", *, elliptic: bool = False) -> x509.Certificate:
    """Return a certificate of a name's key, the same one for the same name."""
    return _certificate(name, elliptic)


@functools.cache
def _certificate(name: str, elliptic: bool) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = ec_key() if elliptic else rsa_key(name)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36_500))
    return builder.sign(key, hashes.SHA256())


def certificate_pem(name: str = "leaf", *, elliptic: bool = False) -> bytes:
    return certificate(name, elliptic=elliptic).public_bytes(serialization.Encoding.PEM)


def certificate_der(name: str = "leaf") -> bytes:
    return certificate(name).public_bytes(serialization.Encoding.DER)


def key_pem(
    name: str = "leaf",
    password: bytes | None = None,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    *,
    elliptic: bool = False,
) -> bytes:
    key = ec_key() if elliptic else rsa_key(name)
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)
