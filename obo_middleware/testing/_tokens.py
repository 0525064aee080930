"""Write the claims of tokens, and the answers of the token endpoint, as Entra does.

After Microsoft's references of access token and ID token claims. Version 1.0 tokens differ from 2.0 ones in
their issuer, their audience and the names of a few claims.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._grant import Grant, SignIn, make_uti
from ._jws import encode_base64url
from ._registrations import Application, User
from ._state import State

_LONG_LIVED = 7200
_OPENID = ("email", "openid", "profile")


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long tokens live, in seconds; `refresh_in` None means half of a life of two hours or more."""

    token: int = 3900
    refresh_in: int | None = None

    @property
    def refresh_hint(self) -> int | None:
        """Return the `refresh_in` of an answer, None if it has none."""
        if self.refresh_in is None and self.token >= _LONG_LIVED:
            return self.token // 2
        return self.refresh_in


def access_token_claims(state: State, grant: Grant, now: float, lifetime: int, version: int) -> dict[str, Any]:
    """Return the claims of the access token a grant has earned; `version` is 1 or 2."""
    generation = grant.sign_in.generation if grant.sign_in else 0
    claims: dict[str, Any] = {
        "aud": grant.resource.client_id if version == 2 else grant.audience,
        "iss": state.issuer(grant.tenant.tenant_id, version),
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + lifetime,
    }
    claims |= _client_claims(grant, version)
    claims |= _app_only_claims(grant) if grant.sign_in is None else _user_claims(grant, grant.sign_in, version)
    if grant.roles:
        claims["roles"] = list(grant.roles)
    if grant.capabilities:
        claims["xms_cc"] = [value.lower() for value in grant.capabilities]
    rest = {"rh": _routing_hint(grant), "tid": grant.tenant.tenant_id, "uti": make_uti(generation)}
    return claims | rest | {"ver": f"{version}.0"}


def _client_claims(grant: Grant, version: int) -> dict[str, Any]:
    names = ("azp", "azpacr") if version == 2 else ("appid", "appidacr")
    return dict(zip(names, (grant.client.client_id, grant.proof), strict=True))


def _app_only_claims(grant: Grant) -> dict[str, Any]:
    return {"idtyp": "app", "oid": grant.client.object_id, "sub": grant.client.object_id}


def _user_claims(grant: Grant, sign_in: SignIn, version: int) -> dict[str, Any]:
    user = sign_in.user
    claims: dict[str, Any] = {
        "name": user.display_name,
        "oid": user.object_id,
        "scp": " ".join(grant.scopes or sorted(grant.reserved.intersection(_OPENID))),
        "sid": sign_in.sid,
        "sub": grant.resource.pairwise_subject(user),
    }
    claims |= _strength_claims(sign_in)
    if version == 2:
        return claims | {"preferred_username": user.user_principal_name}
    names = {"upn": user.user_principal_name, "unique_name": user.user_principal_name}
    return {"acr": "1", "amr": ["pwd"]} | claims | names | _given_names(user)


def _given_names(user: User) -> dict[str, Any]:
    return {"given_name": user.given_name, "family_name": user.surname}


def _strength_claims(sign_in: SignIn) -> dict[str, Any]:
    strength = {
        "acr": sign_in.acr,
        "acrs": list(sign_in.acrs) or None,
        "amr": list(sign_in.amr) or None,
        "auth_time": sign_in.auth_time,
    }
    return {name: value for name, value in strength.items() if value is not None}


def _routing_hint(grant: Grant) -> str:
    return f"1.{encode_base64url(uuid.UUID(grant.tenant.tenant_id).bytes)}.{grant.resource.name}"


def id_token_claims(
    state: State, client: Application, sign_in: SignIn, now: float, nonce: str | None
) -> dict[str, Any]:
    """Return the claims of an ID token for a client (OpenID Connect Core section 2)."""
    user = sign_in.user
    claims: dict[str, Any] = {
        "aud": client.client_id,
        "iss": state.issuer(user.tenant_id, 2),
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + 3600,
        "name": user.display_name,
        "oid": user.object_id,
        "preferred_username": user.user_principal_name,
        "sid": sign_in.sid,
        "sub": client.pairwise_subject(user),
        "tid": user.tenant_id,
        "uti": make_uti(sign_in.generation),
        "ver": "2.0",
    }
    return claims | ({} if nonce is None else {"nonce": nonce})


def client_info(user: User) -> str:
    """Return the `client_info` of a user: who, in which tenant, as base64url of JSON."""
    return encode_base64url(json.dumps({"uid": user.object_id, "utid": user.tenant_id}).encode())


def granted_scope_text(grant: Grant) -> str:
    """Return the `scope` of an answer: each scope with the resource it is of, then the reserved words."""
    scopes = [f"{grant.audience}/{name}" for name in grant.scopes]
    return " ".join(scopes + sorted(grant.reserved))


def token_answer(grant: Grant, lifetimes: Lifetimes, tokens: Mapping[str, str]) -> dict[str, Any]:
    """Return the token endpoint's answer (RFC 6749 section 5.1); `tokens` holds the signed tokens by name."""
    answer: dict[str, Any] = {"token_type": "Bearer"}
    if grant.sign_in is not None:
        answer["scope"] = granted_scope_text(grant)
    answer |= {"expires_in": lifetimes.token, "ext_expires_in": lifetimes.token}
    if lifetimes.refresh_hint is not None:
        answer["refresh_in"] = lifetimes.refresh_hint
    return answer | dict(tokens)
