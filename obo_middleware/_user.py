"""The signed-in user, as the validated token describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Describe the signed-in user of a request; every value comes from a validated token.

    ``object_id`` with ``tenant_id`` is who the user is, everywhere and for ever; ``subject`` is the same
    within this app only. ``name`` is for display, never for decisions. ``scopes`` and ``roles`` are what the
    token grants, ``client_id`` is the calling application, ``expires_on`` the token's end in seconds since
    the epoch, and ``claims`` all claims, not to be changed.
    """

    object_id: str
    tenant_id: str
    subject: str = field(repr=False)
    name: str = field(repr=False)
    scopes: frozenset[str]
    roles: frozenset[str]
    client_id: str
    expires_on: int
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def handles_claims_challenges(self) -> bool:
        """Whether the calling application declared that it answers claims challenges (``xms_cc`` contains ``cp1``)."""
        declared = self.claims.get("xms_cc")
        names = declared if isinstance(declared, list) else [declared]
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
        """``tenant_id`` and ``object_id`` with a dot between them, which together are unique."""
        return f"{self.tenant_id}.{self.object_id}"


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
        claims=MappingProxyType(dict(claims)),
    )
