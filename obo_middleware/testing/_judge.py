"""Judge requests to the token endpoint: pure functions from what is known and what is asked to a `Grant`.

Rules of this file: nothing here changes the state, signs or reads a clock; what a request uses up is named in
`Grant.spent`, and whoever carries the grant out strikes it off.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ._client_authentication import Client, TokenCall, judge_client
from ._cross_origin import SPA_LIFETIME, check_origin
from ._errors import EntraError
from ._grant import ClaimsRequest, Grant, SignIn, Spent, WantedScopes, generation_of, renewed
from ._registrations import Application, Tenant, User
from ._scopes import application_roles, delegated_scopes, parse_claims, parse_scopes
from ._state import MFA_POLICY_ID, State

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def judge_token_request(
    state: State, tenant: str, form: Mapping[str, str], now: float, origin: str | None = None
) -> Grant:
    """Judge a request to a tenant's token endpoint at a time in epoch seconds; raise `EntraError`.

    `origin` is the `Origin` header that browsers send, None for other clients.
    """
    call = TokenCall(tenant, state.tenant(tenant), form, now, origin)
    name = call.need("grant_type")
    judge = _JUDGES.get(name)
    if judge is None:
        raise EntraError(70003, f"The app requested an unsupported grant type '{name}'.")
    return judge(state, call)


def _client_credentials(state: State, call: TokenCall) -> Grant:
    if call.tenant is None:
        raise EntraError(
            9001023,
            "The grant_type 'client_credentials' is not supported over the /common or /organizations "
            "endpoints. Please use a tenant-specific endpoint.",
        )
    client = judge_client(state, call)
    text = call.need("scope")
    wanted = parse_scopes(state, text)
    roles = application_roles(client.app, wanted, text)
    asked = parse_claims(call.form.get("claims"))
    return Grant(
        call.tenant,
        client.app,
        client.proof,
        wanted.resource,
        wanted.audience,
        roles=roles,
        capabilities=asked.capabilities,
        spent=Spent(assertion_id=client.assertion_id),
    )


def _on_behalf_of(state: State, call: TokenCall) -> Grant:
    if call.form.get("requested_token_use") != "on_behalf_of":
        raise EntraError(90023, "The 'requested_token_use' must be 'on_behalf_of' for this grant type.")
    client = judge_client(state, call)
    claims = _user_assertion(state, call, client.app)
    tenant = _home_tenant(state, call, claims)
    sign_in = _sign_in_of(state, claims)
    wanted = parse_scopes(state, call.need("scope"))
    return _delegated_grant(state, call, client, sign_in, wanted, tenant=tenant)


def _user_assertion(state: State, call: TokenCall, app: Application) -> Mapping[str, Any]:
    parsed = state.signed_here(call.need("assertion"))
    if parsed is None:
        raise EntraError(50013, "Assertion failed signature validation. [Reason - The key was not found.]")
    claims = parsed.claims
    _check_lifetime(claims, call.now)
    if claims.get("aud") not in (app.client_id, *app.identifier_uris):
        raise EntraError(
            500131,
            "Assertion audience does not match the Client app presenting the assertion. The audience in the "
            f"assertion was '{claims.get('aud')}' and the expected audience is '{app.client_id}' or one of "
            f"the Application Uris of this application with App ID '{app.client_id}'({app.name}). The "
            "downstream client must request a token for the expected audience (the application that made the "
            "OBO request) and this application should use that token as the assertion.",
        )
    if claims.get("idtyp") == "app" or ("scp" not in claims and claims.get("oid") == claims.get("sub")):
        raise EntraError(
            7000114, f"Application '{app.client_id}' is not allowed to make application on-behalf-of calls."
        )
    return claims


def _check_lifetime(claims: Mapping[str, Any], now: float) -> None:
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires <= now:
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds")
        raise EntraError(
            500133,
            "Assertion is not within its valid time range. Ensure that the access token is not expired "
            "before using it for user assertion, or request a new token. "
            f"Current time: {moment}, expiry time of assertion {expires}.",
        )


def _home_tenant(state: State, call: TokenCall, claims: Mapping[str, Any]) -> Tenant:
    tenant = state.tenants.get(str(claims.get("tid")))
    issuers = () if tenant is None else [state.issuer(tenant.tenant_id, version) for version in (1, 2)]
    if tenant is None or claims.get("iss") not in issuers or call.tenant not in (None, tenant):
        raise EntraError(50013, "Assertion contains an issuer that is not of the tenant that was asked.")
    return tenant


def _sign_in_of(state: State, claims: Mapping[str, Any]) -> SignIn:
    user = state.users.get(str(claims.get("oid")))
    if user is None:
        raise EntraError(50034, "The user account does not exist in the directory.")
    generation = generation_of(claims.get("uti"))
    return SignIn(
        user,
        str(claims.get("sid", "")),
        state.revocation(user).generation if generation is None else generation,
        amr=tuple(claims.get("amr", ())),
        acr=claims.get("acr"),
        acrs=tuple(claims.get("acrs", ())),
        auth_time=claims.get("auth_time"),
    )


def _delegated_grant(
    state: State, call: TokenCall, client: Client, sign_in: SignIn, wanted: WantedScopes, *, tenant: Tenant
) -> Grant:
    scopes = delegated_scopes(state, client.app, sign_in.user, wanted)
    asked = parse_claims(call.form.get("claims"))
    _check_multifactor(state, sign_in, wanted.resource, asked)
    sign_in = _check_session(state, _with_contexts(sign_in, asked), asked)
    return Grant(
        tenant,
        client.app,
        client.proof,
        wanted.resource,
        wanted.audience,
        scopes=scopes,
        sign_in=sign_in,
        reserved=wanted.reserved,
        capabilities=asked.capabilities,
        spent=Spent(assertion_id=client.assertion_id),
    )


def _check_multifactor(state: State, sign_in: SignIn, resource: Application, asked: ClaimsRequest) -> None:
    """Apply the rules for a resource, and those that the claims of somebody else's challenge name."""
    if state.needs_mfa(sign_in.user, resource, asked.policies) and not sign_in.has_mfa:
        raise _interaction_required(resource, {"capolids": {"essential": True, "values": [MFA_POLICY_ID]}})


def _interaction_required(resource: Application, member: Mapping[str, Any]) -> EntraError:
    return EntraError(
        50076,
        "Due to a configuration change made by your administrator, or because you moved to a new location, "
        f"you must use multi-factor authentication to access '{resource.client_id}'.",
        suberror="basic_action",
        claims=json.dumps({"access_token": member}, separators=(",", ":")),
    )


def _with_contexts(sign_in: SignIn, asked: ClaimsRequest) -> SignIn:
    """Grant the authentication contexts asked for if the session has them or has more than one factor."""
    missing = [name for name in asked.contexts if name not in sign_in.acrs and not sign_in.has_mfa]
    if missing and asked.contexts_essential:
        raise EntraError(
            50076,
            "You must use multi-factor authentication to reach the authentication context that was asked for.",
            suberror="basic_action",
            claims=json.dumps({"access_token": {"acrs": {"essential": True, "value": missing[0]}}}),
        )
    added = tuple(name for name in asked.contexts if name not in missing)
    return replace(sign_in, acrs=tuple(dict.fromkeys(sign_in.acrs + added)))


def _check_session(state: State, sign_in: SignIn, asked: ClaimsRequest) -> SignIn:
    """Answer a revoked session: AADSTS50173 if it ended, a token that works only if the client asked for one.

    A client that repeats its request without the claims of the challenge gets a token the resource refuses as
    well, so that a test sees the difference.
    """
    last = state.revocation(sign_in.user)
    if sign_in.generation >= last.generation:
        return sign_in
    if last.ended:
        raise EntraError(
            50173,
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user "
            "might have changed or reset their password.",
            suberror="bad_token",
        )
    asked_beyond = asked.not_before is not None and asked.not_before >= last.at
    return renewed(sign_in, last.generation) if asked_beyond else sign_in


def _refresh_token(state: State, call: TokenCall) -> Grant:
    client = judge_client(state, call, may_be_public=True)
    stored = state.refresh_tokens.get(call.need("refresh_token"))
    if stored is None or stored.client_id != client.app.client_id:
        raise EntraError(9002313, "Invalid request. Request is malformed or invalid.")
    _check_spa_lifetime(stored.spa_until, call.now)
    check_origin(client.app, call.origin, spa=stored.spa_until is not None)
    tenant = _tenant_of(state, call, stored.sign_in.user)
    wanted = parse_scopes(state, call.need("scope"))
    # A refresh token always brings the next one (Microsoft identity platform, "Refresh tokens").
    wanted = replace(wanted, reserved=wanted.reserved | {"offline_access"})
    grant = _delegated_grant(state, call, client, stored.sign_in, wanted, tenant=tenant)
    spent = replace(grant.spent, refresh_token=call.form["refresh_token"])
    return replace(grant, spa_until=stored.spa_until, spent=spent)


def _check_spa_lifetime(until: float | None, now: float) -> None:
    if until is not None and until <= now:
        raise EntraError(
            700084,
            "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of "
            "1.00:00:00, which can't be extended. It is now expired and a new sign in request must be sent by the SPA "
            "to the sign in page.",
        )


def _tenant_of(state: State, call: TokenCall, user: User) -> Tenant:
    if call.tenant is not None and call.tenant.tenant_id != user.tenant_id:
        raise EntraError(70000, "Provided grant is invalid: it was issued in another tenant.")
    return state.tenants[user.tenant_id]


def _authorization_code(state: State, call: TokenCall) -> Grant:
    client = judge_client(state, call, may_be_public=True)
    code = call.need("code")
    if code in state.spent_codes:
        raise EntraError(
            54005,
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an "
            "existing refresh token.",
        )
    stored = state.codes.get(code)
    if stored is None or stored.client_id != client.app.client_id:
        raise EntraError(9002313, "Invalid request. Request is malformed or invalid.")
    if stored.expires_on <= call.now:
        raise EntraError(70008, "The provided authorization code has expired. Send a new interactive request.")
    if call.form.get("redirect_uri") != stored.redirect_uri:
        raise EntraError(70000, "Provided grant is invalid: the 'redirect_uri' is not the one the code is for.")
    check_origin(client.app, call.origin, spa=stored.spa)
    _check_code_verifier(stored.code_challenge, call)
    tenant = _tenant_of(state, call, stored.sign_in.user)
    grant = _delegated_grant(state, call, client, stored.sign_in, stored.wanted, tenant=tenant)
    until = call.now + SPA_LIFETIME if stored.spa else None
    return replace(grant, nonce=stored.nonce, spa_until=until, spent=replace(grant.spent, code=code))


def _check_code_verifier(challenge: str | None, call: TokenCall) -> None:
    """Check PKCE, method S256 (RFC 7636 section 4.6)."""
    if challenge is None:
        return
    digest = hashlib.sha256(call.need("code_verifier").encode()).digest()
    if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
        raise EntraError(
            501481,
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
        )


_JUDGES: dict[str, Callable[[State, TokenCall], Grant]] = {
    "authorization_code": _authorization_code,
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
    JWT_BEARER: _on_behalf_of,
}
