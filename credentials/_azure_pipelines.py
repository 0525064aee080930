"""Azure Pipelines: the service connection's OpenID Connect token stands in for the application's secret.

Facts: Azure DevOps, "Oidctoken - Create" (REST API 7.1), and workload identity federation for service connections.

Rules of this file:

1. The job's own token goes to the host that the agent names in ``SYSTEM_OIDCREQUESTURI``, over TLS, and nowhere else.
2. Building and judging are pure functions in pairs.
"""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass, field
from typing import Unpack

from credentials._application import ApplicationFamily, ClientOptions
from credentials._client_authentication import TokenRequestFacts, assertion_fields
from credentials._colours import AsyncColour, BlockingColour
from credentials._errors import (
    AuthenticationError,
    CredentialUnavailableError,
    ProviderError,
    ProviderUnavailableError,
    UnusableAnswerError,
    scrub,
)
from credentials._flow import Flow, HttpRequest, HttpResponse
from credentials._pool import is_loopback, split_url
from credentials._strict_json import parse_object
from credentials._token_answer import hide, parse_retry_after
from credentials._token_endpoint import post_flow
from credentials._types import is_header_safe
from credentials._version import USER_AGENT

_URI = "SYSTEM_OIDCREQUESTURI"
_MISSING = (
    f"Missing value for the {_URI} environment variable. The Azure Pipelines agent sets it for a job that uses a "
    "service connection with workload identity federation: run in such a job, in a task such as AzureCLI@2 that names "
    "the connection."
)
_HINT = "check that SYSTEM_ACCESSTOKEN is mapped into the task's environment: SYSTEM_ACCESSTOKEN: $(System.AccessToken)"
_SHORT = 300
"""Characters of an answer's body that an error repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinesAssertion:
    """Authenticate with the assertion that Azure Pipelines issues for a service connection, one for each request.

    ``organization_url`` is empty, or an address at the host that alone may get the job's token. Raises ``ValueError``
    for an empty or malformed value.
    """

    service_connection_id: str
    system_access_token: str = field(repr=False)
    organization_url: str = ""

    def __post_init__(self) -> None:
        connection = self.service_connection_id
        if not isinstance(connection, str) or not connection.strip() or not connection.isprintable():
            raise ValueError(
                "service_connection_id must be the id of the service connection, a string that is not empty"
            )
        token = self.system_access_token
        if not isinstance(token, str) or not is_header_safe(token):
            raise ValueError(f"system_access_token must be the value of System.AccessToken; {_HINT}")
        if not isinstance(self.organization_url, str):
            raise ValueError("organization_url must be the URL of the Azure DevOps organization, a string")
        if self.organization_url:
            _checked(self.organization_url, "organization_url")

    def authenticate_flow(self, facts: TokenRequestFacts) -> Flow[dict[str, str]]:
        """Return the form fields with a new assertion.

        Raises :class:`CredentialUnavailableError` outside a job, and :class:`AuthenticationError` if there is none.
        """
        request = oidc_request(self._endpoint(), self.service_connection_id, self.system_access_token)
        response = yield from post_flow(request, receiver="the OIDC endpoint of Azure Pipelines")
        assertion = process_oidc_response(response, now=facts.now, system_access_token=self.system_access_token)
        return assertion_fields(assertion)

    def _endpoint(self) -> str:
        uri = os.environ.get(_URI)
        if not uri:
            raise CredentialUnavailableError(_MISSING)
        try:
            host = _checked(uri, f"the environment variable {_URI}")
        except ValueError as error:
            raise CredentialUnavailableError(str(error)) from error
        wanted = _checked(self.organization_url, "organization_url") if self.organization_url else host
        if host != wanted:
            raise AuthenticationError(
                f"organization_url is at {wanted}, but {_URI} is at {host}: the job's token is sent nowhere. Correct "
                "organization_url, or leave it out"
            )
        return uri


class AzurePipelinesFamily(ApplicationFamily):
    """Exchange a service connection's token for the application's tokens."""

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        service_connection_id: str,
        system_access_token: str,
        *,
        organization_url: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        authentication = PipelinesAssertion(
            service_connection_id=service_connection_id,
            system_access_token=system_access_token,
            organization_url="" if organization_url is None else organization_url,
        )
        self._set_up(tenant_id, client_id, authentication, **options)


class AzurePipelinesCredential(BlockingColour, AzurePipelinesFamily):
    """Get tokens as the application behind a service connection of Azure Pipelines, blocking.

    ``service_connection_id`` is the connection's id, ``system_access_token`` the value of ``$(System.AccessToken)``.
    ``organization_url`` is the Azure DevOps organization's, such as ``https://dev.azure.com/contoso``: if given, the
    agent's ``SYSTEM_OIDCREQUESTURI`` must be at the same host. The other options are those of :class:`ClientOptions`.
    Raises ``ValueError`` for an empty or malformed argument; outside a job a request for a token raises
    :class:`CredentialUnavailableError`.
    """


class AsyncAzurePipelinesCredential(AsyncColour, AzurePipelinesFamily):
    """Get tokens as the application behind a service connection of Azure Pipelines, awaitable.

    The arguments are those of the blocking :class:`AzurePipelinesCredential`.
    """


def oidc_request(uri: str, service_connection_id: str, system_access_token: str) -> HttpRequest:
    """Return the request for a service connection's assertion (Azure DevOps REST API 7.1, "Oidctoken - Create")."""
    ours = {"api-version": "7.1", "serviceConnectionId": service_connection_id}
    parts = urllib.parse.urlsplit(uri)
    names = {name.lower() for name in ours}
    others = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0].lower() not in names]
    query = "&".join([*others, urllib.parse.urlencode(ours, quote_via=urllib.parse.quote)])
    headers = {
        "Authorization": f"Bearer {system_access_token}",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        # A refusal is then an answer of its own, and not a redirect to the sign-in page.
        "X-TFS-FedAuthRedirect": "Suppress",
    }
    url = parts._replace(path=parts.path.rstrip("/"), query=query, fragment="").geturl()
    return HttpRequest(method="POST", url=url, headers=headers)


def process_oidc_response(response: HttpResponse, *, now: float, system_access_token: str) -> str:
    """Return the assertion in the answer; raises :class:`AuthenticationError` of the kind that says what went wrong.

    ``now`` is in seconds since the epoch; ``system_access_token`` is what no error may repeat.
    """
    facts = ProviderError(
        status_code=response.status, retry_after=parse_retry_after(response.headers.get("retry-after"), now)
    )
    if response.status != 200:
        kind = ProviderUnavailableError if facts.is_outage else AuthenticationError
        raise kind(_refusal(response, system_access_token), facts)
    try:
        assertion = parse_object(response.body).get("oidcToken")
    except ValueError as error:
        raise UnusableAnswerError(f"the OIDC token response is not a JSON object; {_HINT}", facts) from error
    if not isinstance(assertion, str) or not is_header_safe(assertion):
        raise UnusableAnswerError("OIDC token not found in response.", facts)
    return assertion


def _refusal(response: HttpResponse, system_access_token: str) -> str:
    body = hide(response.body.decode("utf-8", errors="replace"), (system_access_token,))
    # Azure DevOps answers a token that is not good with its sign-in page, in one of these ways.
    hint = f"; {_HINT}" if response.status in (203, 302, 401) else ""
    said = scrub(body)[:_SHORT]
    return f"Unexpected response from OIDC token endpoint: HTTP status {response.status}{hint}. It says: {said!r}"


def _checked(url: str, name: str) -> str:
    """Return host and port of a URL, comparable; raises ``ValueError`` if the job's token must not go there."""
    parts = split_url(url)
    if parts is None:
        raise ValueError(f"{name} is not a URL")
    host, port = parts.hostname or "", parts.port
    if not host or "@" in parts.netloc or not is_header_safe(url):
        raise ValueError(f"{name} must be a URL with a host and without user, spaces and characters beyond ASCII")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(f"{name} must use https: the job's token is sent there")
    return f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"
