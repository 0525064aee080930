"""The one mutable thing: what the provider remembers. A lock guards it; judges only read it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ._errors import EntraError
from ._grant import BrowserSession, CodeGrant, RefreshGrant, generation_of
from ._jws import MalformedTokenError, ParsedToken, SigningKey, parse, verify
from ._registrations import GRAPH_CLIENT_ID, Application, Tenant, User, default_tenant

SHARED_TENANTS = ("common", "organizations")
MFA_POLICY_ID = "f3b9c0de-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
"""The conditional access policy that asks for more than one factor, as claims name it (`capolids`)."""
_VERIFIED_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a user's tokens were revoked: how often, when last (epoch seconds), if the session ended too."""

    generation: int = 0
    at: int = 0
    ended: bool = False


@dataclass
class State:
    """Directory, keys, policies and everything handed out that can be handed back."""

    authority: str = ""
    single_use_assertions: bool = False
    single_use_refresh_tokens: bool = False
    tenants: dict[str, Tenant] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    apps: dict[str, Application] = field(default_factory=dict)
    keys: list[SigningKey] = field(default_factory=list)
    retired_keys: list[SigningKey] = field(default_factory=list)
    consents: dict[tuple[str, str, str, str], bool] = field(default_factory=dict)
    mfa_rules: set[tuple[str | None, str | None]] = field(default_factory=set)
    revocations: dict[str, Revocation] = field(default_factory=dict)
    codes: dict[str, CodeGrant] = field(default_factory=dict)
    spent_codes: set[str] = field(default_factory=set)
    refresh_tokens: dict[str, RefreshGrant] = field(default_factory=dict)
    browser_sessions: dict[str, BrowserSession] = field(default_factory=dict)
    spent_assertion_ids: set[str] = field(default_factory=set)
    verified: dict[str, ParsedToken] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tenant = default_tenant()
        self.tenants[tenant.tenant_id] = tenant

    # Tenants and issuers

    def tenant(self, name: str) -> Tenant | None:
        """Find a tenant by id or domain; None stands for `common` and `organizations`. Raise AADSTS90002."""
        if name in SHARED_TENANTS:
            return None
        for tenant in self.tenants.values():
            if name.lower() == tenant.tenant_id or name.lower() in tenant.domains:
                return tenant
        raise EntraError(
            90002,
            f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing "
            "into the correct cloud. Check with your subscription administrator, this may happen if there "
            "are no active subscriptions for the tenant.",
        )

    def issuer(self, tenant_id: str, version: int) -> str:
        """Return the issuer of a tenant's tokens; the v1.0 form stands for https://sts.windows.net/{tid}/."""
        return f"{self.authority}/sts/{tenant_id}/" if version == 1 else f"{self.authority}/{tenant_id}/v2.0"

    def token_endpoint(self, tenant: str) -> str:
        """Return the URL of a tenant's token endpoint."""
        return f"{self.authority}/{tenant}/oauth2/v2.0/token"

    # Applications and users

    def resource(self, identifier: str) -> Application | None:
        """Find a resource by identifier URI (one trailing slash forgiven) or by client id."""
        names = (identifier, identifier.removesuffix("/"))
        for app in self.apps.values():
            if app.client_id in names or any(name in app.identifier_uris for name in names):
                return app
        return None

    def graph(self) -> Application:
        """Return the resource a scope without a resource belongs to."""
        return self.apps[GRAPH_CLIENT_ID]

    def user(self, who: str | User) -> User:
        """Find a user by value, object id, short name or principal name; raise KeyError."""
        key = who.object_id if isinstance(who, User) else who
        if key in self.users:
            return self.users[key]
        for user in self.users.values():
            if key in (user.name, user.user_principal_name):
                return user
        raise KeyError(f"no user {key!r} is registered here")

    def consented(self, user: User, client: Application, resource: Application, scope: str) -> bool:
        """Tell whether this user's data may be reached by this client at this resource with this scope."""
        key = (user.object_id, client.client_id, resource.client_id, scope)
        default = client.admin_consent and scope in client.delegated.get(resource.client_id, ())
        return self.consents.get(key, default)

    def needs_mfa(self, user: User, resource: Application, policies: Collection[str] = ()) -> bool:
        """Tell whether a conditional access rule asks this user for more than one factor at this resource.

        With the policy's id among `policies`, as in the claims of a challenge, a rule for any resource counts.
        """
        asked = {place for who, place in self.mfa_rules if who in (None, user.object_id)}
        return bool(asked) if MFA_POLICY_ID in policies else not asked.isdisjoint((None, resource.client_id))

    # Sessions and tokens

    def revocation(self, user: User) -> Revocation:
        """Return the last revocation of a user's tokens, or one that never happened."""
        return self.revocations.get(user.object_id, Revocation())

    def revoke(self, user: User, now: float, *, ended: bool) -> int:
        """Make every token a user has worthless; return the epoch second clients must ask beyond."""
        last = self.revocation(user)
        self.revocations[user.object_id] = replace(last, generation=last.generation + 1, at=int(now), ended=ended)
        return int(now)

    def revoked_at(self, claims: Mapping[str, Any]) -> int | None:
        """Return when a token's user was revoked if the token is older, else None."""
        user = self.users.get(str(claims.get("oid")))
        last = None if user is None else self.revocations.get(user.object_id)
        if last is None:
            return None
        generation = generation_of(claims.get("uti"))
        older = claims.get("iat", 0) <= last.at if generation is None else generation < last.generation
        return last.at if older else None

    def signed_here(self, token: str) -> ParsedToken | None:
        """Return a token taken apart if its signature is by one of the published keys, else None."""
        known = self.verified.get(token)
        if known is None:
            known = self._verify(token)
            if known is not None:
                self._remember(token, known)
        return known

    def _verify(self, token: str) -> ParsedToken | None:
        try:
            parsed = parse(token)
        except MalformedTokenError:
            return None
        keys = (key for key in self.keys if key.kid == parsed.header.get("kid"))
        return parsed if any(verify(parsed, key.public_key) for key in keys) else None

    def _remember(self, token: str, parsed: ParsedToken) -> None:
        if len(self.verified) >= _VERIFIED_LIMIT:
            self.verified.clear()
        self.verified[token] = parsed

    def rotate(self, key: SigningKey, *, withdraw_old: bool) -> None:
        """Sign with a new key from now on; publish the old ones still, unless they are withdrawn."""
        if withdraw_old:
            self.retired_keys.extend(self.keys)
            self.keys.clear()
            self.verified.clear()
        self.keys.append(key)

    def forget_keys(self) -> None:
        """Forget the keys and everything that was signed or handed out with them."""
        handed_out = (self.codes, self.refresh_tokens, self.browser_sessions)
        for memory in (self.keys, self.retired_keys, self.verified, *handed_out):
            memory.clear()
