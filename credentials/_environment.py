"""The credential that the environment describes: an application with a secret or a certificate.

Facts: the variables are those of azure-identity, ``AZURE_ADDITIONALLY_ALLOWED_TENANTS`` is the JavaScript library's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Unpack

from credentials._application import AmbientFamily, ClientOptions
from credentials._authority import check_tenant
from credentials._client_authentication import ClientAuthentication, ClientCertificate, ClientSecret
from credentials._colours import AsyncColour, BlockingColour
from credentials._errors import CredentialUnavailableError
from credentials._log import event

_logger = logging.getLogger("credentials")

_UNAVAILABLE = "EnvironmentCredential authentication unavailable."
_NO_PASSWORDS = " AZURE_USERNAME and AZURE_PASSWORD are not used: user names and passwords are not supported."


class EnvironmentFamily(AmbientFamily):
    """Be the application that the environment describes, as it does when the credential is made.

    Raises ``ValueError`` for a malformed variable. What is missing is told when a token is asked for.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        found = _found(os.environ)
        options = _with_tenants(options, found)
        try:
            authentication = _authentication(found)
        except CredentialUnavailableError as error:
            _logger.info("%s", error, extra=event("obo.environment.incomplete"))
            self._set_up_without(error.text, **options)
        else:
            kind = type(authentication).__name__
            _logger.info("EnvironmentCredential authenticates with a %s", kind, extra=event("obo.environment.found"))
            self._set_up(found["AZURE_TENANT_ID"], found["AZURE_CLIENT_ID"], authentication, **options)


class EnvironmentCredential(BlockingColour, EnvironmentFamily):
    """Get tokens as the application that the environment describes, blocking.

    ``AZURE_TENANT_ID`` and ``AZURE_CLIENT_ID`` name it. It proves itself with ``AZURE_CLIENT_SECRET``, else with the
    certificate at ``AZURE_CLIENT_CERTIFICATE_PATH``, whose password is ``AZURE_CLIENT_CERTIFICATE_PASSWORD``;
    ``AZURE_CLIENT_SEND_CERTIFICATE_CHAIN`` is ``1`` or ``true`` to send its chain.
    ``AZURE_ADDITIONALLY_ALLOWED_TENANTS`` has the tenants between semicolons. An empty variable counts as not set. The
    options are those of :class:`ClientOptions`. Raises ``ValueError`` for a malformed variable or option; what is
    missing raises :class:`CredentialUnavailableError` when a token is asked for, so that a chain goes on.
    """


class AsyncEnvironmentCredential(AsyncColour, EnvironmentFamily):
    """Get tokens as the application that the environment describes, awaitable.

    The options and variables are those of the blocking :class:`EnvironmentCredential`.
    """


def _found(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of Azure that are set; one that is blank is not."""
    return {name: value for name, value in environ.items() if name.startswith("AZURE_") and value.strip()}


def _with_tenants(options: ClientOptions, found: Mapping[str, str]) -> ClientOptions:
    """Return the options with the environment's additional tenants, unless some are given."""
    if options.get("additionally_allowed_tenants") is not None:
        return options
    tenants = found.get("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "").split(";")
    return {**options, "additionally_allowed_tenants": [tenant.strip() for tenant in tenants if tenant.strip()]}


def _authentication(found: Mapping[str, str]) -> ClientAuthentication:
    """Return how the application proves itself.

    Raises :class:`CredentialUnavailableError` that names what is missing, and ``ValueError`` for what is malformed.
    """
    if "AZURE_TENANT_ID" in found:
        check_tenant(found["AZURE_TENANT_ID"], "AZURE_TENANT_ID")
    missing = [name for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID") if name not in found]
    if "AZURE_CLIENT_SECRET" not in found and "AZURE_CLIENT_CERTIFICATE_PATH" not in found:
        missing.append("AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH")
    if missing:
        passwords = _NO_PASSWORDS if found.keys() & {"AZURE_USERNAME", "AZURE_PASSWORD"} else ""
        raise CredentialUnavailableError(f"{_UNAVAILABLE} Not set: {', '.join(missing)}.{passwords}")
    secret = found.get("AZURE_CLIENT_SECRET")
    return ClientSecret(secret) if secret else _certificate(found)


def _certificate(found: Mapping[str, str]) -> ClientCertificate:
    try:
        return ClientCertificate(
            found["AZURE_CLIENT_CERTIFICATE_PATH"],
            password=found.get("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
            send_certificate_chain=found.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "").lower() in ("1", "true"),
        )
    except ValueError as error:
        # A file that is not there is the machine's lack; one that is no certificate is somebody's mistake.
        if isinstance(error.__cause__, OSError):
            raise CredentialUnavailableError(f"{_UNAVAILABLE} AZURE_CLIENT_CERTIFICATE_PATH: {error}") from error
        also = " with AZURE_CLIENT_CERTIFICATE_PASSWORD" if "AZURE_CLIENT_CERTIFICATE_PASSWORD" in found else ""
        raise ValueError(f"AZURE_CLIENT_CERTIFICATE_PATH{also}: {error}") from error
