"""The endpoints that give a managed identity's tokens: App Service, Azure ML, Cloud Shell and virtual machines.

Azure Arc and Service Fabric have rooms of their own, for their protocols are longer. Sources: Microsoft's pages "How to
use managed identities for App Service", "How to use managed identities for Azure resources on an Azure VM to acquire
an access token", and what azure-identity does where no page says it (Azure ML, Cloud Shell).

Rules of this file:

1. These endpoints are on this machine or beside it, so no proxy is ever used.
2. What makes an endpoint unusable raises :class:`CredentialUnavailableError`; whoever makes a source decides when
   that is told.
3. A chain must not wait long for what is not there: it is probed first, and an absence is remembered.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from credentials._errors import AuthenticationError, CredentialUnavailableError, TransportError, scrub
from credentials._flow import Flow, HttpRequest, HttpResponse, send
from credentials._managed_identity_answer import (
    Identity,
    IdentityQuery,
    ask_flow,
    endpoint_url,
    header_secret,
    identity_request,
    process_identity_response,
)
from credentials._pool import ConnectionPool, bare_pool
from credentials._strict_json import parse_object
from credentials._types import AccessTokenInfo, Place
from credentials._version import USER_AGENT

IMDS_URL = "http://169.254.169.254"
"""The Azure Instance Metadata Service, the same on every virtual machine."""
IMDS_DELAYS = (0.0, 1.6, 3.2, 6.4, 12.8)
"""Seconds before each further attempt while the metadata service starts, throttles or fails."""
IMDS_DELAYS_GONE = (0.0, 5.0, 10.0, 20.0, 40.0)
"""The same for status 410: the service is being updated, which takes up to 70 seconds (Microsoft's own advice)."""
IMDS_DELAYS_SILENT = (0.0, 1.6)
"""The same where no answer came at all."""
PROBE_TIMEOUT = 1.0
"""Seconds in which the metadata service, if there is one, refuses a probe."""
ABSENCE_KEPT = 30.0
"""Seconds for which it is remembered that no metadata service answered a probe."""


def direct_pool(endpoint: str) -> ConnectionPool:
    """Return connections to an endpoint of this machine: never through a proxy."""
    return ConnectionPool(direct=True) if endpoint.lower().startswith("https:") else bare_pool()


class Unavailable:
    """Stand in for a source that cannot be used here; ``message`` says why, and what to set."""

    name = "unavailable"

    def __init__(self, message: str) -> None:
        self.message = message
        self.pool = bare_pool()

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Raise :class:`CredentialUnavailableError`."""
        yield from ()
        raise CredentialUnavailableError(self.message)


class SecretHeaderSource:
    """Be an endpoint that tells its own processes from others by a secret header.

    ``names`` are those of the parameters that name an identity, where they are not :class:`Identity`'s.
    """

    def __init__(
        self, name: str, endpoint: str, *, header: str, secret: str, api_version: str, names: Mapping[str, str]
    ) -> None:
        self.name = name
        self.pool = direct_pool(endpoint)
        self._endpoint = endpoint
        self._header, self._secret = header, secret
        self._api_version, self._names = api_version, names

    def request(self, query: IdentityQuery) -> HttpRequest:
        """Return the request for a token."""
        parameters = {"api-version": self._api_version, "resource": query.resource}
        parameters |= query.identity.parameters(**self._names)
        return identity_request(self._endpoint, parameters, {self._header: self._secret})

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""
        response = yield from ask_flow(self.request(query), self.name)
        return process_identity_response(response, source=self.name, now=query.now, secret=self._secret)


def app_service(environ: Mapping[str, str]) -> SecretHeaderSource:
    """Return the endpoint of App Service, Functions and Container Apps ("How to use managed identities", REST)."""
    return SecretHeaderSource(
        "App Service",
        endpoint_url("IDENTITY_ENDPOINT", environ["IDENTITY_ENDPOINT"]),
        header="X-IDENTITY-HEADER",
        secret=header_secret("IDENTITY_HEADER", environ["IDENTITY_HEADER"]),
        api_version="2019-08-01",
        names={},
    )


def azure_ml(environ: Mapping[str, str]) -> SecretHeaderSource:
    """Return the endpoint of Azure ML's compute, which has the names of App Service's first version."""
    return SecretHeaderSource(
        "Azure ML",
        endpoint_url("MSI_ENDPOINT", environ["MSI_ENDPOINT"]),
        header="secret",
        secret=header_secret("MSI_SECRET", environ["MSI_SECRET"]),
        api_version="2017-09-01",
        names={"client_id": "clientid", "resource_id": "msi_res_id"},
    )


class CloudShell:
    """Be the endpoint of Cloud Shell, which gives tokens of the user who is signed in there."""

    name = "Cloud Shell"

    def __init__(self, endpoint: str) -> None:
        self.pool = direct_pool(endpoint)
        self._endpoint = endpoint

    def request(self, query: IdentityQuery) -> HttpRequest:
        """Return the request for a token."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Metadata": "true",
            "User-Agent": USER_AGENT,
        }
        body = urllib.parse.urlencode({"resource": query.resource}).encode()
        return HttpRequest(method="POST", url=self._endpoint, headers=headers, body=body, connect_timeout=2.0)

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""
        response = yield from ask_flow(self.request(query), self.name)
        return process_identity_response(response, source=self.name, now=query.now)


class Imds:
    """Be the metadata service of virtual machines, and of what imitates it (AKS's pod identity).

    With ``probe`` it is first seen, within a chain, whether it is there at all.
    """

    name = "IMDS"

    def __init__(self, base_url: str = IMDS_URL, *, probe: bool = True) -> None:
        self.pool = direct_pool(base_url)
        self._endpoint = f"{base_url.rstrip('/')}/metadata/identity/oauth2/token"
        self._unknown = probe
        self._absent_until = 0.0

    def request(self, query: IdentityQuery) -> HttpRequest:
        """Return the request for a token."""
        return identity_request(self._endpoint, _imds_parameters(query), {"Metadata": "true"})

    def probe_request(self, query: IdentityQuery) -> HttpRequest:
        """Return the request without the header that the service demands: it refuses at once, and so shows itself."""
        return identity_request(self._endpoint, _imds_parameters(query), {}, timeout=PROBE_TIMEOUT)

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""
        if self._unknown and query.place is not Place.ALONE:
            yield from self._probe_flow(query)
        response = yield from ask_flow(self.request(query), self.name, delay_after_imds)
        return process_imds_response(response, query)

    def _probe_flow(self, query: IdentityQuery) -> Flow[None]:
        # A clock that was set back must not make an absence last.
        if 0 < self._absent_until - query.now <= ABSENCE_KEPT:
            raise _no_imds("none showed itself a moment ago")
        try:
            yield from probe_flow(self.probe_request(query))
        except CredentialUnavailableError:
            self._absent_until = query.now + ABSENCE_KEPT
            raise
        self._unknown = False


def _imds_parameters(query: IdentityQuery) -> dict[str, str]:
    identity = query.identity.parameters(resource_id="msi_res_id")
    return {"api-version": "2018-02-01", "resource": query.resource, **identity}


def delay_after_imds(response: HttpResponse | None, attempt: int) -> float | None:
    """Tell how long to wait: the service starts later than the machine, and throttles (Microsoft's page, "Retry")."""
    if response is None:
        delays: tuple[float, ...] = IMDS_DELAYS_SILENT
    elif response.status == 410:
        delays = IMDS_DELAYS_GONE
    elif response.status in (404, 429) or response.status >= 500:
        delays = IMDS_DELAYS
    else:
        return None
    return delays[attempt - 1] if attempt <= len(delays) else None


def probe_flow(request: HttpRequest) -> Flow[None]:
    """Send a probe, once; raises :class:`CredentialUnavailableError` unless the service shows itself."""
    try:
        check_probe_response((yield from send(request)))
    except TransportError as error:
        raise _no_imds(f"no response from the IMDS endpoint: {error}") from error


def check_probe_response(response: HttpResponse) -> None:
    """Raise :class:`CredentialUnavailableError` unless the answer to a probe is one that the service may give."""
    _check_reachable(response)
    try:
        parse_object(response.body)
    except ValueError as error:
        raise _no_imds(f"HTTP status {response.status}, and not a JSON object") from error


def process_imds_response(response: HttpResponse, query: IdentityQuery) -> AccessTokenInfo:
    """Return the token in the metadata service's answer; the errors are those of :func:`process_identity_response`.

    An identity that is not assigned, and a gateway's word that there is no service, are
    :class:`CredentialUnavailableError`.
    """
    _check_reachable(response)
    try:
        return process_identity_response(response, source=Imds.name, now=query.now)
    except AuthenticationError as error:
        if error.status_code != 400:
            raise
        raise CredentialUnavailableError(f"{_not_assigned(query.identity)}. It said: {error.text}") from error


def _check_reachable(response: HttpResponse) -> None:
    # Docker Desktop answers in the place of a service that it cannot reach.
    if response.status == 403 and b"unreachable" in response.body.lower():
        raise _no_imds(scrub(response.body.decode("utf-8", errors="replace")))


def _not_assigned(identity: Identity) -> str:
    if identity == Identity():
        return (
            "IMDS managed identity: this machine has no system-assigned identity. Enable it, or assign an identity and "
            "name it by client_id"
        )
    return "IMDS managed identity: the requested identity is not assigned to this machine. Assign it, or name another"


def _no_imds(problem: str) -> CredentialUnavailableError:
    return CredentialUnavailableError(f"IMDS managed identity: there is no metadata service here: {problem}")
