"""The one door through which ``obo_middleware`` reaches the engine: flows, drivers, pools and the confidential client.

Not for applications: what stands here may change with any release. Applications use ``credentials`` and
``credentials.aio``.
"""

from __future__ import annotations

from credentials._addresses import AddressRefusedError
from credentials._authority import Authority, check_scopes
from credentials._cache import ExpiringCache, key_of
from credentials._client_authentication import ClientAuthentication
from credentials._client_credentials import ApplicationCredential, AsyncApplicationCredential
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine, TokenQuery, Want
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._errors import ProviderUnavailableError, TransportError, scrub
from credentials._family import asked_flow
from credentials._flow import Flow, HttpRequest, HttpResponse, send
from credentials._on_behalf_of import AsyncOnBehalfOfCredential, OnBehalfOfCredential, check_no_refresh
from credentials._pool import ConnectionPool, is_loopback
from credentials._single_flight import FlightTable
from credentials._strict_json import parse_object
from credentials._token_endpoint import UserAssertion
from credentials._types import Clock
from credentials._version import USER_AGENT

__all__ = [
    "AddressRefusedError",
    "ApplicationCredential",
    "AsyncApplicationCredential",
    "AsyncDriver",
    "AsyncOnBehalfOfCredential",
    "Authority",
    "BlockingDriver",
    "ClientAuthentication",
    "Clock",
    "ConfidentialClient",
    "ConnectionPool",
    "ExpiringCache",
    "FlightTable",
    "Flow",
    "HttpRequest",
    "HttpResponse",
    "OnBehalfOfCredential",
    "ProviderUnavailableError",
    "TokenEngine",
    "TokenQuery",
    "TransportError",
    "USER_AGENT",
    "UserAssertion",
    "Want",
    "asked_flow",
    "check_no_refresh",
    "check_scopes",
    "is_loopback",
    "key_of",
    "parse_object",
    "scrub",
    "send",
]
