"""Check the tokens LocalGraph gets, as a resource does: signature, issuer, audience, time."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa

from ._entra_routes import OWN_USER_AGENT
from ._jws import MalformedTokenError, ParsedToken, parse, public_key_from_jwk, verify

_REMEMBERED = 20_000


class TokenRefusedError(Exception):
    """Say why a token is refused, in Graph's words."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `user` is an object id, None for an application as itself."""

    claims: Mapping[str, Any]

    @property
    def user(self) -> str | None:
        """Return the user's object id."""
        return None if self.claims.get("idtyp") == "app" or "scp" not in self.claims else str(self.claims["oid"])

    @property
    def client_id(self) -> str:
        """Return the application that calls."""
        return str(self.claims.get("appid") or self.claims.get("azp"))

    @property
    def permissions(self) -> frozenset[str]:
        """Return the scopes of a user's token, or the roles of an application's."""
        if self.user is None:
            return frozenset(self.claims.get("roles", ()))
        return frozenset(str(self.claims["scp"]).split())

    @property
    def understands_challenges(self) -> bool:
        """Tell whether the client declared that it answers claims challenges (`xms_cc`)."""
        return "cp1" in self.claims.get("xms_cc", ())


class TokenChecker:
    """Verify tokens against the provider's published keys; remember those whose signature was good.

    Parameters: `authority` and its client context, the `audiences` taken, the `clock` in epoch seconds.
    """

    def __init__(
        self, authority: str, tls: ssl.SSLContext, audiences: frozenset[str], clock: Callable[[], float]
    ) -> None:
        self._authority, self._tls, self._audiences, self._clock = authority, tls, audiences, clock
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        self._good: dict[str, Mapping[str, Any]] = {}

    async def check(self, token: str) -> Caller:
        """Return who presents a token; raise `TokenRefusedError`."""
        claims = self._good.get(token)
        if claims is None:
            claims = await self._verify(token)
            if len(self._good) >= _REMEMBERED:
                self._good.clear()
            self._good[token] = claims
        if claims.get("exp", 0) <= self._clock():
            raise TokenRefusedError("Lifetime validation failed, the token is expired.")
        return Caller(claims)

    async def _verify(self, token: str) -> Mapping[str, Any]:
        try:
            parsed = parse(token)
        except MalformedTokenError as error:
            raise TokenRefusedError("IDX14100: JWT is not well formed.") from error
        key = await self._key(parsed)
        if key is None or not verify(parsed, key):
            raise TokenRefusedError("Access token validation failure. Invalid signature.")
        self._check_claims(parsed.claims)
        return parsed.claims

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        tenant = claims.get("tid")
        if claims.get("iss") not in (f"{self._authority}/sts/{tenant}/", f"{self._authority}/{tenant}/v2.0"):
            raise TokenRefusedError("Access token validation failure. Invalid issuer.")
        if claims.get("aud") not in self._audiences:
            raise TokenRefusedError("Access token validation failure. Invalid audience.")

    async def _key(self, parsed: ParsedToken) -> rsa.RSAPublicKey | None:
        kid = str(parsed.header.get("kid"))
        if kid not in self._keys:
            await self.fetch_keys()
        return self._keys.get(kid)

    async def fetch_keys(self) -> None:
        """Fetch the provider's keys; keep the ones there are if that fails."""
        url = f"{self._authority}/common/discovery/keys"
        async with httpx.AsyncClient(verify=self._tls, trust_env=False) as client:
            try:
                response = await client.get(url, headers={"User-Agent": OWN_USER_AGENT})
                keys = response.raise_for_status().json()["keys"]
            except httpx.HTTPError:
                return
        self._keys = {jwk["kid"]: public_key_from_jwk(jwk) for jwk in keys}
        self._good.clear()
