"""The credential of whoever is signed in to the Azure Developer CLI.

Facts: ``azd auth token`` (Azure Developer CLI reference), and how azure-identity reads its output.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, ClassVar

from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._developer_command import (
    DeveloperTool,
    ToolFacts,
    base64_of,
    object_in,
    refusal,
    token_of,
    unusable,
)
from credentials._errors import CredentialUnavailableError
from credentials._flow import CommandResult
from credentials._strict_json import parse_object
from credentials._types import AccessTokenInfo

AZURE_DEVELOPER_CLI = ToolFacts(
    title="the Azure Developer CLI",
    programs=("azd",),
    windows_programs=("azd.exe", "azd.cmd"),
    not_found=(
        "Azure Developer CLI could not be found. Install it (https://aka.ms/azure-dev) and sign in with "
        "'azd auth login'"
    ),
    variables={"NO_COLOR": "true"},
)


class _AzureDeveloperCli(DeveloperTool):
    _facts: ClassVar[ToolFacts] = AZURE_DEVELOPER_CLI

    def _command_words(self, query: TokenQuery) -> tuple[str, ...]:
        return azure_developer_cli_arguments(query.scopes, query.tenant_id, query.claims)

    def _token_from(self, result: CommandResult) -> AccessTokenInfo:
        return process_azure_developer_cli_result(result, now=self._engine.clock())


class AzureDeveloperCliCredential(BlockingColour, _AzureDeveloperCli):
    """Get tokens for whoever is signed in to the Azure Developer CLI (``azd auth login``), blocking; for development.

    The options are those of :class:`ToolOptions`. Tokens are kept until they expire: after signing in as somebody
    else, make a new credential. Raises ``ValueError`` for a malformed argument.
    """


class AsyncAzureDeveloperCliCredential(AsyncColour, _AzureDeveloperCli):
    """Get tokens for whoever is signed in to the Azure Developer CLI (``azd auth login``), awaitable; for development.

    The arguments are those of the blocking :class:`AzureDeveloperCliCredential`. Tokens are kept until they expire:
    after signing in as somebody else, make a new credential.
    """


def azure_developer_cli_arguments(scopes: tuple[str, ...], tenant_id: str, claims: str | None) -> tuple[str, ...]:
    """Return the arguments by which the Azure Developer CLI gives a token; the tenant may be empty."""
    return (
        *("auth", "token", "--output", "json", "--no-prompt"),
        *(word for scope in scopes for word in ("--scope", scope)),
        *(("--tenant-id", tenant_id) if tenant_id else ()),
        *(("--claims", base64_of(claims)) if claims else ()),
    )


def process_azure_developer_cli_result(result: CommandResult, *, now: float) -> AccessTokenInfo:
    """Return the token that the Azure Developer CLI gave; ``now`` is in seconds since the epoch.

    Raises :class:`CredentialUnavailableError` if it is not installed, too old or nobody is signed in to it, and
    :class:`AuthenticationError` if it gave no token for another reason.
    """
    if result.status:
        _raise_failure(result)
    try:
        answer = object_in(result.output)
        return token_of(answer.get("token"), _expires_on(answer.get("expiresOn")), now)
    except ValueError as error:
        said = message_in(result.output)
        title = AZURE_DEVELOPER_CLI.title
        raise (refusal(title, said) if said else unusable(title, error)) from error


def message_in(text: str) -> str:
    """Return what went wrong, as the JSON lines of the tool say it, or an empty text.

    The member ``error`` (azd 1.23.7 and later) is preferred to ``data.message`` (before); lines that are no JSON
    object are passed over. The text may still hold a token.
    """
    legacy = ""
    for line in _objects(text):
        error = _text(line.get("error"))
        if error:
            return error
        data = line.get("data")
        legacy = legacy or (_text(data.get("message")) if isinstance(data, dict) else "")
    return legacy


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = parse_object(line.encode("utf-8", errors="replace"))
        except ValueError:
            continue
        yield value


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _raise_failure(result: CommandResult) -> None:
    both = f"{result.output}\n{result.errors}"
    if result.status == 127 or result.errors.startswith("'azd' is not recognized"):
        raise CredentialUnavailableError(AZURE_DEVELOPER_CLI.not_found)
    if "not logged in, run `azd auth login` to login" in both and "AADSTS" not in both:
        raise CredentialUnavailableError("Please run 'azd auth login' to set up an account for the Azure Developer CLI")
    if "unknown flag: --claims" in both:
        raise CredentialUnavailableError(
            "This version of the Azure Developer CLI cannot answer claims challenges. Update it to 1.18.1 or later"
        )
    raise refusal(AZURE_DEVELOPER_CLI.title, message_in(result.output) or message_in(result.errors) or result.errors)


def _expires_on(value: object) -> int:
    """Return when the token expires: in UTC, or with an offset (RFC 3339); azure-identity takes it for local time."""
    moment = _moment(value)
    if moment is None or moment.tzinfo is None:
        raise ValueError("does not say when the token expires")
    return int(moment.timestamp())


def _moment(value: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return None
