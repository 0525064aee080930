"""Managed identity in a Service Fabric cluster: the node's token service, known by the thumbprint of its certificate.

Nobody signs that certificate, so authority and host name say nothing: the thumbprint, which the cluster gives each
service in ``IDENTITY_SERVER_THUMBPRINT``, says all. Facts: Microsoft's "Leverage a Service Fabric application's managed
identity to access Azure services".

Rules of this file:

1. The certificate is compared right after the handshake, in the very call that makes it: before that call has
   returned, no caller has a connection that it could send the secret over.
2. Only documented hooks: ``sslsocket_class`` (blocking) and ``sslobject_class`` (asyncio) of :class:`ssl.SSLContext`.
3. The secret is sent over this source's own connections, whoever drives the flow.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from dataclasses import replace
from typing import Any

from credentials._errors import AuthenticationError, CredentialUnavailableError
from credentials._flow import Flow, HttpRequest, HttpResponse, run
from credentials._managed_identity_answer import (
    IdentityQuery,
    ask_flow,
    endpoint_url,
    header_secret,
    identity_request,
    process_identity_response,
)
from credentials._pool import ConnectionPool
from credentials._token_endpoint import delay_after_failure
from credentials._types import AccessTokenInfo, Place

_NAME = "Service Fabric"
_API_VERSION = "2019-07-01-preview"
_THUMBPRINT = re.compile(r"[0-9A-Fa-f]{40}")
_MISMATCH = "its thumbprint is not the expected one"
_OAUTH_NAMES = {
    "SecretHeaderNotFound": "unauthorized_client",
    "ManagedIdentityNotFound": "invalid_client",
    "ArgumentNullOrEmpty": "invalid_scope",
}
"""The service's error codes under the names of RFC 6749 section 5.2."""


class ServiceFabric:
    """Get tokens from the token service of a Service Fabric node.

    ``endpoint``, ``header`` and ``thumbprint`` are what ``IDENTITY_ENDPOINT``, ``IDENTITY_HEADER`` and
    ``IDENTITY_SERVER_THUMBPRINT`` say.
    """

    name = _NAME

    def __init__(self, endpoint: str, header: str, thumbprint: str) -> None:
        self._endpoint = endpoint
        self._header = header
        self._digest = digest_of(thumbprint)
        self.pool = ConnectionPool(ssl_context=pinned_context(self._digest), direct=True)

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token.

        Raises :class:`CredentialUnavailableError` if a variable is unusable or nobody answers, and
        :class:`AuthenticationError` for an identity by name, another certificate than the pinned one, and a refusal.
        """
        request = self._request(query)
        return (yield from run(self._exchange_flow(request, query), self.pool))

    def _request(self, query: IdentityQuery) -> HttpRequest:
        if query.identity.parameters():
            # In the default chain the id may be another credential's, so there it is the next one's turn.
            kind = CredentialUnavailableError if query.place is Place.DEFAULT else AuthenticationError
            raise kind(
                "Service Fabric managed identity: an identity cannot be chosen by client_id, object_id or resource_id: "
                "identities are assigned to services in the application's manifest; leave the option out"
            )
        endpoint = endpoint_url("IDENTITY_ENDPOINT", self._endpoint, schemes=("https",))
        if not self._digest:
            raise CredentialUnavailableError(
                "the environment variable IDENTITY_SERVER_THUMBPRINT must be the SHA-1 thumbprint of a certificate: "
                "40 hexadecimal digits"
            )
        return service_fabric_request(endpoint, query, header_secret("IDENTITY_HEADER", self._header))

    def _exchange_flow(self, request: HttpRequest, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        try:
            response = yield from ask_flow(request, _NAME, _delay_after)
        except CredentialUnavailableError as error:
            if _MISMATCH not in str(error):
                raise
            raise AuthenticationError(
                "Service Fabric managed identity: the server's certificate does not have the thumbprint that the "
                "environment variable IDENTITY_SERVER_THUMBPRINT says, so nothing was sent to it"
            ) from error
        return process_service_fabric_response(response, now=query.now, header=self._header)


def _delay_after(response: HttpResponse | None, attempt: int) -> float | None:
    # Where no answer came, the certificate may be another one: who shows it must not be asked again and again.
    return None if response is None else delay_after_failure(response, attempt)


def service_fabric_request(endpoint: str, query: IdentityQuery, header: str) -> HttpRequest:
    """Return the request for a token; a refused token is named by its hash, so that the service renews it."""
    parameters = {"api-version": _API_VERSION, "resource": query.resource}
    if query.refused:
        parameters["token_sha256_to_refresh"] = hashlib.sha256(query.refused.encode()).hexdigest()
    if query.capabilities:
        parameters["xms_cc"] = ",".join(query.capabilities)
    return identity_request(endpoint, parameters, {"Secret": header})


def process_service_fabric_response(response: HttpResponse, *, now: float, header: str) -> AccessTokenInfo:
    """Return the token in an answer, or raise what it means; the ``error`` is OAuth's name of the service's code."""
    try:
        return process_identity_response(response, source=_NAME, now=now, secret=header)
    except AuthenticationError as error:
        name = _OAUTH_NAMES.get(error.answer.error)
        if name is None:
            raise
        raise type(error)(error.text, replace(error.answer, error=name)) from error


def digest_of(thumbprint: str) -> bytes:
    """Return a thumbprint's 20 bytes; spaces and colons do not count. Empty for what is no SHA-1 thumbprint."""
    digits = thumbprint.replace(" ", "").replace(":", "")
    return bytes.fromhex(digits) if _THUMBPRINT.fullmatch(digits) else b""


class _PinnedContext(ssl.SSLContext):
    digest: bytes = b""


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, *arguments: Any) -> None:
        super().do_handshake(*arguments)
        _check_certificate(self)


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _check_certificate(self)


def _check_certificate(connection: ssl.SSLSocket | ssl.SSLObject) -> None:
    certificate = connection.getpeercert(binary_form=True) or b""
    found = hashlib.sha1(certificate, usedforsecurity=False).digest()
    if not hmac.compare_digest(found, getattr(connection.context, "digest", b"")):
        error = ssl.SSLCertVerificationError(_MISMATCH)
        error.verify_code, error.verify_message = 0, _MISMATCH
        raise error


def pinned_context(digest: bytes) -> ssl.SSLContext:
    """Return the TLS context for the server whose certificate has the SHA-1 ``digest`` (20 bytes), and no other.

    The empty digest is nobody's. Authorities, host names and validity count for nothing.
    """
    context = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.digest = digest
    context.sslsocket_class, context.sslobject_class = _PinnedSocket, _PinnedObject
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Whoever the certificate named stays the peer for as long as the connection lasts.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context
