"""The one door through which ``obo_middleware`` reaches the engine: flows, drivers, pools and the confidential client.

Not for applications: what stands here may change with any release. Applications use ``credentials`` and
``credentials.aio``.
"""

from __future__ import annotations

from credentials._addresses import AddressRefusedError
from credentials._advice import advice_in, with_advice
from credentials._authority import Authority, check_scopes
from credentials._cache import GROUP, ExpiringCache, group_of, key_of, user_group
from credentials._client_authentication import ClientAuthentication, FileAssertion
from credentials._client_credentials import ApplicationCredential, AsyncApplicationCredential
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine, TokenQuery, Want
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._errors import ProviderUnavailableError, TransportError, scrub
from credentials._family import asked_flow
from credentials._flow import Flow, HttpRequest, HttpResponse, call, send, sleep, use, wait_for
from credentials._fork import renew_in_children
from credentials._log import correlation_id_of, event
from credentials._observer import Done, Event, Observer, Work, observed_flow
from credentials._on_behalf_of import AsyncOnBehalfOfCredential, OnBehalfOfCredential, check_no_refresh
from credentials._pool import ConnectionPool, is_loopback
from credentials._single_flight import Flight, FlightTable, Landing, WouldDeadlockError
from credentials._store import (
    Forget,
    Found,
    Lead,
    Load,
    Name,
    Operation,
    Release,
    Remove,
    Save,
    Store,
    StoreError,
)
from credentials._strict_json import parse_object
from credentials._token_answer import parse_retry_after
from credentials._token_endpoint import UserAssertion
from credentials._types import Clock, is_header_safe
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
    "Done",
    "Event",
    "ExpiringCache",
    "FileAssertion",
    "Flight",
    "FlightTable",
    "Flow",
    "Forget",
    "Found",
    "GROUP",
    "HttpRequest",
    "HttpResponse",
    "Landing",
    "Lead",
    "Load",
    "Name",
    "Observer",
    "OnBehalfOfCredential",
    "Operation",
    "ProviderUnavailableError",
    "Release",
    "Remove",
    "Save",
    "Store",
    "StoreError",
    "TokenEngine",
    "TokenQuery",
    "TransportError",
    "USER_AGENT",
    "UserAssertion",
    "Want",
    "Work",
    "WouldDeadlockError",
    "advice_in",
    "asked_flow",
    "call",
    "check_no_refresh",
    "check_scopes",
    "correlation_id_of",
    "event",
    "group_of",
    "is_header_safe",
    "is_loopback",
    "key_of",
    "observed_flow",
    "parse_object",
    "parse_retry_after",
    "renew_in_children",
    "scrub",
    "send",
    "sleep",
    "use",
    "user_group",
    "wait_for",
    "with_advice",
]
