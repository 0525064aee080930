"""The steps in which a person signs in: account, second factor, consent, and the session that a browser keeps.

Facts: OpenID Connect Core section 3.1.2 (`prompt`), Microsoft identity platform "OAuth 2.0 authorization code flow".
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ._authorize import ReturnAddress, SignInRequest
from ._errors import EntraError
from ._grant import DEFAULT, BrowserSession, SignIn, renewed
from ._pages import ONE_TIME_CODE, consent_page, login_page, second_factor_page
from ._provider import Provider
from ._registrations import User
from ._scopes import consent_required

ANSWERS = ("user", "otc", "consent", "canary")
"""The fields of the pages' own, which are not part of the authorization request."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A step on the way to a code: what is asked, where the answer goes, and what the user has said in this step."""

    tenant: str
    params: Mapping[str, str]
    address: ReturnAddress
    request: SignInRequest
    users: list[User]
    answers: Mapping[str, str]

    @property
    def silent(self) -> bool:
        """Tell whether no page may be shown."""
        return self.params.get("prompt") == "none"

    def fields(self, session: BrowserSession) -> dict[str, str]:
        """Return the hidden fields of the next page."""
        return dict(self.params) | {"canary": session.canary}


@dataclass(frozen=True, slots=True)
class Step:
    """What a step leads to: a page, or the session with which a code is issued; and the session to remember."""

    page: str | None
    session: BrowserSession | None


def take_step(provider: Provider, visit: Visit, session: BrowserSession | None) -> Step:
    """Return the next step; raise the `EntraError` that goes back to the client."""
    session, answers = _account(provider, visit, session)
    if session is None:
        if visit.silent:
            raise EntraError(50058, "A silent sign-in request was sent but no user is signed in.")
        return Step(login_page(visit.tenant, visit.address.client, visit.users, visit.params), None)
    if _lacks_factor(provider, visit, session.sign_in):
        if visit.silent:
            raise EntraError(50076, "You must use multi-factor authentication to go on.", suberror="basic_action")
        if answers.get("otc", "").replace(" ", "") != ONE_TIME_CODE:
            user, wrong = session.sign_in.user, "otc" in answers
            return Step(second_factor_page(visit.tenant, user, visit.fields(session), wrong=wrong), session)
        session = replace(session, sign_in=replace(session.sign_in, amr=("pwd", "mfa")))
    return _consent(provider, visit, session, answers.get("consent"))


def _account(
    provider: Provider, visit: Visit, session: BrowserSession | None
) -> tuple[BrowserSession | None, Mapping[str, str]]:
    """Return who signs in, and which answers are really theirs."""
    chosen = next((user for user in visit.users if user.object_id == visit.answers.get("user")), None)
    if chosen is not None:
        return BrowserSession(_first_factor(provider, chosen)), {}
    if session is None or not _still_good(provider, visit, session.sign_in):
        return None, {}
    session = replace(session, sign_in=_up_to_date(provider, session.sign_in))
    if secrets.compare_digest(visit.answers.get("canary", ""), session.canary):
        return session, visit.answers
    return (None if visit.params.get("prompt") in ("login", "select_account") else session), {}


def _first_factor(provider: Provider, user: User) -> SignIn:
    return provider.session(user, sid=str(uuid.uuid4()), amr=("pwd",), auth_time=int(provider.clock()))


def _still_good(provider: Provider, visit: Visit, sign_in: SignIn) -> bool:
    with provider.lock:
        last = provider.state.revocation(sign_in.user)
    ended = last.ended and sign_in.generation < last.generation
    asked = visit.params.get("login_hint") or sign_in.user.user_principal_name
    same = asked.lower() == sign_in.user.user_principal_name and visit.params.get("sid", sign_in.sid) == sign_in.sid
    return same and not ended and sign_in.user in visit.users


def _up_to_date(provider: Provider, sign_in: SignIn) -> SignIn:
    with provider.lock:
        return renewed(sign_in, provider.state.revocation(sign_in.user).generation)


def _lacks_factor(provider: Provider, visit: Visit, sign_in: SignIn) -> bool:
    return provider.needs_factor(visit.request, sign_in.user) and not sign_in.has_mfa


def _consent(provider: Provider, visit: Visit, session: BrowserSession, answer: str | None) -> Step:
    client, user = visit.address.client, session.sign_in.user
    resource, names = visit.request.wanted.resource, visit.request.wanted.names
    if names == (DEFAULT,):
        names = client.delegated.get(resource.client_id, ())
    with provider.lock:
        missing = [name for name in names if not provider.state.consented(user, client, resource, name)]
    if missing or visit.params.get("prompt") == "consent":
        if visit.silent:
            error = consent_required(client)
            error.error = "interaction_required"  # what the authorization endpoint calls it
            raise error
        if answer == "cancel":
            raise EntraError(65004, "User declined to consent to access the app.", suberror="cancel")
        if answer != "accept":
            page = consent_page(visit.tenant, client, user, (resource, names), visit.fields(session))
            return Step(page, session)
        provider.consent(client, resource, names, user)
    return Step(None, session)


def strengthened(sign_in: SignIn, request: SignInRequest) -> SignIn:
    """Return a session with the authentication contexts that a request asks for: its factors were proven by now."""
    return replace(sign_in, acrs=request.asked.contexts)
