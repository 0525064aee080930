"""An issuer that is not Entra, on loopback: its metadata, its keys, and tokens of any make.

::

    with ForeignIssuer(algorithm="ES256") as issuer:
        settings = Settings(..., issuers=[issuer.trusted()], allow_local_issuer=True)
        token = issuer.token(sub="alice")
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from credentials.kernel import Clock
from obo_middleware import OboError, TrustedIssuer
from obo_middleware._runtime import Runtime
from tests.core.hostile import Answer, Scripted
from tests.core.kit import Run, bearer, encode, run_by_hand

AUDIENCE = "https://api.example/notes"
CLIENT_ID = "client-1"
OIDC = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
KEYS = "/keys"

_CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@dataclass(frozen=True)
class ForeignKey:
    """One key pair with its id, and the algorithm that it is for."""

    algorithm: str
    kid: str
    private: Any = field(repr=False)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key, as a key set has it."""
        public = json.loads(jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key()))
        return {name: value for name, value in public.items() if name != "key_ops"} | self._labels

    @property
    def _labels(self) -> dict[str, str]:
        return {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def signature(self, text: bytes) -> bytes:
        return jwt.get_algorithm_by_name(self.algorithm).sign(text, self.private)

    def sign(self, header: Mapping[str, Any], payload: Mapping[str, Any] | bytes) -> str:
        """Sign exactly this header and payload."""
        parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
        text = ".".join(encode(part) for part in parts)
        return f"{text}.{encode(self.signature(text.encode()))}"


@functools.cache
def private_key(kind: str, number: int = 0) -> Any:
    """Return the key pair of that number for an algorithm, or for ``Ed448``; made once for each process."""
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    # Half a second each in the worst case, so all algorithms of RSA share one.
    return private_key("RSA", number) if kind != "RSA" else rsa.generate_private_key(65537, 2048)


def key_pair(algorithm: str = "ES256", number: int = 0, kid: str | None = None) -> ForeignKey:
    """Return a key; keys of different numbers differ."""
    return ForeignKey(algorithm, kid or f"{algorithm}-{number}", private_key(algorithm, number))


class ForeignIssuer:
    """An issuer and its server; ``path`` is its URL's path, ``clock`` says when its tokens are made."""

    def __init__(self, algorithm: str = "ES256", *, path: str = "", clock: Clock = time.time) -> None:
        self.server = Scripted()
        self.key = key_pair(algorithm)
        self._path = path
        self._clock = clock

    def __enter__(self) -> Self:
        self.server.__enter__()
        self.publish(self.key)
        self.server.say(self._path.rstrip("/") + OIDC, self.metadata())
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)

    @property
    def url(self) -> str:
        """The issuer, as it stands in ``iss``."""
        return self.server.url + self._path

    @property
    def paths(self) -> list[str]:
        """What the server was asked for."""
        return self.server.paths

    def metadata(self, **changes: Any) -> dict[str, Any]:
        document = {"issuer": self.url, "jwks_uri": self.server.url + KEYS} | changes
        return {name: value for name, value in document.items() if value is not None}

    def publish(self, *keys: ForeignKey | dict[str, Any]) -> None:
        """Publish these keys, and no others."""
        jwks = [key.jwk if isinstance(key, ForeignKey) else key for key in keys]
        self.server.say(KEYS, {"keys": jwks})

    def rotate(self, number: int = 1) -> None:
        """Sign with another key, and publish only that one."""
        self.key = key_pair(self.key.algorithm, number)
        self.publish(self.key)

    def fail(self, *paths: str, answer: Answer | None = None) -> None:
        """Answer these paths with an error."""
        for path in paths or (self._path.rstrip("/") + OIDC, KEYS):
            self.server.say(path, answer or Answer(503))

    def trusted(self, **changes: Any) -> TrustedIssuer:
        """Return what an API says that trusts this issuer."""
        given: dict[str, Any] = {"audiences": [AUDIENCE], "algorithms": [self.key.algorithm]} | changes
        return TrustedIssuer(self.url, **given)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a user's token; a claim that is None is left out."""
        now = int(self._clock())
        claims = {
            "iss": self.url,
            "sub": "alice",
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "client_id": CLIENT_ID,
            "scope": "notes.read notes.write",
            "name": "Alice Adams",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        header = {"alg": self.key.algorithm, "kid": self.key.kid, "typ": "at+jwt"} | changes
        return {name: value for name, value in header.items() if value is not None}

    def token(self, *, headers: Mapping[str, Any] | None = None, key: ForeignKey | None = None, **changes: Any) -> str:
        """Return a token, signed by this issuer's key or another one."""
        return (key or self.key).sign(self.header(**headers or {}), self.claims(**changes))


CODES = {
    (400, "invalid_request"): "B",
    (401, "invalid_token"): "T",
    (403, "insufficient_scope"): "S",
    (503, ""): "X",
    (500, ""): "E",
}


def outcome(runtime: Runtime, token: str, run: Run = run_by_hand) -> str:
    """Return the code that the list of attacks has for what happens to a request with a token, or ``OK``."""
    try:
        valid = run(runtime.admit_flow(bearer(token), "/me"))
    except OboError as error:
        return _code(runtime, error, token)
    assert runtime.known(bearer(token), "/me") in (valid, None), "None where the keys are too old to rely on"
    return "OK"


def _code(runtime: Runtime, error: OboError, token: str) -> str:
    reply = runtime.reply(error, None)
    challenge = dict(reply.headers).get("WWW-Authenticate", "")
    code = CODES[reply.status, error.error or ""]
    assert challenge.count(f'error="{error.error}"') == (error.error is not None)
    remembered = runtime.validator.remembered(*bearer(token)) is not None
    assert remembered == (code == "S"), "a token that is refused is not kept, one that grants too little is"
    return code
