"""The credentials of developer tools, their fake tools, and ways to ask them."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from credentials import AccessTokenInfo
from credentials._azure_cli import AsyncAzureCliCredential, AzureCliCredential, process_azure_cli_result
from credentials._azure_developer_cli import (
    AsyncAzureDeveloperCliCredential,
    AzureDeveloperCliCredential,
    process_azure_developer_cli_result,
)
from credentials._azure_powershell import (
    AsyncAzurePowerShellCredential,
    AzurePowerShellCredential,
    process_azure_powershell_result,
)
from credentials._flow import CommandResult, Flow
from credentials._types import Place
from tests.credentials.helpers import NOW, Clock, Colour
from tests.credentials.tools import Tool

SCOPE = "https://vault.azure.net/.default"
RESOURCE = "https://vault.azure.net"
TENANT = "contoso.onmicrosoft.com"
LATER = int(NOW) + 3600


def cli_output(token: str, expires_on: int) -> str:
    return json.dumps({"accessToken": token, "expires_on": expires_on, "tokenType": "Bearer"}, indent=2)


def developer_cli_output(token: str, expires_on: int) -> str:
    moment = datetime.datetime.fromtimestamp(expires_on, datetime.UTC)
    return json.dumps({"token": token, "expiresOn": moment.strftime("%Y-%m-%dT%H:%M:%SZ")})


def powershell_output(token: str, expires_on: int) -> str:
    return f"\nazsdk%{token}%{expires_on}\n"


@dataclass(frozen=True)
class Kind:
    """One kind of developer tool."""

    program: str
    blocking: type[Any]
    awaitable: type[Any]
    output: Callable[[str, int], str]
    process: Callable[..., AccessTokenInfo]

    def make(self, colour: Colour, **options: Any) -> Any:
        return (self.blocking if colour.name == "blocking" else self.awaitable)(**options)


AZ = Kind("az", AzureCliCredential, AsyncAzureCliCredential, cli_output, process_azure_cli_result)
AZD = Kind(
    "azd",
    AzureDeveloperCliCredential,
    AsyncAzureDeveloperCliCredential,
    developer_cli_output,
    process_azure_developer_cli_result,
)
PWSH = Kind(
    "pwsh",
    AzurePowerShellCredential,
    AsyncAzurePowerShellCredential,
    powershell_output,
    process_azure_powershell_result,
)
KINDS = {"cli": AZ, "developer cli": AZD, "powershell": PWSH}


def on_path(kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Return a fake tool that has a token, alone on the path."""
    tool = Tool(folder, kind.program)
    monkeypatch.setenv("PATH", str(tool.path.parent))
    return tool.says(kind.output("the-token", LATER))


def of(kind: Kind, **options: Any) -> Any:
    """Return a blocking credential whose clock stands still."""
    return kind.blocking(clock=Clock(), **options)


@contextmanager
def local_time(monkeypatch: pytest.MonkeyPatch, zone: str) -> Iterator[None]:
    """Let the machine be in a zone, such as "EST5" for five hours behind UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def asking(
    credential: Any, *scopes: str, place: Place = Place.ALONE, options: dict[str, Any] | None = None
) -> Flow[AccessTokenInfo]:
    """Return the flow of a request that finds nothing at hand."""
    query = replace(credential._query(scopes or (SCOPE,), "get_token", options or {}), place=place)
    flow: Flow[AccessTokenInfo] = credential._token_flow(query)
    return flow


def succeeded(output: str) -> CommandResult:
    return CommandResult(status=0, output=output, errors="")


def failed(errors: str = "", *, output: str = "", status: int = 1) -> CommandResult:
    return CommandResult(status=status, output=output, errors=errors)


def shown(error: BaseException | None) -> str:
    """Return all that an error shows anywhere: text, attributes, and what it came from."""
    texts: list[str] = []
    while error is not None:
        # Not the whole traceback, whose lines of source are those of the tests.
        texts += traceback.format_exception_only(error)
        texts += [str(error), repr(error), repr(error.args), *map(repr, vars(error).values())]
        texts += [repr(getattr(error, "doc", "")), repr(getattr(error, "object", ""))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def gather(count: int, credential: Any) -> list[str]:
    """Ask an awaitable credential in so many tasks at once."""

    async def ask_all() -> list[str]:
        tokens = await asyncio.gather(*[credential.get_token(SCOPE) for _ in range(count)])
        return [token.token for token in tokens]

    return asyncio.run(ask_all())
