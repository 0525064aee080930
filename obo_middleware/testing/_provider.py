"""The provider without its server: the state behind its lock, and the mint."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ._authorize import SignInRequest
from ._faults import Faults
from ._grant import CodeGrant, Grant, RefreshGrant, SignIn, WantedScopes
from ._judge import JWT_BEARER, judge_token_request
from ._jws import SigningKey
from ._records import Records, TokenRequest
from ._registrations import Application, User
from ._scopes import parse_scopes
from ._state import State
from ._tokens import Lifetimes, access_token_claims, client_info, id_token_claims, token_answer

_CODE_LIFETIME = 600


class Provider:
    """Judge, strike off what was used, sign; each step of it safe between threads.

    `clock` returns epoch seconds.
    """

    def __init__(self, state: State, lifetimes: Lifetimes, clock: Callable[[], float], faults: Faults) -> None:
        self.state = state
        self.lifetimes = lifetimes
        self.clock = clock
        self.faults = faults
        self.lock = threading.RLock()
        self.records: Records[TokenRequest] = Records()

    def exchange(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a request to the token endpoint with tokens; raise `EntraError`."""
        now = self.clock()
        with self.lock:
            grant = judge_token_request(self.state, tenant, form, now)
            self._strike_off(grant)
            signer = self.signer()
        answer = token_answer(grant, self.lifetimes, self._tokens(grant, signer, now))
        if form["grant_type"] == JWT_BEARER:
            self.records.count("exchanges")
        if grant.sign_in is not None and form.get("client_info") == "1":
            answer["client_info"] = client_info(grant.sign_in.user)
        return answer

    def _strike_off(self, grant: Grant) -> None:
        if grant.spent.code is not None:
            del self.state.codes[grant.spent.code]
            self.state.spent_codes.add(grant.spent.code)
        if grant.spent.assertion_id is not None:
            self.state.spent_assertion_ids.add(grant.spent.assertion_id)
        if grant.spent.refresh_token is not None and self.state.single_use_refresh_tokens:
            del self.state.refresh_tokens[grant.spent.refresh_token]

    def _tokens(self, grant: Grant, signer: SigningKey, now: float) -> dict[str, str]:
        version = grant.resource.token_version
        claims = access_token_claims(self.state, grant, now, self.lifetimes.token, version)
        tokens = {"access_token": signer.sign(claims)}
        if grant.sign_in is None:
            return tokens
        if "offline_access" in grant.reserved:
            tokens["refresh_token"] = self._refresh_token(grant.client, grant.sign_in)
        if "openid" in grant.reserved:
            id_claims = id_token_claims(self.state, grant.client, grant.sign_in, now, grant.nonce)
            tokens["id_token"] = signer.sign(id_claims)
        return tokens

    def _refresh_token(self, client: Application, sign_in: SignIn) -> str:
        token = f"1.{secrets.token_urlsafe(48)}"
        with self.lock:
            self.state.refresh_tokens[token] = RefreshGrant(client.client_id, sign_in)
        return token

    def scopes(self, text: str) -> WantedScopes:
        """Read a `scope` parameter; raise `EntraError`."""
        return parse_scopes(self.state, text)

    def signer(self) -> SigningKey:
        """Return the key that signs now; raise RuntimeError before the start and after the stop."""
        with self.lock:
            if not self.state.keys:
                raise RuntimeError("LocalEntra is not running: call start() or use it in a with statement")
            return self.state.keys[-1]

    def access_token(
        self,
        grant: Grant,
        *,
        version: int,
        lifetime: int,
        key: SigningKey | None,
        headers: Mapping[str, Any] | None,
        changes: Mapping[str, Any],
    ) -> str:
        """Sign the access token of a grant without a request; a change to None removes a claim."""
        signer = key or self.signer()
        claims = access_token_claims(self.state, grant, self.clock(), lifetime, version) | dict(changes)
        return signer.sign({name: value for name, value in claims.items() if value is not None}, headers)

    def session(self, user: User, *, sid: str | None = None, **strength: Any) -> SignIn:
        """Return a session of a user as of now; without `sid`, the one that lasts until it is revoked."""
        with self.lock:
            generation = self.state.revocation(user).generation
        lasting = uuid.uuid5(uuid.UUID(user.object_id), str(generation))
        return SignIn(user, sid or str(lasting), generation, **strength)

    def issue_code(self, client: Application, redirect_uri: str, request: SignInRequest, user: User) -> str:
        """Sign a user in interactively: each factor asked for is proven, each scope consented to."""
        now = self.clock()
        with self.lock:
            strong = bool(request.asked.contexts) or self.state.needs_mfa(user, request.wanted.resource)
            self._consent(client, request, user)
        sign_in = self.session(
            user,
            sid=str(uuid.uuid4()),
            amr=("pwd", "mfa") if strong else ("pwd",),
            acrs=request.asked.contexts,
            auth_time=int(now),
        )
        code = secrets.token_urlsafe(48)
        with self.lock:
            self.state.codes[code] = CodeGrant(
                client.client_id,
                redirect_uri,
                request.wanted,
                sign_in,
                now + _CODE_LIFETIME,
                request.code_challenge,
                request.nonce,
            )
        return code

    def _consent(self, client: Application, request: SignInRequest, user: User) -> None:
        resource = request.wanted.resource
        for name in request.wanted.names:
            if name in resource.scopes:
                self.state.consents[user.object_id, client.client_id, resource.client_id, name] = True
