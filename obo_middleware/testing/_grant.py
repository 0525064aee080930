"""What a judged request has earned: the values that pass from the judges to the mint."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace

from ._jws import MalformedTokenError, decode_base64url, encode_base64url
from ._registrations import Application, Tenant, User

DEFAULT = ".default"
RESERVED_SCOPES = frozenset({"openid", "profile", "offline_access", "email"})


@dataclass(frozen=True, slots=True)
class SignIn:
    """A user's session as tokens carry it on; `generation` counts the revocations before it began."""

    user: User
    sid: str
    generation: int = 0
    amr: tuple[str, ...] = ()
    acr: str | None = None
    acrs: tuple[str, ...] = ()
    auth_time: int | None = None

    @property
    def has_mfa(self) -> bool:
        """Tell whether the user proved more than one factor."""
        return "mfa" in self.amr


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Who is signed in with a browser. `canary` stands in its pages, so that no other site can answer for the user."""

    sign_in: SignIn
    canary: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)


@dataclass(frozen=True, slots=True)
class ClaimsRequest:
    """The part of a `claims` parameter Entra acts on (OpenID Connect Core section 5.5)."""

    capabilities: tuple[str, ...] = ()
    not_before: int | None = None
    contexts: tuple[str, ...] = ()
    contexts_essential: bool = False
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedScopes:
    """A `scope` parameter understood: names at one resource, and the reserved words apart."""

    resource: Application
    audience: str
    names: tuple[str, ...]
    reserved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Spent:
    """What can be used once and was used by a request."""

    code: str | None = None
    assertion_id: str | None = None
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Everything the mint needs to know to issue tokens; `sign_in` is None for the application itself.

    `proof` is how the client authenticated: "0" not at all, "1" by secret, "2" by certificate or assertion;
    `spa_until` is the epoch second at which a single-page app's refresh tokens end, None for other clients.
    """

    tenant: Tenant
    client: Application
    proof: str
    resource: Application
    audience: str
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    sign_in: SignIn | None = None
    reserved: frozenset[str] = frozenset()
    capabilities: tuple[str, ...] = ()
    nonce: str | None = None
    spa_until: float | None = None
    spent: Spent = Spent()


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """What stands behind a refresh token; `spa_until` as in `Grant`."""

    client_id: str
    sign_in: SignIn
    spa_until: float | None = None


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """What stands behind an authorization code; `expires_on` is epoch seconds, `spa` a single-page app's code."""

    client_id: str
    redirect_uri: str
    wanted: WantedScopes
    sign_in: SignIn
    expires_on: float
    code_challenge: str | None = None
    nonce: str | None = None
    spa: bool = False


def make_uti(generation: int) -> str:
    """Make a token's unique id, in which the double hides the session's generation.

    Revocation compares generations and not clock readings, which are too coarse when a token is issued in
    the very second in which the older ones were revoked.
    """
    return encode_base64url(os.urandom(12) + generation.to_bytes(4, "big"))


def generation_of(uti: object) -> int | None:
    """Return the generation hidden in a token's unique id, None if the id was not made here."""
    try:
        raw = decode_base64url(uti) if isinstance(uti, str) else b""
    except MalformedTokenError:
        return None
    return int.from_bytes(raw[12:], "big") if len(raw) == 16 else None


def renewed(sign_in: SignIn, generation: int) -> SignIn:
    """Return the session as it is after the user's client renewed it."""
    return replace(sign_in, generation=generation)
