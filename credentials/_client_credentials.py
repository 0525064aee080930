"""Credentials of the application itself: the client credentials grant (RFC 6749 section 4.4)."""

from __future__ import annotations

import os
from typing import Self, Unpack

from credentials._application import ApplicationFamily, ClientOptions, one_of
from credentials._client_assertion import AssertionSource, ClientAssertion
from credentials._client_authentication import ClientCertificate, ClientSecret
from credentials._colours import AsyncColour, BlockingColour
from credentials._confidential_client import ConfidentialClient
from credentials._pool import ConnectionPool


class _Application(ApplicationFamily):
    @classmethod
    def of(cls, client: ConfidentialClient, pool: ConnectionPool) -> Self:
        """Return the application's credential over a client that others use too."""
        credential = cls.__new__(cls)
        credential._client, credential._pool, credential._owns_pool = client, pool, False
        return credential


class ApplicationCredential(BlockingColour, _Application):
    """Be the application itself, blocking, however its confidential client authenticates; made by ``of``."""


class AsyncApplicationCredential(AsyncColour, _Application):
    """Be the application itself, awaitable, however its confidential client authenticates; made by ``of``."""


class _ClientSecret(_Application):
    def __init__(self, tenant_id: str, client_id: str, client_secret: str, **options: Unpack[ClientOptions]) -> None:
        self._set_up(tenant_id, client_id, ClientSecret(client_secret), **options)


class ClientSecretCredential(BlockingColour, _ClientSecret):
    """Get tokens as an application that has a client secret, blocking.

    The options are those of :class:`ClientOptions`. Raises ``ValueError`` for an empty or malformed argument.
    """


class AsyncClientSecretCredential(AsyncColour, _ClientSecret):
    """Get tokens as an application that has a client secret, awaitable.

    The options are those of :class:`ClientOptions`. Raises ``ValueError`` for an empty or malformed argument.
    """


class _ClientCertificate(_Application):
    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        certificate_path: str | os.PathLike[str] | None = None,
        *,
        certificate_data: bytes | str | None = None,
        password: str | bytes | None = None,
        certificate_password: str | bytes | None = None,
        send_certificate_chain: bool = False,
        **options: Unpack[ClientOptions],
    ) -> None:
        authentication = ClientCertificate(
            certificate_path,
            data=certificate_data,
            password=one_of("password", password, certificate_password),
            send_certificate_chain=send_certificate_chain,
        )
        self._set_up(tenant_id, client_id, authentication, **options)


class ClientCertificateCredential(BlockingColour, _ClientCertificate):
    """Get tokens as an application that has a certificate, blocking.

    Give the ``certificate_path`` of a PEM or PFX file, or its bytes as ``certificate_data``, and its ``password`` (in
    JavaScript ``certificate_password``) if it has one. ``send_certificate_chain`` is for subject name and issuer
    authentication. The other options are those of :class:`ClientOptions`. Raises ``ValueError`` for a certificate
    that cannot be read or used, and for an empty or malformed argument.
    """


class AsyncClientCertificateCredential(AsyncColour, _ClientCertificate):
    """Get tokens as an application that has a certificate, awaitable.

    The arguments are those of the blocking :class:`ClientCertificateCredential`.
    """


class _ClientAssertion(_Application):
    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        func: AssertionSource | None = None,
        *,
        get_assertion: AssertionSource | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        source: AssertionSource = one_of("func", func, get_assertion)
        self._set_up(tenant_id, client_id, ClientAssertion.of(source), **options)


class ClientAssertionCredential(BlockingColour, _ClientAssertion):
    """Get tokens as an application that proves itself with client assertions of its own making, blocking.

    ``func`` (in JavaScript ``get_assertion``) takes nothing and returns the assertion, plain or ``async``; it is called
    once for each token request. It may be a :class:`ClientAssertion` too. The other options are those of
    :class:`ClientOptions`. Raises ``ValueError`` for an empty or malformed argument.
    """


class AsyncClientAssertionCredential(AsyncColour, _ClientAssertion):
    """Get tokens as an application that proves itself with client assertions of its own making, awaitable.

    The arguments are those of the blocking :class:`ClientAssertionCredential`.
    """
