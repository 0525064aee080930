"""The signed-in user, as the validated token describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from obo_middleware._trusted_issuer import ClaimName, TrustedIssuer
from obo_middleware.errors import InvalidTokenError


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Describe the signed-in user of a request; every value comes from a validated token.

    ``object_id`` with ``tenant_id`` is who the user is, everywhere and for ever; ``subject`` is the same
    within this app only. ``name`` is for display, never for decisions. ``scopes`` and ``roles`` are what the
    token grants, ``client_id`` is the calling application, ``expires_on`` the token's end in seconds since
    the epoch, ``issuer`` who issued it, and ``claims`` all claims. For a user of another issuer than Entra,
    ``tenant_id`` is that issuer too, so that no other issuer can name the same user.

    A user serves every request with the same token, so nothing in ``claims`` can be changed: its lists are tuples, and
    objects within it read-only mappings. ``json.dumps(user.claims, default=dict)`` writes them as they came.
    """

    object_id: str
    tenant_id: str
    subject: str = field(repr=False)
    name: str = field(repr=False)
    scopes: frozenset[str]
    roles: frozenset[str]
    client_id: str
    expires_on: int
    issuer: str
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def handles_claims_challenges(self) -> bool:
        """Whether the calling application declared that it answers claims challenges (``xms_cc`` contains ``cp1``)."""
        declared = self.claims.get("xms_cc")
        names = declared if isinstance(declared, list | tuple) else [declared]
        return any(isinstance(name, str) and name.lower() == "cp1" for name in names)

    # What Starlette and its relatives expect of a user.

    @property
    def is_authenticated(self) -> bool:
        """True: there is a user."""
        return True

    @property
    def display_name(self) -> str:
        """The same as ``name``."""
        return self.name

    @property
    def identity(self) -> str:
        """``tenant_id`` and ``object_id`` as one unique text: a dot between them, or ``#`` after an issuer's URL."""
        # A URL has dots of its own, so that with a dot two issuers could have users of one text; none has a fragment.
        return f"{self.tenant_id}{'#' if self.tenant_id == self.issuer else '.'}{self.object_id}"

    @property
    def pk(self) -> str:
        """The same as ``identity``: Django's relatives count a user's requests under this name."""
        return self.identity


def user_from_claims(claims: Mapping[str, Any]) -> User:
    """Return the user that validated claims describe."""
    name = claims.get("name")
    return User(
        object_id=claims["oid"],
        tenant_id=claims["tid"],
        subject=claims["sub"],
        name=name if isinstance(name, str) else "",
        scopes=frozenset(claims.get("scp", "").split()),
        roles=frozenset(claims.get("roles", ())),
        client_id=claims.get("azp") or claims.get("appid") or "",
        expires_on=int(claims["exp"]),
        issuer=claims["iss"],
        claims=_frozen_claims(claims),
    )


def user_of_issuer(claims: Mapping[str, Any], trusted: TrustedIssuer) -> User:
    """Return the user that validated claims of another issuer describe."""
    name = claim_at(claims, trusted.name_claim, "")
    scopes = claim_at(claims, trusted.scopes_claim, "")
    roles = claim_at(claims, trusted.roles_claim, [])
    return User(
        object_id=claim_at(claims, trusted.object_id_claim, ""),
        tenant_id=trusted.issuer,
        subject=claims["sub"],
        name=name if isinstance(name, str) else "",
        # RFC 6749 section 3.3: one space lies between two scopes, and no other white space is one.
        scopes=frozenset(scopes.split(" ") if isinstance(scopes, str) else scopes) - {""},
        roles=frozenset([roles] if isinstance(roles, str) else roles) - {""},
        client_id=claim_at(claims, trusted.client_id_claim, ""),
        expires_on=int(claims["exp"]),
        issuer=trusted.issuer,
        claims=_frozen_claims(claims),
    )


def _frozen_claims(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return MappingProxyType({name: _frozen(value) for name, value in claims.items()})
    except RecursionError:
        problem = "the claims are nested too deeply"
    raise InvalidTokenError(problem, reason="claims")


def _frozen(value: Any) -> Any:
    """Return a value of JSON so that nobody can change it, however deep."""
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def claim_at(claims: Mapping[str, Any], name: ClaimName, default: object) -> Any:
    """Return a claim, or one within other claims; ``default`` if there is none, and None if the outer one has none."""
    value: Any = claims
    for step in (name,) if isinstance(name, str) else name:
        if not isinstance(value, Mapping):
            return None
        if step not in value:
            return default
        value = value[step]
    return value
