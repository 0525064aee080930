"""The token endpoint: build a request, judge the answer (RFC 6749 sections 4.4 and 5, RFC 7523 section 2.1).

Rules of this file:

1. Building and judging are pure functions in pairs; ``post_flow`` alone asks for I/O.
2. The form has a closed list of fields: nothing from outside can add one or replace one.
3. An answer becomes a token only if every check passes; everything else becomes one of the errors of
   ``_errors``.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from credentials._errors import (
    AnswerTooLargeError,
    AuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    InteractionRequiredError,
    InvalidAssertionError,
    ProviderError,
    ProviderUnavailableError,
    TransportError,
    UnusableAnswerError,
)
from credentials._flow import Flow, HttpRequest, HttpResponse
from credentials._retry import retried_flow
from credentials._strict_json import parse_object
from credentials._token_answer import provider_error, token_in_answer
from credentials._types import AccessTokenInfo
from credentials._version import USER_AGENT

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
Redeem = Callable[[Any], Flow[AccessTokenInfo]]
"""Returns the flow that gets a token for a query."""
SendFlow = Callable[[HttpRequest], Flow[HttpResponse]]
"""Sends a token request and returns the last answer, as :func:`post_flow` does."""
RETRY_DELAYS = (0.0, 0.3, 0.9)
"""Seconds before each further attempt when the provider did not answer or answered with a server error."""

_CONSENT_CODES = frozenset({65001, 65004, 90094})
_INTERACTION_CODES = frozenset(
    {16000, 50072, 50074, 50076, 50079, 50158, 50187, 53000, 53001, 53002, 53003, 53004, 53011}
)
_ASSERTION_CODES = frozenset({50013, 50027, 50034, 50057, 50105, 50132, 500133, 50173, 70043, 70044, 700082, 7000114})
_CONFIGURATION_CODES = frozenset({500131, 65005, 90002, 900023, 700016, 700027, 7000215, 7000222})
_CONFIGURATION_ERRORS = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "invalid_resource",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


class Granted(NamedTuple):
    """Hold what an answer grants: an access token, and perhaps a refresh token (RFC 6749 section 5.1)."""

    info: AccessTokenInfo
    refresh_token: str

    def __repr__(self) -> str:
        return f"Granted(info={self.info!r}, refresh_token=<hidden>)"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAssertion:
    """Hold the token of a signed-in user that is exchanged, and whose it is.

    ``partition`` is the hash that keeps this user's cache entries apart (32 bytes), and ``group`` the one that all
    of them have in common, if the user is known. ``object_id`` and ``tenant_id`` are the user's where they are known,
    and then the answer must not name somebody else. ``redeem`` gets tokens where there is no token to exchange, but a
    session of which the user's request is long over.
    """

    token: str = field(repr=False)
    partition: bytes = field(repr=False)
    object_id: str = ""
    tenant_id: str = ""
    group: bytes = field(default=b"", repr=False)
    redeem: Redeem | None = field(default=None, repr=False)


def client_credentials_form(client_id: str, scopes: Sequence[str]) -> dict[str, str]:
    """Return the form of a client credentials grant (RFC 6749 section 4.4.2)."""
    return {"client_id": client_id, "grant_type": "client_credentials", "scope": " ".join(scopes)}


def on_behalf_of_form(client_id: str, scopes: Sequence[str], assertion: UserAssertion) -> dict[str, str]:
    """Return the form of an on-behalf-of exchange (RFC 7523 section 2.1, Microsoft Entra's v2.0 protocol)."""
    return {
        "client_id": client_id,
        "grant_type": JWT_BEARER,
        "assertion": assertion.token,
        "requested_token_use": "on_behalf_of",
        "scope": " ".join(scopes),
        "client_info": "1",
    }


def refresh_form(client_id: str, scopes: Sequence[str], refresh_token: str) -> dict[str, str]:
    """Return the form that redeems a refresh token (RFC 6749 section 6)."""
    return {
        "client_id": client_id,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": " ".join(scopes),
        "client_info": "1",
    }


def token_request(url: str, form: Mapping[str, str], request_id: str) -> HttpRequest:
    """Return the HTTP request for a form; ``request_id`` is the same for every attempt."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": USER_AGENT,
        "client-request-id": request_id,
        "x-ms-client-request-id": request_id,
    }
    # Half a character, as a variable that is no text has it, could not be sent at all: the provider refuses the rest.
    body = urllib.parse.urlencode(form, errors="replace").encode()
    return HttpRequest(method="POST", url=url, headers=headers, body=body)


def post_flow(request: HttpRequest, *, receiver: str = "the token endpoint") -> Flow[HttpResponse]:
    """Send a token request, again a few times if the provider fails, and return the last answer.

    ``receiver`` names in errors who was asked. Raises :class:`ProviderUnavailableError` if there was no answer. One
    that says when to come back is not retried but returned: the caller's client is told to wait, rather than the
    request kept waiting.
    """
    try:
        return (yield from retried_flow(request, delay_after_failure))
    except AnswerTooLargeError as error:
        raise UnusableAnswerError(f"{receiver}'s answer is too large") from error
    except TransportError as error:
        raise ProviderUnavailableError(f"{receiver} did not answer: {error}") from error


def delay_after_failure(response: HttpResponse | None, attempt: int) -> float | None:
    """Tell how long to wait after no answer, or a server error that does not say itself when to come back."""
    if response is not None and (response.status < 500 or "retry-after" in response.headers):
        return None
    return RETRY_DELAYS[attempt - 1] if attempt <= len(RETRY_DELAYS) else None


def process_token_response(
    response: HttpResponse,
    *,
    now: float,
    requested: Sequence[str] = (),
    assertion: UserAssertion | None = None,
    secrets: Collection[str] = (),
) -> AccessTokenInfo:
    """Return the token in an answer of the token endpoint (RFC 6749 section 5.1).

    ``requested`` are the scopes that an on-behalf-of answer must grant; ``secrets`` are what the request carried and
    no error may repeat. Raises an :class:`AuthenticationError` of the kind that says who must do what.
    """
    answer = _object(response)
    if "error" in answer or response.status != 200:
        raise error_from_answer(answer, response, now, secrets)
    try:
        info = token_in_answer(answer, now)
    except ValueError as error:
        raise _unusable(response, str(error)) from error
    _check_scopes(answer, requested, response)
    if assertion is not None:
        _check_user(answer, assertion, response)
    return info


def refresh_token_in(response: HttpResponse) -> str:
    """Return the refresh token in an answer that granted an access token, or nothing (RFC 6749 section 5.1)."""
    token = _object(response).get("refresh_token")
    return token if isinstance(token, str) else ""


def secrets_in(form: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in the form of a token request."""
    names = ("client_secret", "client_assertion", "assertion", "refresh_token")
    return tuple(form[name] for name in names if name in form)


def error_from_answer(
    answer: Mapping[str, Any], response: HttpResponse, now: float, secrets: Collection[str] = ()
) -> AuthenticationError:
    """Return the error that an error answer means (RFC 6749 section 5.2; Entra's error codes and claims)."""
    facts = provider_error(answer, response, now, secrets)
    said = facts.error_description or f"HTTP status {facts.status_code}"
    return _kind(facts)(f"Microsoft Entra ID error '({facts.error or 'unknown_error'}) {said}'", facts)


def _kind(facts: ProviderError) -> type[AuthenticationError]:
    codes = frozenset(facts.error_codes)
    if facts.is_outage or facts.error == "temporarily_unavailable":
        return ProviderUnavailableError
    if codes & _CONSENT_CODES or facts.suberror == "consent_required" or facts.error == "consent_required":
        return ConsentRequiredError
    if facts.claims or codes & _INTERACTION_CODES or facts.error in ("interaction_required", "login_required"):
        return InteractionRequiredError
    if codes & _CONFIGURATION_CODES:
        return ClientConfigurationError
    if codes & _ASSERTION_CODES or facts.error == "invalid_grant":
        return InvalidAssertionError
    return ClientConfigurationError if facts.error in _CONFIGURATION_ERRORS else UnusableAnswerError


def _object(response: HttpResponse) -> dict[str, Any]:
    try:
        return parse_object(response.body)
    except ValueError as error:
        if response.status == 200:
            raise _unusable(response, "is not a JSON object") from error
        return {}


def _unusable(response: HttpResponse, problem: str) -> UnusableAnswerError:
    return UnusableAnswerError(f"the token endpoint's answer {problem}", ProviderError(status_code=response.status))


def _check_scopes(answer: Mapping[str, Any], requested: Sequence[str], response: HttpResponse) -> None:
    """Refuse an answer that grants less than was asked for (RFC 6749 section 3.3); without ``scope`` all is granted."""
    granted = answer.get("scope")
    if not isinstance(granted, str) or not granted:
        return
    names = {_scope_name(scope) for scope in granted.split()}
    missing = [s for s in requested if _scope_name(s) != ".default" and _scope_name(s) not in names]
    if missing:
        raise ConsentRequiredError(
            f"the provider did not grant the scopes {' '.join(missing)}",
            ProviderError(status_code=response.status),
        )


def _scope_name(scope: str) -> str:
    """Return a scope's name without its resource, which Entra leaves out for Microsoft Graph."""
    return scope.rpartition("/")[2].lower()


def _check_user(answer: Mapping[str, Any], assertion: UserAssertion, response: HttpResponse) -> None:
    """Refuse a token for another user; ``client_info`` names the home account, so only the home tenant compares."""
    info = answer.get("client_info")
    if not isinstance(info, str) or not assertion.object_id:
        return
    try:
        account = parse_object(base64.urlsafe_b64decode(info + "=" * (-len(info) % 4)))
    except ValueError as error:
        raise _unusable(response, "has a malformed client_info") from error
    if account.get("utid") == assertion.tenant_id and account.get("uid") != assertion.object_id:
        raise _unusable(response, "is for another user than the assertion's")
