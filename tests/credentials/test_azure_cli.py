from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import Any

import pytest

from credentials import AuthenticationError, CredentialUnavailableError, UnusableAnswerError
from credentials._azure_cli import AZURE_CLI, azure_cli_arguments, process_azure_cli_result
from credentials._cache import key_of
from credentials._developer_command import tool_command
from credentials._flow import RunCommand
from tests.credentials.developer_tools import (
    AZ,
    LATER,
    RESOURCE,
    SCOPE,
    TENANT,
    asking,
    cli_output,
    failed,
    local_time,
    of,
    on_path,
    shown,
    succeeded,
)
from tests.credentials.helpers import NOW, Colour, play
from tests.credentials.tools import Tool

BASE = ("account", "get-access-token", "--output", "json", "--resource", RESOURCE)


@pytest.fixture
def tool(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(AZ, tmp_path, monkeypatch)


def answer(**members: Any) -> str:
    return json.dumps({"accessToken": "cli-token"} | members)


# The command


@pytest.mark.parametrize(
    ("options", "request_options", "more"),
    [
        ({}, {}, ()),
        ({"tenant_id": TENANT}, {}, ("--tenant", TENANT)),
        ({}, {"tenant_id": TENANT}, ("--tenant", TENANT)),
        ({"subscription": "My Sub.1_a-b"}, {}, ("--subscription", "My Sub.1_a-b")),
        ({"subscription": "s", "tenant_id": "t"}, {}, ("--tenant", "t", "--subscription", "s")),
    ],
)
def test_the_arguments(
    colour: Colour, tool: Tool, options: dict[str, Any], request_options: dict[str, Any], more: tuple[str, ...]
) -> None:
    colour.get_token(AZ.make(colour, **options), SCOPE, **request_options)
    assert tuple(tool.runs[0].arguments[1:]) == BASE + more


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        (SCOPE, RESOURCE),
        (f"{RESOURCE}//.default", f"{RESOURCE}/"),
        (RESOURCE, RESOURCE),
        ("https://x/User.Read", "https://x/User.Read"),
        ("api://id/.default/.default", "api://id/.default"),
    ],
)
def test_the_resource_is_the_scope_without_its_default(scope: str, resource: str) -> None:
    assert azure_cli_arguments(scope, "", "")[-1] == resource


@pytest.mark.parametrize("subscription", ["a;b", "-h", "a'b", 'a"b', "a/b", "a\nb", "é", "a$b", 5])
def test_a_subscription_with_other_characters_is_refused(subscription: Any) -> None:
    with pytest.raises(ValueError, match="subscription is not valid"):
        of(AZ, subscription=subscription)


@pytest.mark.parametrize("subscription", [None, ""])
def test_without_a_subscription_the_current_account_is_meant(tool: Tool, subscription: str | None) -> None:
    (effect,) = play(asking(of(AZ, subscription=subscription)), succeeded(cli_output("t", LATER))).effects
    assert isinstance(effect, RunCommand)
    assert effect.command.arguments[1:] == BASE


def test_the_key_names_tool_tenant_subscription_and_scope() -> None:
    query = of(AZ, tenant_id="t", subscription="s")._query((SCOPE,), "get_token", {})
    assert query.application == key_of("the Azure CLI", "t", "s", SCOPE)


# Windows


def test_windows_runs_the_batch_file_in_the_directory_of_the_system(tmp_path: Any) -> None:
    path = Tool(tmp_path, "az.cmd").says().path
    environ = {"PATH": str(path.parent), "SYSTEMROOT": "/Windows"}
    command = tool_command(AZURE_CLI, ("a",), timeout=1, system="nt", environ=environ)
    assert (command.arguments, command.directory) == ((str(path), "a"), "/Windows")


@pytest.mark.parametrize("root", [{}, {"SYSTEMROOT": ""}])
def test_windows_without_its_directory_is_unavailable(tmp_path: Any, root: dict[str, str]) -> None:
    environ = {"PATH": str(Tool(tmp_path, "az.exe").says().path.parent)} | root
    with pytest.raises(CredentialUnavailableError, match="SYSTEMROOT is not set"):
        tool_command(AZURE_CLI, (), timeout=1, system="nt", environ=environ)


def test_the_first_name_and_the_first_folder_win(tmp_path: Any) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, name in zip(folders, ("az.exe", "az.cmd", "az.cmd"), strict=True):
        folder.mkdir()
        Tool(folder, name).says()
    environ = {"PATH": ":".join(str(folder / "bin") for folder in folders), "SYSTEMROOT": "/Windows"}
    command = tool_command(AZURE_CLI, (), timeout=1, system="nt", environ=environ)
    assert command.arguments == (str(folders[1] / "bin" / "az.cmd"),)


def test_elsewhere_the_program_runs_in_a_directory_that_only_the_system_writes(tool: Tool) -> None:
    command = tool_command(AZURE_CLI, (), timeout=1, system="posix", environ={"PATH": str(tool.path.parent)})
    assert (command.directory, command.variables) == ("/bin", {"AZURE_CORE_NO_COLOR": "true"})


def test_without_a_path_the_usual_folders_are_searched(tool: Tool) -> None:
    with pytest.raises(CredentialUnavailableError, match="Azure CLI not found on path"):
        tool_command(AZURE_CLI, (), timeout=1, system="nt", environ={})


# The output


@pytest.mark.peer_defect(15)
@pytest.mark.parametrize("expires_on", [LATER, str(LATER)])
def test_the_time_in_seconds_is_preferred(expires_on: Any) -> None:
    output = answer(expires_on=expires_on, expiresOn="2001-01-01 00:00:00.000000")
    assert process_azure_cli_result(succeeded(output), now=NOW).expires_on == LATER


def test_the_local_time_is_used_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(LATER)) == "2027-01-15 09:00:00"
    with local_time(monkeypatch, "EST5"):
        info = process_azure_cli_result(succeeded(answer(expiresOn="2027-01-15 04:00:00.000000")), now=NOW)
    assert info.expires_on == LATER


@pytest.mark.parametrize("before", ["", "\n", "WARNING: an update is available\n", "a {brace}\nb\n\n"])
def test_warnings_before_the_json_are_passed_over(before: str) -> None:
    for output in (cli_output("cli-token", LATER), answer(expires_on=LATER)):
        assert process_azure_cli_result(succeeded(before + output), now=NOW).token == "cli-token"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "null",
        "[]",
        "[{}]",
        '[\n{"accessToken":"t","expires_on":1}\n]',
        "{",
        "{}",
        "<html>",
        '{"expires_on":1}',
        answer(),
        answer(expires_on=LATER) + "\nafter",
        f'{{"accessToken":["t"],"expires_on":{LATER}}}',
        '{"accessToken":"a","accessToken":"b","expires_on":1}',
        "[" * 100000,
        '{"a":' * 100000,
    ],
)
def test_other_output_is_refused(output: str) -> None:
    with pytest.raises(UnusableAnswerError, match=r"^Unexpected output from the Azure CLI: it "):
        process_azure_cli_result(succeeded(output), now=NOW)


@pytest.mark.parametrize("expires_on", [None, True, 1.5, "soon", "", "-1", -1, 10**18, [1], {}, "١٢٣", "1" * 5000])
def test_a_time_that_is_no_number_of_seconds_is_refused(expires_on: Any) -> None:
    with pytest.raises(UnusableAnswerError, match="it does not say in seconds when the token expires"):
        process_azure_cli_result(succeeded(answer(expires_on=expires_on)), now=NOW)


@pytest.mark.parametrize("local", [None, 5, "2027-01-15", "2027-01-15T04:00:00Z", "canary", ""])
def test_a_local_time_that_is_none_is_refused_and_not_shown(local: Any) -> None:
    with pytest.raises(UnusableAnswerError, match="it does not say when the token expires") as caught:
        process_azure_cli_result(succeeded(answer(expiresOn=local)), now=NOW)
    assert "canary" not in shown(caught.value)


@pytest.mark.parametrize("local", ["1999-01-01 00:00:00.0", "9999-12-30 23:59:59.9"])
def test_a_local_time_that_cannot_be_meant_is_over(local: str) -> None:
    assert process_azure_cli_result(succeeded(answer(expiresOn=local)), now=NOW).expires_on == int(NOW)


@pytest.mark.parametrize("local", ["0001-01-01 00:00:00.0", "9999-12-31 23:59:59.9"])
@pytest.mark.parametrize("zone", ["EAST-14", "WEST12"])
def test_a_local_time_at_the_end_of_all_times_is_no_other_error(
    monkeypatch: pytest.MonkeyPatch, local: str, zone: str
) -> None:
    with local_time(monkeypatch, zone), contextlib.suppress(UnusableAnswerError):
        process_azure_cli_result(succeeded(answer(expiresOn=local)), now=NOW)


def test_a_token_that_has_expired_is_not_kept(tool: Tool) -> None:
    tool.says(cli_output("old", int(NOW) - 10))
    credential = of(AZ)
    assert [credential.get_token(SCOPE).token for _ in range(2)] == ["old", "old"]
    assert len(tool.runs) == 2


# Failures


@pytest.mark.parametrize(
    ("errors", "status"), [("", 127), ("'az' is not recognized as an internal or external command", 1)]
)
def test_a_missing_cli_is_told(errors: str, status: int) -> None:
    with pytest.raises(CredentialUnavailableError, match=r"^Azure CLI not found on path"):
        process_azure_cli_result(failed(errors, status=status), now=NOW)


@pytest.mark.parametrize(
    "errors", ["ERROR: Please run 'az login' to setup account.", "run 'az account set' to select active account"]
)
def test_nobody_signed_in_is_told_with_the_command_to_run(colour: Colour, tool: Tool, errors: str) -> None:
    tool.says(errors=errors, status=1)
    with pytest.raises(CredentialUnavailableError, match="Please run 'az login' to set up an account"):
        colour.get_token(AZ.make(colour), SCOPE)


def test_a_refusal_by_the_provider_is_no_missing_sign_in(colour: Colour, tool: Tool) -> None:
    tool.says(errors="AADSTS70043: expired. Run: az login --scope x", status=1)
    with pytest.raises(AuthenticationError, match="AADSTS70043: expired") as caught:
        colour.get_token(AZ.make(colour), SCOPE)
    assert caught.value.error_codes == (70043,)


def test_a_failure_without_words_is_told() -> None:
    with pytest.raises(AuthenticationError, match="the Azure CLI gave no token: it does not say why"):
        process_azure_cli_result(failed(status=-9), now=NOW)


def test_the_output_of_a_failed_run_is_not_read() -> None:
    with pytest.raises(AuthenticationError):
        process_azure_cli_result(failed(output=cli_output("t", LATER)), now=NOW)


# Claims


@pytest.mark.parametrize(
    ("options", "scopes", "more"),
    [
        ({}, (SCOPE,), f" --scope {SCOPE}"),
        ({}, (), ""),
        ({"tenant_id": TENANT}, (SCOPE, "other"), f" --tenant {TENANT} --scope {SCOPE}"),
        ({"tenant_id": TENANT}, (), f" --tenant {TENANT}"),
    ],
)
def test_the_instructions_for_claims(
    colour: Colour, options: dict[str, Any], scopes: tuple[str, ...], more: str
) -> None:
    claims = '{"access_token":{"nbf":{"essential":true}}}'
    with pytest.raises(CredentialUnavailableError) as caught:
        colour.get_token(AZ.make(colour), *scopes, claims=claims, **options)
    encoded = base64.b64encode(claims.encode()).decode()
    assert str(caught.value).endswith(f": az login --claims-challenge {encoded}{more}")


def test_the_instructions_for_claims_name_the_credentials_own_tenant() -> None:
    with pytest.raises(CredentialUnavailableError, match=f" --tenant {TENANT} --scope"):
        of(AZ, tenant_id=TENANT).get_token(SCOPE, claims="{}")
