from __future__ import annotations

import base64
from typing import Any

import pytest

from credentials import AuthenticationError, CredentialUnavailableError, UnusableAnswerError
from credentials._azure_developer_cli import (
    AZURE_DEVELOPER_CLI,
    azure_developer_cli_arguments,
    message_in,
    process_azure_developer_cli_result,
)
from credentials._developer_command import tool_command
from tests.credentials.developer_tools import (
    AZD,
    LATER,
    SCOPE,
    TENANT,
    developer_cli_output,
    failed,
    local_time,
    of,
    on_path,
    shown,
    succeeded,
)
from tests.credentials.helpers import NOW, Colour
from tests.credentials.tools import Tool

BASE = ("auth", "token", "--output", "json", "--no-prompt")
CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
ENCODED = base64.b64encode(CLAIMS.encode()).decode()


@pytest.fixture
def tool(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(AZD, tmp_path, monkeypatch)


def process(output: str) -> tuple[str, int]:
    info = process_azure_developer_cli_result(succeeded(output), now=NOW)
    return info.token, info.expires_on


# The command


@pytest.mark.parametrize(
    ("scopes", "options", "more"),
    [
        ((SCOPE,), {}, ("--scope", SCOPE)),
        (("b", "a", "b"), {}, ("--scope", "b", "--scope", "a")),
        (("a",), {"tenant_id": TENANT}, ("--scope", "a", "--tenant-id", TENANT)),
        (("a",), {"claims": CLAIMS}, ("--scope", "a", "--claims", ENCODED)),
        (("a",), {"claims": CLAIMS, "tenant_id": "t"}, ("--scope", "a", "--tenant-id", "t", "--claims", ENCODED)),
    ],
)
def test_the_arguments(
    colour: Colour, tool: Tool, scopes: tuple[str, ...], options: dict[str, Any], more: tuple[str, ...]
) -> None:
    colour.get_token(AZD.make(colour), *scopes, **options)
    assert tuple(tool.runs[0].arguments[1:]) == BASE + more


def test_the_claims_of_an_api_are_text_of_any_kind() -> None:
    assert azure_developer_cli_arguments(("a",), "", "\ud800")[-2:] == ("--claims", "Pw==")


def test_the_order_of_scopes_makes_no_other_token(tool: Tool) -> None:
    credential = of(AZD)
    credential.get_token("a", "b")
    credential.get_token("b", "a")
    assert len(tool.runs) == 1


def test_claims_skip_the_kept_token_and_replace_it(colour: Colour, tool: Tool) -> None:
    credential = AZD.make(colour)
    colour.get_token(credential, SCOPE)
    tool.says(developer_cli_output("stronger", LATER))
    assert colour.get_token(credential, SCOPE, claims=CLAIMS).token == "stronger"
    assert colour.get_token(credential, SCOPE).token == "stronger"
    assert len(tool.runs) == 2


def test_a_subscription_is_unknown_to_this_tool() -> None:
    with pytest.raises(TypeError, match=r"subscription"):
        of(AZD, subscription="s")


@pytest.mark.parametrize("name", ["azd.exe", "azd.cmd"])
def test_windows_has_other_file_names(tmp_path: Any, name: str) -> None:
    path = Tool(tmp_path, name).says().path
    environ = {"PATH": str(path.parent), "SYSTEMROOT": "/Windows"}
    command = tool_command(AZURE_DEVELOPER_CLI, (), timeout=1, system="nt", environ=environ)
    assert command.arguments == (str(path),)


# The output


@pytest.mark.peer_defect(15)
def test_the_time_is_in_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with local_time(monkeypatch, "EST5"):
        assert process('{"token":"t","expiresOn":"2027-01-15T09:00:00Z"}') == ("t", LATER)


@pytest.mark.parametrize("time", ["2027-01-15T04:00:00-05:00", "2027-01-15T09:00:00.5Z", "2027-01-15T09:00:00+00:00"])
def test_other_times_of_the_same_standard_are_understood(time: str) -> None:
    assert process(f'{{"token":"t","expiresOn":"{time}"}}') == ("t", LATER)


def test_warnings_before_the_json_are_passed_over() -> None:
    assert process("WARNING: old\n\n" + developer_cli_output("azd-token", LATER)) == ("azd-token", LATER)


@pytest.mark.parametrize(
    "time", ["null", "5", '"2027-01-15T09:00:00"', '"2027-01-15"', '"canary"', "true", "[]", '"0001-01-01T00:00:00"']
)
def test_a_time_that_is_none_is_refused_and_not_shown(time: str) -> None:
    with pytest.raises(UnusableAnswerError, match="does not say when the token expires") as caught:
        process(f'{{"token":"canary","expiresOn":{time}}}')
    assert "canary" not in shown(caught.value)


def test_a_time_before_all_times_is_over() -> None:
    assert process('{"token":"t","expiresOn":"0001-01-01T00:00:00+14:00"}') == ("t", int(NOW))


@pytest.mark.parametrize("output", ["", "[]", "{}", "null", '[{"token":"t"}]', '{"token":5}', "{", "<html>"])
def test_other_output_is_refused(output: str) -> None:
    with pytest.raises(UnusableAnswerError, match=r"^Unexpected output from the Azure Developer CLI: it "):
        process(output)


def test_output_that_says_what_is_wrong_is_a_refusal_although_the_tool_ended_well() -> None:
    with pytest.raises(AuthenticationError, match="gave no token: no subscription found"):
        process('{"type":"consoleMessage","data":{"message":"no subscription found"}}')


# Failures


@pytest.mark.parametrize(("errors", "status"), [("", 127), ("'azd' is not recognized as an internal command", 1)])
def test_a_missing_tool_is_told(errors: str, status: int) -> None:
    with pytest.raises(CredentialUnavailableError, match=r"^Azure Developer CLI could not be found"):
        process_azure_developer_cli_result(failed(errors, status=status), now=NOW)


@pytest.mark.parametrize("stream", ["errors", "output"])
def test_nobody_signed_in_is_told_with_the_command_to_run(colour: Colour, tool: Tool, stream: str) -> None:
    text = "ERROR: fetching token: not logged in, run `azd auth login` to login"
    tool.says(status=1, **{stream: text})
    with pytest.raises(CredentialUnavailableError, match="Please run 'azd auth login'"):
        colour.get_token(AZD.make(colour), SCOPE)


def test_a_refusal_by_the_provider_is_no_missing_sign_in() -> None:
    errors = "AADSTS70043: expired, so you are not logged in, run `azd auth login` to login"
    with pytest.raises(AuthenticationError, match="AADSTS70043"):
        process_azure_developer_cli_result(failed(errors), now=NOW)


@pytest.mark.parametrize("result", [failed("unknown flag: --claims"), failed(output="unknown flag: --claims")])
def test_a_tool_too_old_for_claims_is_told(result: Any) -> None:
    with pytest.raises(CredentialUnavailableError, match=r"1\.18\.1"):
        process_azure_developer_cli_result(result, now=NOW)


@pytest.mark.parametrize(
    ("output", "errors", "said"),
    [
        ("", "plain words", "plain words"),
        ('{"error":"from the output"}', '{"error":"from the errors"}', "from the output"),
        ("nothing", '{"error":"from the errors"}', "from the errors"),
        ("", "", "it does not say why"),
        ("", "a\nb", "a b"),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_tool(output: str, errors: str, said: str) -> None:
    with pytest.raises(AuthenticationError, match=f"the Azure Developer CLI gave no token: {said}$"):
        process_azure_developer_cli_result(failed(errors, output=output), now=NOW)


LEGACY = '{"type":"consoleMessage","data":{"message":"%s"}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("no json", ""),
        ('{"error":"a"}', "a"),
        ('  {"error":"  a  "}  ', "a"),
        ('{"error":"a","message":"b","suggestion":"c"}', "a"),
        ('{"message":"b"}', ""),
        ('{"error":""}', ""),
        ('{"error":"   "}', ""),
        ('{"error":5}', ""),
        ('{"error":null}\n{"error":"second"}', "second"),
        ('{"error":"first"}\n{"error":"second"}', "first"),
        (LEGACY % "a", "a"),
        (LEGACY % "  a ", "a"),
        (LEGACY % "", ""),
        ("\n".join((LEGACY % "", LEGACY % "b", LEGACY % "c")), "b"),
        ("\n".join((LEGACY % "old", '{"error":"new"}')), "new"),
        ("\n".join((LEGACY % "", '{"error":"new"}')), "new"),
        ('{"data":"text"}', ""),
        ('{"data":["text"]}', ""),
        ('{"data":{"message":5}}', ""),
        ('{broken\n[1]\n"text"\n\n{"error":"after"}', "after"),
        ('{"error":"a"', ""),
    ],
)
def test_the_message_in_json_lines(text: str, said: str) -> None:
    assert message_in(text) == said
