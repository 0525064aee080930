"""Credentials for Microsoft Entra ID, usable alone and by Azure SDK clients: the awaitable colour.

The same names, blocking, are in :mod:`credentials`; errors and values are the same classes.
"""

from __future__ import annotations

from credentials._azure_cli import AsyncAzureCliCredential as AzureCliCredential
from credentials._azure_developer_cli import AsyncAzureDeveloperCliCredential as AzureDeveloperCliCredential
from credentials._azure_pipelines import AsyncAzurePipelinesCredential as AzurePipelinesCredential
from credentials._azure_powershell import AsyncAzurePowerShellCredential as AzurePowerShellCredential
from credentials._chained import AsyncChainedTokenCredential as ChainedTokenCredential
from credentials._client_credentials import AsyncClientAssertionCredential as ClientAssertionCredential
from credentials._client_credentials import AsyncClientCertificateCredential as ClientCertificateCredential
from credentials._client_credentials import AsyncClientSecretCredential as ClientSecretCredential
from credentials._default import AsyncDefaultAzureCredential as DefaultAzureCredential
from credentials._environment import AsyncEnvironmentCredential as EnvironmentCredential
from credentials._managed_identity import AsyncManagedIdentityCredential as ManagedIdentityCredential
from credentials._on_behalf_of import AsyncOnBehalfOfCredential as OnBehalfOfCredential
from credentials._token_provider import get_async_bearer_token_provider as get_bearer_token_provider
from credentials._workload_identity import AsyncWorkloadIdentityCredential as WorkloadIdentityCredential

CertificateCredential = ClientCertificateCredential
"""The name of :class:`ClientCertificateCredential` in azure-identity for Python."""

__all__ = [
    "AzureCliCredential",
    "AzureDeveloperCliCredential",
    "AzurePipelinesCredential",
    "AzurePowerShellCredential",
    "CertificateCredential",
    "ChainedTokenCredential",
    "ClientAssertionCredential",
    "ClientCertificateCredential",
    "ClientSecretCredential",
    "DefaultAzureCredential",
    "EnvironmentCredential",
    "ManagedIdentityCredential",
    "OnBehalfOfCredential",
    "WorkloadIdentityCredential",
    "get_bearer_token_provider",
]

for _name in __all__:
    # Representations and tracebacks show the name under which it was imported; so does a pickle.
    globals()[_name].__module__ = __name__
    globals()[_name].__name__ = globals()[_name].__qualname__ = globals()[_name].__name__.removeprefix("Async")
get_bearer_token_provider.__name__ = get_bearer_token_provider.__qualname__ = "get_bearer_token_provider"
