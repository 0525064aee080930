"""Every error of obo-middleware, with the answer that it becomes.

::

    OboError                                    500
      ├─ ConfigurationError (also ValueError)   500  the log says what to fix, the client learns nothing
      ├─ MissingTokenError                      401  no error code without a token (RFC 6750 section 3.1)
      ├─ MalformedRequestError                  400  invalid_request
      ├─ InvalidTokenError                      401  invalid_token
      ├─ InsufficientScopeError                 403  insufficient_scope
      │    └─ ConsentNeededError                403  insufficient_scope, with a link to consent in the body
      ├─ ClaimsChallengeError                   401  insufficient_claims; 403 for a client that cannot answer it
      │    └─ AuthenticationContextError             the route needs an authentication context of Entra
      ├─ InsufficientUserAuthenticationError    401  insufficient_user_authentication (RFC 9470)
      ├─ UpstreamUnavailableError               503  with Retry-After
      ├─ UnusableUpstreamError                  502
      ├─ SessionEndedError                      410  a long-running session that is over, or never was
      ├─ SharedCacheUnavailableError            503  what only the shared cache can do could not be done
      └─ RefusedRequestError                    500  a downstream request that must not be sent
           ├─ WrongOriginError                       it would have left the API's origin or base path
           └─ RequestEndedError                      its user's request is over

An error that a handler catches is the handler's; one that it lets through is answered by the middleware in
this form. The attributes are what the caller needs next: ``scopes``, ``claims``, ``retry_after`` (seconds),
``acr_values``, ``max_age`` (seconds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import credentials
from credentials.kernel import scrub

__all__ = [
    "AuthenticationContextError",
    "ClaimsChallengeError",
    "ConfigurationError",
    "ConsentNeededError",
    "InsufficientScopeError",
    "InsufficientUserAuthenticationError",
    "InvalidTokenError",
    "MalformedRequestError",
    "MissingTokenError",
    "OboError",
    "RefusedRequestError",
    "RequestEndedError",
    "SessionEndedError",
    "SharedCacheUnavailableError",
    "UnusableUpstreamError",
    "UpstreamUnavailableError",
    "WrongOriginError",
    "answer_for",
]


_Reason = Literal[
    "malformed",
    "header",
    "algorithm",
    "unknown_key",
    "signature",
    "issuer",
    "tenant",
    "version",
    "audience",
    "expired",
    "not_yet_valid",
    "life",
    "claims",
    "key_bound",
    "kind",
    "other",
]


class OboError(Exception):
    """Is the base of every error here. ``status`` is the HTTP status of its answer, ``error`` the OAuth error code.

    ``logged`` is True where the log has said already what must be fixed. ``reason`` is a stable word for what refused a
    request, of those that ``docs/telemetry.md`` lists.
    """

    status: ClassVar[int] = 500
    error: ClassVar[str | None] = None
    title: ClassVar[str] = "Internal Server Error"
    logged: bool = False
    reason: str = "other"


class ConfigurationError(OboError, ValueError):
    """Say that a setting, or the registration at the provider, is wrong; the text names the field and the fix."""

    reason = "configuration"


class MissingTokenError(OboError):
    """Say that the request carries no bearer token."""

    status = 401
    title = "A bearer token is required"
    reason = "missing_token"

    def __init__(self, message: str = "The request has no bearer token.") -> None:
        super().__init__(message)


class MalformedRequestError(OboError):
    """Say that the ``Authorization`` header is malformed or doubled (RFC 6750 section 3.1)."""

    status = 400
    error = "invalid_request"
    title = "The Authorization header is malformed"
    reason = "malformed_request"


class InvalidTokenError(OboError):
    """Say that the bearer token is not valid here. The text is for the log; every client reads the same words."""

    status = 401
    error = "invalid_token"
    title = "The access token is not valid for this API"

    def __init__(self, message: str, *, reason: _Reason = "other") -> None:
        super().__init__(message)
        self.reason = reason


class InsufficientScopeError(OboError):
    """Say that the token is valid but lacks ``scopes`` (RFC 6750 section 3.1)."""

    status = 403
    error = "insufficient_scope"
    title = "The access token does not grant what this route needs"
    reason = "not_allowed"

    def __init__(self, message: str, *, scopes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.scopes = tuple(scopes)


class ConsentNeededError(InsufficientScopeError):
    """Say that the user or an administrator must first consent to the downstream ``scopes``."""

    title = "Consent is needed to call another API for this user"


class ClaimsChallengeError(OboError):
    """Say that the provider or a downstream API asks for more; ``claims`` is the JSON text to ask for.

    ``claims`` is None where the provider only says that the user is refused.
    """

    status = 401
    error = "insufficient_claims"
    title = "More is needed to call another API for this user"

    def __init__(self, message: str, *, claims: str | None = None) -> None:
        super().__init__(message)
        self.claims = claims


class AuthenticationContextError(ClaimsChallengeError):
    """Say that the route needs an authentication context that the token does not have (Microsoft Entra ID)."""

    title = "A stronger sign-in is needed for this route"


class InsufficientUserAuthenticationError(OboError):
    """Say that the sign-in is too weak or too old for the route (RFC 9470 section 3); ``max_age`` is in seconds."""

    status = 401
    error = "insufficient_user_authentication"
    title = "A stronger or more recent sign-in is needed"

    def __init__(self, message: str, *, acr_values: Sequence[str] = (), max_age: int | None = None) -> None:
        super().__init__(message)
        self.acr_values = tuple(acr_values)
        self.max_age = max_age


class UpstreamUnavailableError(OboError):
    """Say that the identity provider is down or throttles; ``retry_after`` is in seconds."""

    status = 503
    title = "The identity provider is not available"
    reason = "provider_unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnusableUpstreamError(OboError):
    """Say that the identity provider answered with nothing that can be used."""

    status = 502
    title = "The identity provider gave no usable answer"


class SharedCacheUnavailableError(OboError):
    """Say that the shared cache could not do what only it can: forget somebody, keep a session or find it."""

    status = 503
    title = "The shared cache is not available"


class SessionEndedError(OboError):
    """Say that an id is no session's: it was ended, revoked or forgotten, its time is over, or it never was one."""

    status = 410
    title = "The session is over"


class RefusedRequestError(OboError):
    """Say that a downstream request was not sent, because it would break a rule about whose token goes where."""


class WrongOriginError(RefusedRequestError):
    """Say that a request would have left the origin or base path of the API that its token is for."""


class RequestEndedError(RefusedRequestError):
    """Say that the incoming request, to whose user a client or credential belonged, is over."""


def answer_for(error: credentials.ClientAuthenticationError, scopes: Sequence[str] = ()) -> OboError:
    """Return the error that a credential's error means to the client of the API; ``scopes`` are those asked for."""
    text = scrub(str(error))
    # A chain ended by one of its members is answered as that member's own error would be.
    match error.origin if isinstance(error, credentials.AuthenticationError) else error:
        case credentials.ConsentRequiredError():
            return ConsentNeededError(text, scopes=scopes)
        case credentials.InteractionRequiredError() as origin:
            return ClaimsChallengeError(text, claims=origin.claims)
        case credentials.InvalidAssertionError():
            return InvalidTokenError(text)
        case credentials.ProviderUnavailableError() as origin:
            return UpstreamUnavailableError(text, retry_after=origin.retry_after)
        case credentials.ClientConfigurationError() | credentials.CredentialUnavailableError():
            return ConfigurationError(text)
        case _:
            return UnusableUpstreamError(text)
