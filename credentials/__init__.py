"""Credentials for Microsoft Entra ID, usable alone and by Azure SDK clients: the blocking colour.

The same names, awaitable, are in :mod:`credentials.aio`.
"""

from __future__ import annotations

from credentials._application import ClientOptions
from credentials._authority import AzureAuthorityHosts
from credentials._client_authentication import ClientAssertion, ClientCertificate, ClientSecret
from credentials._client_credentials import ClientSecretCredential
from credentials._errors import (
    AuthenticationError,
    AuthenticationRequiredError,
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

__all__ = [
    "AccessToken",
    "AccessTokenInfo",
    "AsyncTokenCredential",
    "AuthenticationError",
    "AuthenticationRequiredError",
    "AzureAuthorityHosts",
    "ClientAssertion",
    "ClientAuthenticationError",
    "ClientCertificate",
    "ClientConfigurationError",
    "ClientOptions",
    "ClientSecret",
    "ClientSecretCredential",
    "ConsentRequiredError",
    "CredentialUnavailableError",
    "InteractionRequiredError",
    "InvalidAssertionError",
    "OnBehalfOfCredential",
    "ProviderUnavailableError",
    "TokenCredential",
    "TokenRequestOptions",
    "UnusableAnswerError",
]
