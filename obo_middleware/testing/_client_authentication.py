"""Judge who the client of the token endpoint is: by secret, certificate or a foreign issuer's token.

RFC 6749 section 2.3, RFC 7523 section 3, and Microsoft's page on certificate credentials.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from ._errors import EntraError, missing_parameter
from ._jws import MalformedTokenError, ParsedToken, encode_base64url, parse, verify
from ._registrations import AppCertificate, Application, FederatedCredential, Tenant
from ._state import State

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Client:
    """The client of a request: its registration, its `proof` (appidacr) and the id of its assertion."""

    app: Application
    proof: str
    assertion_id: str | None = None


@dataclass(frozen=True, slots=True)
class TokenCall:
    """A request to the token endpoint: tenant as the URL names it, form, time in epoch seconds, `Origin`."""

    tenant_name: str
    tenant: Tenant | None
    form: Mapping[str, str]
    now: float
    origin: str | None = None

    def need(self, name: str) -> str:
        """Return a form field; raise AADSTS900144 if it is missing or empty."""
        value = self.form.get(name)
        if not value:
            raise missing_parameter(name)
        return value


def judge_client(state: State, call: TokenCall, *, may_be_public: bool = False) -> Client:
    """Authenticate the client of a request; raise the AADSTS error Entra answers with."""
    app = _application(state, call)
    if app.public and may_be_public:
        return _public_client(app, call)
    if "client_assertion" in call.form:
        return _by_assertion(state, call, app)
    if "client_secret" in call.form:
        return _by_secret(call, app)
    raise EntraError(
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    )


def _application(state: State, call: TokenCall) -> Application:
    client_id = call.need("client_id")
    app = state.apps.get(client_id)
    if app is None:
        raise EntraError(
            700016,
            f"Application with identifier '{client_id}' was not found in the directory '{call.tenant_name}'. "
            "This can happen if the application has not been installed by the administrator of the tenant or "
            "consented to by any user in the tenant. You may have sent your authentication request to the "
            "wrong tenant.",
        )
    return app


def _public_client(app: Application, call: TokenCall) -> Client:
    if "client_secret" in call.form or "client_assertion" in call.form:
        raise EntraError(
            700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
        )
    return Client(app, "0")


def _by_secret(call: TokenCall, app: Application) -> Client:
    given = call.form["client_secret"].encode()
    matching = [secret for secret in app.secrets if hmac.compare_digest(secret.value.encode(), given)]
    if not matching:
        raise EntraError(
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client "
            f"secret value, not the client secret ID, for a secret added to app '{app.client_id}'.",
        )
    if all(secret.expires_on is not None and secret.expires_on <= call.now for secret in matching):
        raise EntraError(
            7000222,
            f"The provided client secret keys for app '{app.client_id}' are expired. Visit the Azure portal "
            "to create new keys for your app, or consider using certificate credentials for added security.",
        )
    return Client(app, "1")


def _by_assertion(state: State, call: TokenCall, app: Application) -> Client:
    if call.need("client_assertion_type") != ASSERTION_TYPE:
        raise EntraError(90023, f"The 'client_assertion_type' must be '{ASSERTION_TYPE}'.")
    try:
        assertion = parse(call.form["client_assertion"])
    except MalformedTokenError as error:
        raise EntraError(50027, "JWT token is invalid or malformed.") from error
    if assertion.claims.get("iss") == app.client_id:
        return _by_certificate(state, call, app, assertion)
    return _by_federation(call, app, assertion)


def _by_certificate(state: State, call: TokenCall, app: Application, assertion: ParsedToken) -> Client:
    if assertion.claims.get("sub") != app.client_id:
        raise _wrong_application()
    certificate = _registered_certificate(app, assertion)
    if certificate is None:
        raise _bad_key("The key was not found.")
    _check_signature(assertion, certificate.public_key)
    _check_audience(state, call, assertion)
    _check_time(assertion, call.now)
    return Client(app, "2", _assertion_id(state, assertion))


def _wrong_application() -> EntraError:
    return EntraError(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")


def _bad_key(reason: str) -> EntraError:
    return EntraError(
        700027,
        "The certificate with identifier used to sign the client assertion is not registered on "
        f"application. [Reason - {reason}]",
    )


def _registered_certificate(app: Application, assertion: ParsedToken) -> AppCertificate | None:
    header = assertion.header
    sha1, sha256 = str(header.get("x5t", "")).rstrip("="), str(header.get("x5t#S256", "")).rstrip("=")
    for certificate in app.certificates:
        if sha1 == certificate.sha1 or sha256 == certificate.sha256:
            return certificate if _chain_begins_with(header.get("x5c"), certificate) else None
    return None


def _chain_begins_with(chain: object, certificate: AppCertificate) -> bool:
    """Compare the first of a chain, in which MSAL leaves the line breaks of its PEM file."""
    if chain is None:
        return True
    first = "".join(str(chain[0]).split()) if isinstance(chain, list) and chain else "none"
    try:
        leaf = base64.b64decode(first, validate=True)
    except binascii.Error:
        return False
    return encode_base64url(hashlib.sha256(leaf).digest()) == certificate.sha256


def _check_signature(assertion: ParsedToken, key: rsa.RSAPublicKey | None) -> None:
    if key is None or not verify(assertion, key):
        raise _bad_key("The key used is not the one that signed, or its algorithm is not supported.")


def _check_audience(state: State, call: TokenCall, assertion: ParsedToken) -> None:
    names = {call.tenant_name} | ({call.tenant.tenant_id} if call.tenant else set())
    accepted = {state.token_endpoint(name) for name in names}
    accepted |= {state.issuer(name, version) for name in names for version in (1, 2)}
    audience = assertion.claims.get("aud")
    if not isinstance(audience, str) or audience not in accepted:
        raise EntraError(700023, "Client assertion audience claim does not match Realm issuer.")


def _check_time(assertion: ParsedToken, now: float) -> None:
    start, end = assertion.claims.get("nbf", 0), assertion.claims.get("exp")
    if not (_number(start) <= now < _number(end) <= now + _DAY):
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds")
        raise EntraError(
            700024,
            f"Client assertion is not within its valid time range. Current time: {moment}, assertion valid "
            f"from {start}, expiry time of assertion {end}.",
        )


def _number(value: object) -> float:
    """Return a NumericDate; anything else is a number no comparison holds for."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _assertion_id(state: State, assertion: ParsedToken) -> str | None:
    """Entra asks for a `jti` but takes an assertion again: MSAL sends each of its own for nine minutes.

    With `single_use_assertions` the provider is as strict as RFC 7523 section 3 allows; no AADSTS code is
    known for that, so the general one for a refused assertion is used.
    """
    value = assertion.claims.get("jti")
    if not isinstance(value, str) or not value:
        raise EntraError(50027, "JWT token is invalid or malformed. The 'jti' claim is missing.")
    if not state.single_use_assertions:
        return None
    if value in state.spent_assertion_ids:
        raise _bad_key("The assertion was used before.")
    return value


def _by_federation(call: TokenCall, app: Application, assertion: ParsedToken) -> Client:
    credential = _federated_credential(app, assertion)
    _check_signature(assertion, credential.public_key(assertion.header.get("kid")))
    _check_time(assertion, call.now)
    return Client(app, "2")


def _federated_credential(app: Application, assertion: ParsedToken) -> FederatedCredential:
    if not app.federated:
        raise _wrong_application()
    found = list(app.federated)
    for code, claim, attribute in (
        (700211, "iss", "issuer"),
        (700213, "sub", "subject"),
        (700212, "aud", "audience"),
    ):
        value = assertion.claims.get(claim)
        found = [credential for credential in found if getattr(credential, attribute) == value]
        if not found:
            raise EntraError(
                code,
                f"No matching federated identity record found for presented assertion {attribute} '{value}'. "
                "Check your federated identity credential Subject, Audience and Issuer against the presented "
                "assertion.",
            )
    return found[0]
