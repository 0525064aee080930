"""Settings from the environment, under the names that azure-identity reads too; an empty variable counts as not set."""

from __future__ import annotations

import os

from credentials import ClientAssertion, ClientCertificate, ClientSecret
from credentials.kernel import ClientAuthentication
from obo_middleware._urls import wrong


def variable_for(name: str, variable: str) -> str:
    """Return an environment variable; raises :class:`ConfigurationError` that names it if it is missing or empty."""
    value = os.environ.get(variable)
    if not value:
        raise wrong(name, "is missing", f"set the environment variable {variable}, or pass {name}=...")
    return value


def credential_from_env() -> ClientAuthentication:
    """Return the client credential that the environment describes: a secret, else a certificate, else a token file."""
    secret = os.environ.get("AZURE_CLIENT_SECRET")
    certificate = os.environ.get("AZURE_CLIENT_CERTIFICATE_PATH")
    token_file = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
    if secret:
        return ClientSecret(secret)
    if certificate:
        try:
            return ClientCertificate(certificate, password=os.environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD"))
        except ValueError as error:
            raise wrong(
                "client_credential", f"cannot be used: {error}", "correct AZURE_CLIENT_CERTIFICATE_PATH"
            ) from error
    if token_file:
        return ClientAssertion.from_file(token_file)
    raise wrong(
        "client_credential",
        "is missing",
        "set AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or pass it",
    )
