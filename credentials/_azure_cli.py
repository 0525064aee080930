"""The credential of whoever is signed in to the Azure CLI.

Facts: ``az account get-access-token`` (Azure CLI reference), and how azure-identity reads its output.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._developer_command import (
    OneResourceTool,
    ToolFacts,
    ToolOptions,
    epoch_of,
    object_in,
    refusal,
    token_of,
    unusable,
)
from credentials._errors import CredentialUnavailableError
from credentials._flow import CommandResult
from credentials._types import AccessTokenInfo

AZURE_CLI = ToolFacts(
    title="the Azure CLI",
    programs=("az",),
    windows_programs=("az.cmd", "az.exe"),
    not_found="Azure CLI not found on path. Install it (https://aka.ms/azure-cli) and sign in with 'az login'",
    variables={"AZURE_CORE_NO_COLOR": "true"},
)
_SUBSCRIPTION = re.compile(r"(?!-)[A-Za-z0-9_. -]+")
_LOCAL_TIME = "%Y-%m-%d %H:%M:%S.%f"


class _AzureCli(OneResourceTool):
    _facts: ClassVar[ToolFacts] = AZURE_CLI

    def __init__(self, *, subscription: str | None = None, **options: Unpack[ToolOptions]) -> None:
        super().__init__(**options)
        self._subscription = check_subscription(subscription) if subscription else ""

    def _command_words(self, query: TokenQuery) -> tuple[str, ...]:
        return azure_cli_arguments(query.scopes[0], query.tenant_id, self._subscription)

    def _token_from(self, result: CommandResult) -> AccessTokenInfo:
        return process_azure_cli_result(result, now=self._engine.clock())

    def _sign_in(self, claims: str, tenant_id: str, scope: str) -> str:
        return (
            "The Azure CLI cannot answer a claims challenge for an application. To authenticate with the required "
            "claims, please run the following command (requires Azure CLI version 2.76.0 or later): "
            f"az login --claims-challenge {claims}"
            + (f" --tenant {tenant_id}" if tenant_id else "")
            + (f" --scope {scope}" if scope else "")
        )


class AzureCliCredential(BlockingColour, _AzureCli):
    """Get tokens for whoever is signed in to the Azure CLI (``az login``), blocking; for development.

    ``subscription`` is the name or id of a subscription whose account is meant, by default the CLI's current one. The
    other options are those of :class:`ToolOptions`. One scope at a time. Tokens are kept until they
    expire: after signing in as somebody else, make a new credential. Raises ``ValueError`` for a malformed argument.
    """


class AsyncAzureCliCredential(AsyncColour, _AzureCli):
    """Get tokens for whoever is signed in to the Azure CLI (``az login``), awaitable; for development.

    The arguments are those of the blocking :class:`AzureCliCredential`. Tokens are kept until they expire: after
    signing in as somebody else, make a new credential.
    """


def check_subscription(subscription: str) -> str:
    """Return the subscription; raises ``ValueError`` unless it has only what names and ids of subscriptions have."""
    if not isinstance(subscription, str) or not _SUBSCRIPTION.fullmatch(subscription):
        raise ValueError("subscription is not valid: give its name or id (letters, digits, '_', '-', '.', spaces)")
    return subscription


def azure_cli_arguments(scope: str, tenant_id: str, subscription: str) -> tuple[str, ...]:
    """Return the arguments by which the Azure CLI gives a token for a scope's resource; the others may be empty."""
    return (
        *("account", "get-access-token", "--output", "json", "--resource", scope.removesuffix("/.default")),
        *(("--tenant", tenant_id) if tenant_id else ()),
        *(("--subscription", subscription) if subscription else ()),
    )


def process_azure_cli_result(result: CommandResult, *, now: float) -> AccessTokenInfo:
    """Return the token that the Azure CLI gave; ``now`` is in seconds since the epoch.

    Raises :class:`CredentialUnavailableError` if it is not installed or nobody is signed in to it, and
    :class:`AuthenticationError` if it gave no token for another reason.
    """
    if result.status:
        _raise_failure(result)
    try:
        answer = object_in(result.output)
        return token_of(answer.get("accessToken"), _expires_on(answer), now)
    except ValueError as error:
        raise unusable(AZURE_CLI.title, error) from error


def _raise_failure(result: CommandResult) -> None:
    errors = result.errors
    if result.status == 127 or errors.startswith("'az' is not recognized"):
        raise CredentialUnavailableError(AZURE_CLI.not_found)
    if ("az login" in errors or "az account set" in errors) and "AADSTS" not in errors:
        raise CredentialUnavailableError("Please run 'az login' to set up an account for the Azure CLI")
    raise refusal(AZURE_CLI.title, errors)


def _expires_on(answer: Mapping[str, Any]) -> int:
    """Return when the token expires: versions before 2.54 tell it in the local time of the machine only."""
    if "expires_on" in answer:
        return epoch_of(answer["expires_on"])
    local = _local_time(answer.get("expiresOn"))
    if local is None:
        raise ValueError("does not say when the token expires")
    return local


def _local_time(value: object) -> int | None:
    try:
        return int(datetime.datetime.strptime(str(value), _LOCAL_TIME).astimezone().timestamp())
    except (ValueError, OverflowError, OSError):
        return None
