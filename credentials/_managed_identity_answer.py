"""What every source of a managed identity's tokens has in common: what it is asked, how, and what its answer means.

Pure functions build and judge; :func:`ask_flow` alone asks for I/O. The sources themselves are in
``_managed_identity_sources``, ``_azure_arc`` and ``_service_fabric``.

Rules of this file:

1. No answer, or one that no such endpoint would give (no JSON object), means that there is no managed identity
   here, and a chain goes on. A refusal in JSON is a refusal, with its status.
2. What the endpoint says is shown in errors without tokens, and without the secret that it was asked with.
3. Redirects are not followed: one is an answer without a token, as any other.
"""

from __future__ import annotations

import datetime
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from credentials._errors import (
    AnswerTooLargeError,
    AuthenticationError,
    CredentialUnavailableError,
    ProviderError,
    ProviderUnavailableError,
    TransportError,
    UnusableAnswerError,
)
from credentials._flow import Flow, HttpRequest, HttpResponse
from credentials._pool import ConnectionPool, split_url
from credentials._retry import DelayAfter, retried_flow
from credentials._strict_json import parse_object
from credentials._token_answer import provider_error, token_in_answer
from credentials._token_endpoint import delay_after_failure
from credentials._types import AccessTokenInfo, Place, is_header_safe
from credentials._version import USER_AGENT

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d*)?", re.ASCII)
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d\d):(\d\d)(?: (AM|PM))? \+00:00", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Say which identity is asked for: at most one of the three is set, and none means the system-assigned one."""

    client_id: str = ""
    object_id: str = ""
    resource_id: str = ""

    def parameters(
        self, *, client_id: str = "client_id", object_id: str = "object_id", resource_id: str = "mi_res_id"
    ) -> dict[str, str]:
        """Return the query parameter that names the identity, under the endpoint's own names; empty for none."""
        named = {client_id: self.client_id, object_id: self.object_id, resource_id: self.resource_id}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityQuery:
    """Describe one token request to a source; ``now`` is in seconds since the epoch.

    ``place`` says whether a chain asks. ``refused`` is the token that an API answered with the ``claims`` (JSON) of a
    challenge, and ``capabilities`` are the client's, such as ``CP1``: for the sources that take them.
    """

    resource: str
    identity: Identity
    now: float
    place: Place = Place.ALONE
    refused: str | None = field(default=None, repr=False)
    capabilities: tuple[str, ...] = ()
    claims: str | None = None


class IdentitySource(Protocol):
    """Describe an endpoint that gives a managed identity's tokens; ``name`` is for messages."""

    name: str
    pool: ConnectionPool

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""


def endpoint_url(variable: str, value: str, *, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """Return the URL that an environment variable holds.

    Raises :class:`CredentialUnavailableError`, which names the variable and not its value, for one that no request
    could be sent to.
    """
    parts = split_url(value)
    well_formed = parts and re.fullmatch(r"[!-~]+", value) and _HOST_AND_PORT.fullmatch(parts.netloc)
    if well_formed and parts and parts.hostname and parts.scheme in schemes and "#" not in value:
        return value
    raise CredentialUnavailableError(
        f"the environment variable {variable} must be the {' or '.join(schemes)} URL of the managed identity endpoint, "
        "with a host and without user or fragment"
    )


def header_secret(variable: str, value: str) -> str:
    """Return the secret in an environment variable; raises :class:`CredentialUnavailableError` if it cannot be sent."""
    if not is_header_safe(value):
        raise CredentialUnavailableError(
            f"the environment variable {variable} has characters that no HTTP header may have: set what Azure gave"
        )
    return value


def identity_request(
    endpoint: str, parameters: Mapping[str, str], headers: Mapping[str, str], *, timeout: float = 10.0
) -> HttpRequest:
    """Return the GET request for a token, its parameters added to the endpoint's own; ``timeout`` is in seconds."""
    url = f"{endpoint}{'&' if '?' in endpoint else '?'}{urllib.parse.urlencode(parameters)}"
    # These endpoints are on this machine or beside it: what does not accept at once is not there.
    return HttpRequest(
        method="GET", url=url, headers={"User-Agent": USER_AGENT, **headers}, timeout=timeout, connect_timeout=2.0
    )


def ask_flow(request: HttpRequest, source: str, delay_after: DelayAfter = delay_after_failure) -> Flow[HttpResponse]:
    """Send a request to a source, again a few times where that can help, and return the last answer.

    Raises :class:`CredentialUnavailableError` if there was none.
    """
    try:
        return (yield from retried_flow(request, delay_after))
    except AnswerTooLargeError as error:
        raise UnusableAnswerError(f"{source} managed identity: the answer is too large") from error
    except TransportError as error:
        raise CredentialUnavailableError(
            f"{source} managed identity: no response from the {source} endpoint: {error}"
        ) from error


def process_identity_response(response: HttpResponse, *, source: str, now: float, secret: str = "") -> AccessTokenInfo:
    """Return the token in a source's answer; ``secret`` is what the request carried, and is hidden in errors.

    Raises :class:`CredentialUnavailableError` for an answer that is no JSON object, and the kind of
    :class:`AuthenticationError` that any other answer without a token means.
    """
    try:
        answer = parse_object(response.body)
    except ValueError as error:
        raise CredentialUnavailableError(
            f"{source} managed identity: unexpected answer with HTTP status {response.status}: not a JSON object"
        ) from error
    if response.status != 200:
        raise _refusal(answer, response, source, now, secret)
    try:
        return token_in_answer(_with_epoch(answer), now)
    except ValueError as error:
        facts = ProviderError(status_code=response.status)
        raise UnusableAnswerError(f"{source} managed identity: the answer {error}", facts) from error


def _refusal(
    answer: Mapping[str, Any], response: HttpResponse, source: str, now: float, secret: str
) -> AuthenticationError:
    facts = provider_error(_uniform(answer), response, now, (secret,))
    kind = ProviderUnavailableError if facts.is_outage else AuthenticationError
    said = " ".join(text for text in (facts.error and f"({facts.error})", facts.error_description) if text)
    return kind(f"{source} managed identity: HTTP status {facts.status_code}: {said or 'no reason given'}", facts)


def _uniform(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error answer under OAuth's names: each of these services has names of its own."""
    error = answer.get("error")
    inner = error if isinstance(error, dict) else {"code": error}
    return {
        "error": inner.get("code") or answer.get("code"),
        "error_description": answer.get("error_description") or inner.get("message") or answer.get("message"),
        "correlation_id": answer.get("correlation_id") or inner.get("correlationId") or answer.get("correlationId"),
        "trace_id": answer.get("trace_id"),
        "timestamp": answer.get("timestamp"),
    }


def _with_epoch(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer with its ``expires_on`` in seconds, where it is a date as Azure ML and App Service write it."""
    date = _DATE.fullmatch(answer["expires_on"]) if isinstance(answer.get("expires_on"), str) else None
    if date is None:
        return answer
    month, day, year, hour, minute, second = (int(part) for part in date.groups()[:6])
    half = date[7]
    if half is not None:
        hour = hour % 12 + (12 if half == "PM" else 0)
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return answer
    return {**answer, "expires_on": int(moment.timestamp())}
