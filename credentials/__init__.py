"""Credentials for Microsoft Entra ID, usable alone and by Azure SDK clients: the blocking colour.

The same names, awaitable, are in :mod:`credentials.aio`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from credentials._application import ClientOptions
from credentials._authority import AzureAuthorityHosts
from credentials._client_assertion import ClientAssertion
from credentials._client_authentication import ClientCertificate, ClientSecret
from credentials._client_credentials import (
    ClientAssertionCredential,
    ClientCertificateCredential,
    ClientSecretCredential,
)
from credentials._errors import (
    AuthenticationError,
    AuthenticationRequiredError,
    ChainedAuthenticationError,
    ChainUnavailableError,
    ClientAuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    CredentialUnavailableError,
    InteractionRequiredError,
    InvalidAssertionError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from credentials._on_behalf_of import OnBehalfOfCredential
from credentials._types import AccessToken, AccessTokenInfo, AsyncTokenCredential, TokenCredential, TokenRequestOptions
from credentials._version import __version__ as __version__

CertificateCredential = ClientCertificateCredential
"""The name of :class:`ClientCertificateCredential` in azure-identity for Python."""

if TYPE_CHECKING:
    from credentials._azure_cli import AzureCliCredential
    from credentials._azure_developer_cli import AzureDeveloperCliCredential
    from credentials._azure_pipelines import AzurePipelinesCredential
    from credentials._azure_powershell import AzurePowerShellCredential
    from credentials._chained import ChainedTokenCredential
    from credentials._default import DefaultAzureCredential
    from credentials._default_options import DefaultAzureCredentialOptions
    from credentials._developer_command import ToolOptions
    from credentials._environment import EnvironmentCredential
    from credentials._managed_identity import ManagedIdentityCredential, ManagedIdentityOptions
    from credentials._token_provider import get_bearer_token_provider
    from credentials._workload_identity import WorkloadIdentityCredential

# Imported when they are asked for: each application uses one or two of them, and none pays for the others at start.
_LATE = {
    "AzureCliCredential": "_azure_cli",
    "AzureDeveloperCliCredential": "_azure_developer_cli",
    "AzurePipelinesCredential": "_azure_pipelines",
    "AzurePowerShellCredential": "_azure_powershell",
    "ChainedTokenCredential": "_chained",
    "DefaultAzureCredential": "_default",
    "DefaultAzureCredentialOptions": "_default_options",
    "EnvironmentCredential": "_environment",
    "ManagedIdentityCredential": "_managed_identity",
    "ManagedIdentityOptions": "_managed_identity",
    "ToolOptions": "_developer_command",
    "WorkloadIdentityCredential": "_workload_identity",
    "get_bearer_token_provider": "_token_provider",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


__all__ = [
    "AccessToken",
    "AccessTokenInfo",
    "AsyncTokenCredential",
    "AuthenticationError",
    "AuthenticationRequiredError",
    "AzureAuthorityHosts",
    "AzureCliCredential",
    "AzureDeveloperCliCredential",
    "AzurePipelinesCredential",
    "AzurePowerShellCredential",
    "CertificateCredential",
    "ChainUnavailableError",
    "ChainedAuthenticationError",
    "ChainedTokenCredential",
    "ClientAssertion",
    "ClientAssertionCredential",
    "ClientAuthenticationError",
    "ClientCertificate",
    "ClientCertificateCredential",
    "ClientConfigurationError",
    "ClientOptions",
    "ClientSecret",
    "ClientSecretCredential",
    "ConsentRequiredError",
    "CredentialUnavailableError",
    "DefaultAzureCredential",
    "DefaultAzureCredentialOptions",
    "EnvironmentCredential",
    "InteractionRequiredError",
    "InvalidAssertionError",
    "ManagedIdentityCredential",
    "ManagedIdentityOptions",
    "OnBehalfOfCredential",
    "ProviderUnavailableError",
    "TokenCredential",
    "TokenRequestOptions",
    "ToolOptions",
    "UnusableAnswerError",
    "WorkloadIdentityCredential",
    "get_bearer_token_provider",
]
