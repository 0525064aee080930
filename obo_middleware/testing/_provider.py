"""The provider without its server: the state behind its lock, and the mint."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._authorize import ReturnAddress, SignInRequest
from ._faults import Faults
from ._grant import BrowserSession, CodeGrant, Grant, RefreshGrant, SignIn, WantedScopes
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

    `clock` returns epoch seconds; `interactive` signs users in step by step, and keeps their browser's session.
    """

    def __init__(
        self,
        state: State,
        lifetimes: Lifetimes,
        clock: Callable[[], float],
        faults: Faults,
        *,
        interactive: bool = False,
    ) -> None:
        self.state = state
        self.interactive = interactive
        self.lifetimes = lifetimes
        self.clock = clock
        self.faults = faults
        self.lock = threading.RLock()
        self.records: Records[TokenRequest] = Records()

    def exchange(self, tenant: str, form: Mapping[str, str], origin: str | None = None) -> dict[str, Any]:
        """Answer a request to the token endpoint, from a browser with its `origin`, with tokens; raise `EntraError`."""
        now = self.clock()
        with self.lock:
            grant = judge_token_request(self.state, tenant, form, now, origin)
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
            tokens["refresh_token"] = self._refresh_token(grant.client, grant.sign_in, grant.spa_until)
        if "openid" in grant.reserved:
            id_claims = id_token_claims(self.state, grant.client, grant.sign_in, now, grant.nonce)
            tokens["id_token"] = signer.sign(id_claims)
        return tokens

    def _refresh_token(self, client: Application, sign_in: SignIn, spa_until: float | None) -> str:
        token = f"1.{secrets.token_urlsafe(48)}"
        with self.lock:
            self.state.refresh_tokens[token] = RefreshGrant(client.client_id, sign_in, spa_until)
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

    def browser_session(self, name: str) -> BrowserSession | None:
        """Return the session that a browser's cookie names, None if there is none."""
        with self.lock:
            return self.state.browser_sessions.get(name)

    def move_browser_session(self, old: str, new: str, session: BrowserSession | None) -> None:
        """Forget one name of a session, and keep another one; without a `session`, none."""
        with self.lock:
            self.state.browser_sessions.pop(old, None)
            if session is not None:
                self.state.browser_sessions[new] = session

    def sign_in_at_once(self, client: Application, request: SignInRequest, user: User) -> SignIn:
        """Sign a user in without a question: each factor asked for is proven, each scope consented to."""
        strong = self.needs_factor(request, user)
        self.consent(client, request.wanted.resource, request.wanted.names, user)
        return self.session(
            user,
            sid=str(uuid.uuid4()),
            amr=("pwd", "mfa") if strong else ("pwd",),
            acrs=request.asked.contexts,
            auth_time=int(self.clock()),
        )

    def needs_factor(self, request: SignInRequest, user: User) -> bool:
        """Tell whether a request asks a user for more than one factor: by its resource's rules, or its claims."""
        with self.lock:
            needed = self.state.needs_mfa(user, request.wanted.resource, request.asked.policies)
        return needed or bool(request.asked.contexts)

    def issue_code(self, address: ReturnAddress, request: SignInRequest, sign_in: SignIn) -> str:
        """Return a code for a session, good for ten minutes and for one client at one address."""
        code = secrets.token_urlsafe(48)
        with self.lock:
            self.state.codes[code] = CodeGrant(
                address.client.client_id,
                address.redirect_uri,
                request.wanted,
                sign_in,
                self.clock() + _CODE_LIFETIME,
                request.code_challenge,
                request.nonce,
                address.spa,
            )
        return code

    def consent(self, client: Application, resource: Application, names: Iterable[str], user: User) -> None:
        """Remember that a user consents to what a client asks for at a resource."""
        with self.lock:
            for name in set(resource.scopes).intersection(names):
                self.state.consents[user.object_id, client.client_id, resource.client_id, name] = True
