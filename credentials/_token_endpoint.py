"""The token endpoint: build a request, judge the answer (RFC 6749 sections 4.4 and 5, RFC 7523 section 2.1).

Rules of this file:

1. Building and judging are pure functions in pairs; ``post_flow`` alone asks for I/O.
2. The form has a closed list of fields: nothing from outside can add one or replace one.
3. An answer becomes a token only if every check passes; everything else becomes one of the errors of
   ``_errors``.
"""

from __future__ import annotations

import base64
import email.utils
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    scrub,
)
from credentials._flow import Flow, HttpRequest, HttpResponse, send, sleep
from credentials._strict_json import parse_object
from credentials._types import AccessTokenInfo, is_header_safe
from credentials._version import USER_AGENT

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
RETRY_DELAYS = (0.0, 0.3)
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
    }
    | {"unsupported_grant_type"}
)
_LONGEST_LIFE = 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAssertion:
    """Hold the token of a signed-in user that is exchanged, and whose it is.

    ``partition`` is the hash that keeps this user's cache entries apart (32 bytes). ``object_id`` and
    ``tenant_id`` are the user's where they are known, and then the answer must not name somebody else.
    """

    token: str = field(repr=False)
    partition: bytes = field(repr=False)
    object_id: str = ""
    tenant_id: str = ""


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


def token_request(url: str, form: Mapping[str, str], request_id: str) -> HttpRequest:
    """Return the HTTP request for a form; ``request_id`` is the same for every attempt."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": USER_AGENT,
        "client-request-id": request_id,
        "x-ms-client-request-id": request_id,
    }
    return HttpRequest(method="POST", url=url, headers=headers, body=urllib.parse.urlencode(form).encode())


def post_flow(request: HttpRequest) -> Flow[HttpResponse]:
    """Send a token request, again a few times if the provider fails, and return the last answer.

    Raises :class:`ProviderUnavailableError` if there was none. An answer that says when to come back is not
    retried but returned: the caller's client is told to wait, rather than the request kept waiting.
    """
    delays = iter(RETRY_DELAYS)
    while True:
        delay = next(delays, None)
        try:
            response = yield from send(request)
        except AnswerTooLargeError as error:
            raise UnusableAnswerError("the token endpoint's answer is too large") from error
        except TransportError as error:
            if delay is None:
                raise ProviderUnavailableError(f"the token endpoint did not answer: {error}") from error
        else:
            if delay is None or response.status < 500 or "retry-after" in response.headers:
                return response
        yield from sleep(delay)


def process_token_response(
    response: HttpResponse,
    *,
    now: float,
    requested: Sequence[str] = (),
    assertion: UserAssertion | None = None,
) -> AccessTokenInfo:
    """Return the token in an answer of the token endpoint (RFC 6749 section 5.1).

    ``requested`` are the scopes that an on-behalf-of answer must grant. Raises an
    :class:`AuthenticationError` of the kind that says who must do what.
    """
    answer = _object(response)
    if "error" in answer or response.status != 200:
        raise error_from_answer(answer, response, now)
    token = answer.get("access_token")
    if not isinstance(token, str) or not is_header_safe(token):
        raise _unusable(response, "has no usable access_token")
    # RFC 6749 section 7.1: a client must not use a token whose type it does not understand.
    if str(answer.get("token_type", "Bearer")).lower() != "bearer":
        raise _unusable(response, "has a token_type other than Bearer")
    _check_scopes(answer, requested, response)
    if assertion is not None:
        _check_user(answer, assertion, response)
    expires_on = _expires_on(answer, now, response)
    return AccessTokenInfo(token, expires_on, refresh_on=_refresh_on(answer, now, expires_on))


def error_from_answer(answer: Mapping[str, Any], response: HttpResponse, now: float) -> AuthenticationError:
    """Return the error that an error answer means (RFC 6749 section 5.2; Entra's error codes and claims)."""
    facts = _provider_error(answer, response, now)
    said = facts.error_description or f"HTTP status {facts.status_code}"
    return _kind(facts)(f"Microsoft Entra ID error '({facts.error or 'unknown_error'}) {said}'", facts)


def _kind(facts: ProviderError) -> type[AuthenticationError]:
    codes = frozenset(facts.error_codes)
    if facts.status_code == 429 or facts.status_code >= 500 or facts.error == "temporarily_unavailable":
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


def _provider_error(answer: Mapping[str, Any], response: HttpResponse, now: float) -> ProviderError:
    codes = answer.get("error_codes")
    claims = answer.get("claims")
    return ProviderError(
        status_code=response.status,
        error=_text(answer, "error"),
        error_description=_text(answer, "error_description"),
        error_codes=tuple(c for c in codes if isinstance(c, int)) if isinstance(codes, list) else (),
        suberror=_text(answer, "suberror"),
        claims=claims if isinstance(claims, str) and claims else None,
        correlation_id=_text(answer, "correlation_id"),
        trace_id=_text(answer, "trace_id"),
        timestamp=_text(answer, "timestamp"),
        retry_after=parse_retry_after(response.headers.get("retry-after"), now),
    )


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return scrub(value) if isinstance(value, str) else ""


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header tells (RFC 9110 section 10.2.3), or None."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


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


def _expires_on(answer: Mapping[str, Any], now: float, response: HttpResponse) -> int:
    """Return when the token expires; an implausible lifetime counts as over, so the token is never kept."""
    if "expires_on" not in answer and "expires_in" not in answer:
        raise _unusable(response, "does not say when the token expires")
    seconds = _number(answer["expires_on"]) - now if "expires_on" in answer else _number(answer["expires_in"])
    return int(now + seconds) if 0 < seconds < _LONGEST_LIFE else int(now)


def _refresh_on(answer: Mapping[str, Any], now: float, expires_on: int) -> int:
    """Return when to refresh: as told, else after half of a life of two hours or more, else 300 s before the end."""
    life = expires_on - now
    told = _number(answer.get("refresh_in"))
    if 0 < told < life:
        return int(now + told)
    return int(now + life / 2) if life >= 7200 else int(expires_on - min(300.0, life / 2))


def _number(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if abs(value) < 1e15 else 0.0
