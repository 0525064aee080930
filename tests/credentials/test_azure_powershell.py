from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from credentials import CredentialUnavailableError, UnusableAnswerError
from credentials._azure_powershell import (
    AZURE_POWERSHELL,
    azure_powershell_arguments,
    process_azure_powershell_result,
)
from credentials._developer_command import tool_command
from credentials._types import Place
from tests.credentials.developer_tools import (
    LATER,
    PWSH,
    RESOURCE,
    SCOPE,
    TENANT,
    asking,
    failed,
    of,
    on_path,
    powershell_output,
    shown,
    succeeded,
)
from tests.credentials.helpers import NOW, Colour, play
from tests.credentials.tools import Tool


@pytest.fixture
def tool(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(PWSH, tmp_path, monkeypatch)


def script_of(arguments: tuple[str, ...] | list[str]) -> str:
    return base64.b64decode(arguments[-1]).decode("utf-16-le")


# The command


def test_powershell_runs_a_script_without_profile_and_without_a_shell(colour: Colour, tool: Tool) -> None:
    colour.get_token(PWSH.make(colour), SCOPE)
    (run,) = tool.runs
    assert run.arguments[:-1] == [str(tool.path), "-NoProfile", "-NonInteractive", "-EncodedCommand"]
    script = script_of(run.arguments)
    assert f"'ResourceUrl' = '{RESOURCE}'" in script
    assert "$tenantId = ''" in script


@pytest.mark.parametrize("options", [({"tenant_id": TENANT}, {}), ({}, {"tenant_id": TENANT})])
def test_the_script_names_the_tenant(
    colour: Colour, tool: Tool, options: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    colour.get_token(PWSH.make(colour, **options[0]), SCOPE, **options[1])
    assert f"$tenantId = '{TENANT}'" in script_of(tool.runs[0].arguments)


def test_the_script_stops_on_errors_and_knows_the_versions_of_the_module() -> None:
    script = script_of(azure_powershell_arguments("scope", ""))
    assert script.startswith("$ErrorActionPreference = 'Stop'")
    for part in ("Import-Module Az.Accounts -MinimumVersion '2.2.0'", "[version]'2.17.0'", "[version]'5.0.0'"):
        assert part in script
    for part in ("$wanted['AsSecureString'] = $true", "-is [System.Security.SecureString]", "ToUnixTimeSeconds()"):
        assert part in script
    assert "'ResourceUrl' = 'scope'" in script
    assert 'Write-Output "azsdk%${text}%${seconds}"' in script
    assert script.count("{") == script.count("}")


@pytest.mark.parametrize(
    ("names", "first"),
    [(("pwsh.exe", "powershell.exe"), "pwsh.exe"), (("powershell.exe",), "powershell.exe")],
)
def test_windows_falls_back_to_the_older_powershell(tmp_path: Any, names: tuple[str, ...], first: str) -> None:
    paths = {name: Tool(tmp_path, name).says().path for name in names}
    environ = {"PATH": str(paths[first].parent), "SYSTEMROOT": "/Windows"}
    command = tool_command(AZURE_POWERSHELL, (), timeout=1, system="nt", environ=environ)
    assert command.arguments == (str(paths[first]),)


def test_elsewhere_there_is_no_older_powershell(tmp_path: Any) -> None:
    path = Tool(tmp_path, "powershell").says().path
    with pytest.raises(CredentialUnavailableError, match=r"^PowerShell is not installed"):
        tool_command(AZURE_POWERSHELL, (), timeout=1, system="posix", environ={"PATH": str(path.parent)})


# The output


@pytest.mark.parametrize("before", ["", "WARNING: old\n", "azsdk-nothing a%b%c "])
def test_the_first_marked_word_is_the_token(before: str) -> None:
    output = before + powershell_output("shell-token", LATER) + powershell_output("second", LATER)
    info = process_azure_powershell_result(succeeded(output), now=NOW)
    assert (info.token, info.expires_on) == ("shell-token", LATER)


@pytest.mark.parametrize(
    "output", ["", "text", "azsdk%", "azsdk%canary", "azsdk%canary%", "azsdk%canary%soon", "azsdk%canary%1.5"]
)
def test_other_output_is_refused_and_not_shown(output: str) -> None:
    with pytest.raises(UnusableAnswerError, match=r"^Unexpected output from Azure PowerShell: it ") as caught:
        process_azure_powershell_result(succeeded(output), now=NOW)
    assert "canary" not in shown(caught.value)


@pytest.mark.parametrize("output", ["azsdk%a%b%5", "azsdk%%5", f"azsdk%a%-{LATER}", f"azsdk%é%{LATER}"])
def test_malformed_lines_are_refused(output: str) -> None:
    with pytest.raises(UnusableAnswerError):
        process_azure_powershell_result(succeeded(output), now=NOW)


# Failures


def test_a_missing_module_is_told_with_the_command_to_run(colour: Colour, tool: Tool) -> None:
    script = script_of(azure_powershell_arguments("scope", ""))
    marker = script.partition("Write-Output '")[2].partition("'")[0]
    tool.says(f"{marker}\n")
    with pytest.raises(CredentialUnavailableError, match=r"Az\.Accounts module >= 2\.2\.0 is not installed"):
        colour.get_token(PWSH.make(colour), SCOPE)


@pytest.mark.parametrize(
    ("errors", "status", "text"),
    [
        ("", 127, "PowerShell is not installed"),
        ("'pwsh' is not recognized as an internal or external command", 1, "PowerShell is not installed"),
        ("Get-AzAccessToken: Run Connect-AzAccount to login.", 1, "Please run 'Connect-AzAccount'"),
        ("Get-AzAccessToken: Run Connect-AzAccount\n     to login.", 1, "Please run 'Connect-AzAccount'"),
        ("AuthorizationManager check failed.", 1, "Execution policy prevented"),
        ("anything else", 1, "Failed to invoke PowerShell"),
        ("", 1, "Failed to invoke PowerShell"),
    ],
)
def test_failures_are_told_with_what_to_do(errors: str, status: int, text: str) -> None:
    with pytest.raises(CredentialUnavailableError, match=f"^{text}"):
        process_azure_powershell_result(failed(errors, status=status), now=NOW)


@pytest.mark.parametrize("place", [Place.ALONE, Place.CHAIN, Place.DEFAULT])
def test_a_failure_is_the_next_ones_turn_in_every_chain(tool: Tool, place: Place) -> None:
    error = play(asking(of(PWSH), place=place), failed("anything")).error
    assert type(error) is CredentialUnavailableError


def test_what_powershell_writes_of_an_error_is_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="credentials")
    with pytest.raises(CredentialUnavailableError, match="DEBUG") as caught:
        process_azure_powershell_result(failed("the cause\nof it"), now=NOW)
    assert "the cause" not in shown(caught.value)
    assert "the cause of it" in caplog.text


# Claims


@pytest.mark.parametrize(("options", "more"), [({}, ""), ({"tenant_id": TENANT}, f" -Tenant {TENANT}")])
def test_the_instructions_for_claims(colour: Colour, options: dict[str, Any], more: str) -> None:
    with pytest.raises(CredentialUnavailableError) as caught:
        colour.get_token(PWSH.make(colour), SCOPE, claims="{}", **options)
    assert str(caught.value).endswith(f": Connect-AzAccount -ClaimsChallenge e30={more}")
