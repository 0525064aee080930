"""The credential of whoever is signed in to Azure PowerShell.

Facts: ``Get-AzAccessToken`` (Az.Accounts reference), and how azure-identity calls it. The token comes as a
``SecureString`` from the versions that are told so, and from version 5 on in any case.
"""

from __future__ import annotations

import base64
import logging
from typing import ClassVar

from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._developer_command import (
    OneResourceTool,
    ToolFacts,
    epoch_of,
    token_of,
    unusable,
)
from credentials._errors import CredentialUnavailableError, scrub
from credentials._flow import CommandResult
from credentials._log import event
from credentials._types import AccessTokenInfo

_logger = logging.getLogger("credentials")

AZURE_POWERSHELL = ToolFacts(
    title="Azure PowerShell",
    programs=("pwsh",),
    windows_programs=("pwsh.exe", "powershell.exe"),
    not_found=(
        "PowerShell is not installed. Install it (https://aka.ms/powershell) with the module Az.Accounts and sign in "
        "with 'Connect-AzAccount'"
    ),
    variables={"NO_COLOR": "true"},
)
_NO_MODULE = "azsdk-no-module"
_MARK = "azsdk%"

# Resource and tenant are put between single quotes; their characters are checked, and quotes are not among them.
_SCRIPT = """\
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$module = Import-Module Az.Accounts -MinimumVersion '2.2.0' -PassThru -ErrorAction SilentlyContinue
if (-not $module) {{
    Write-Output '{no_module}'
    exit 0
}}
$tenantId = '{tenant_id}'
$wanted = @{{ 'ResourceUrl' = '{resource}'; 'WarningAction' = 'Ignore' }}
if ($tenantId) {{ $wanted['TenantId'] = $tenantId }}
if ($module.Version -ge [version]'2.17.0' -and $module.Version -lt [version]'5.0.0') {{
    $wanted['AsSecureString'] = $true
}}
$answer = Get-AzAccessToken @wanted
$text = $answer.Token
if ($text -is [System.Security.SecureString]) {{
    $text = (New-Object System.Net.NetworkCredential('', $text)).Password
}}
$seconds = $answer.ExpiresOn.ToUnixTimeSeconds()
Write-Output ''
Write-Output "{mark}${{text}}%${{seconds}}"
"""


class _AzurePowerShell(OneResourceTool):
    _facts: ClassVar[ToolFacts] = AZURE_POWERSHELL

    def _command_words(self, query: TokenQuery) -> tuple[str, ...]:
        return azure_powershell_arguments(query.scopes[0], query.tenant_id)

    def _token_from(self, result: CommandResult) -> AccessTokenInfo:
        return process_azure_powershell_result(result, now=self._engine.clock())

    def _sign_in(self, claims: str, tenant_id: str, scope: str) -> str:
        return (
            "Azure PowerShell cannot answer a claims challenge for an application. To authenticate with the required "
            "claims, please run the following command (requires Az.Accounts module version 5.2.0 or later): "
            f"Connect-AzAccount -ClaimsChallenge {claims}" + (f" -Tenant {tenant_id}" if tenant_id else "")
        )


class AzurePowerShellCredential(BlockingColour, _AzurePowerShell):
    """Get tokens for whoever is signed in to Azure PowerShell (``Connect-AzAccount``), blocking; for development.

    It needs the module Az.Accounts 2.2.0 or later. The options are those of :class:`ToolOptions`. One scope at a time.
    Tokens are kept until they expire: after signing in as somebody else, make a new credential. Raises ``ValueError``
    for a malformed argument.
    """


class AsyncAzurePowerShellCredential(AsyncColour, _AzurePowerShell):
    """Get tokens for whoever is signed in to Azure PowerShell (``Connect-AzAccount``), awaitable; for development.

    The arguments are those of the blocking :class:`AzurePowerShellCredential`. Tokens are kept until they expire:
    after signing in as somebody else, make a new credential.
    """


def azure_powershell_arguments(scope: str, tenant_id: str) -> tuple[str, ...]:
    """Return the arguments by which PowerShell runs the script that prints a token; the tenant may be empty."""
    resource = scope.removesuffix("/.default")
    script = _SCRIPT.format(no_module=_NO_MODULE, mark=_MARK, resource=resource, tenant_id=tenant_id)
    encoded = base64.b64encode(script.encode("utf-16-le")).decode()
    return ("-NoProfile", "-NonInteractive", "-EncodedCommand", encoded)


def process_azure_powershell_result(result: CommandResult, *, now: float) -> AccessTokenInfo:
    """Return the token that Azure PowerShell gave; ``now`` is in seconds since the epoch.

    Raises :class:`CredentialUnavailableError` if PowerShell, its module or somebody signed in to it is missing or it
    failed in another way, and :class:`AuthenticationError` if it ended well without a token.
    """
    if result.status:
        _raise_failure(result)
    if _NO_MODULE in result.output.split():
        raise CredentialUnavailableError(
            "Az.Accounts module >= 2.2.0 is not installed. Run 'Install-Module Az.Accounts', then 'Connect-AzAccount'"
        )
    try:
        return _token_in(result.output, now)
    except ValueError as error:
        raise unusable(AZURE_POWERSHELL.title, error) from error


def _token_in(output: str, now: float) -> AccessTokenInfo:
    line = next((word for word in output.split() if word.startswith(_MARK)), "")
    parts = line.split("%")
    if len(parts) != 3:
        raise ValueError("has no line with a token")
    return token_of(parts[1], epoch_of(parts[2]), now)


def _raise_failure(result: CommandResult) -> None:
    # A line of it may be broken anywhere, to fit a console that is not there.
    errors = " ".join(result.errors.split())
    if result.status == 127 or "' is not recognized" in errors:
        raise CredentialUnavailableError(AZURE_POWERSHELL.not_found)
    if "Run Connect-AzAccount to login" in errors:
        raise CredentialUnavailableError("Please run 'Connect-AzAccount' to set up an account for Azure PowerShell")
    if "AuthorizationManager check failed" in errors:
        raise CredentialUnavailableError(
            "Execution policy prevented invoking Azure PowerShell. Permit scripts, for instance with "
            "'Set-ExecutionPolicy -Scope CurrentUser RemoteSigned'"
        )
    # Too long and too noisy for a message.
    _logger.debug("Azure PowerShell failed: %s", scrub(errors), extra=event("obo.command.failed"))
    raise CredentialUnavailableError("Failed to invoke PowerShell. The log of 'credentials' at level DEBUG says more")
