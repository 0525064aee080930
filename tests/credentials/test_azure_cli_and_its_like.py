"""What the credentials of all developer tools have in common: their tokens."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials import (
    CredentialUnavailableError,
)
from credentials._errors import CommandError
from credentials._flow import Flow
from tests.credentials.developer_tools import (
    AZ,
    KINDS,
    LATER,
    SCOPE,
    TENANT,
    Kind,
    asking,
    gather,
    of,
    on_path,
)
from tests.credentials.flights import Crowd
from tests.credentials.helpers import NOW, Clock, Colour, in_threads, play
from tests.credentials.tools import Life, Tool


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def tool(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(kind, tmp_path, monkeypatch)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path)
    yield life
    life.close()


# A token


def test_the_tool_is_run_and_its_token_returned(kind: Kind, colour: Colour, tool: Tool) -> None:
    credential = kind.make(colour, clock=Clock())
    token = colour.get_token(credential, SCOPE)
    assert (token.token, token.expires_on, type(token.expires_on)) == ("the-token", LATER, int)
    (run,) = tool.runs
    assert run.program == str(tool.path)
    assert (run.input, run.directory in ("/bin", "/usr/bin")) == ("", True)


def test_token_info_tells_when_to_refresh(kind: Kind, colour: Colour, tool: Tool) -> None:
    info = colour.get_token_info(kind.make(colour, clock=Clock()), SCOPE)
    assert info == ("the-token", LATER, "Bearer", LATER - 300)


def test_the_output_is_not_coloured(kind: Kind, tool: Tool) -> None:
    of(kind).get_token(SCOPE)
    name = "AZURE_CORE_NO_COLOR" if kind is AZ else "NO_COLOR"
    assert tool.runs[0].variables[name] == "true"


def test_a_token_is_kept_by_scope_and_tenant(kind: Kind, colour: Colour, tool: Tool) -> None:
    credential = kind.make(colour, clock=Clock())
    for _ in range(2):
        colour.get_token(credential, SCOPE)
        colour.get_token(credential, SCOPE, tenant_id=TENANT)
        colour.get_token(credential, "https://graph.microsoft.com/.default")
    assert len(tool.runs) == 3


def test_a_token_is_renewed_shortly_before_its_end(kind: Kind, colour: Colour, tool: Tool) -> None:
    clock = Clock()
    credential = kind.make(colour, clock=clock)
    colour.get_token(credential, SCOPE)
    clock.now = LATER - 299
    tool.says(kind.output("the-next", LATER + 3600))
    assert colour.get_token(credential, SCOPE).token == "the-next"


def test_a_token_that_is_still_valid_survives_a_failing_tool(kind: Kind, colour: Colour, tool: Tool) -> None:
    clock = Clock()
    credential = kind.make(colour, clock=clock)
    colour.get_token(credential, SCOPE)
    clock.now = LATER - 299
    tool.says(errors="out of order", status=1)
    assert [colour.get_token(credential, SCOPE).token for _ in range(3)] == ["the-token"] * 3
    assert len(tool.runs) == 2


def test_a_short_lived_token_is_not_asked_for_with_each_request(kind: Kind, tool: Tool) -> None:
    tool.says(kind.output("short", int(NOW) + 200))
    credential = of(kind)
    assert [credential.get_token(SCOPE).token for _ in range(3)] == ["short"] * 3
    assert len(tool.runs) == 1


def test_threads_and_tasks_share_one_process(kind: Kind, tool: Tool, crowd: Crowd) -> None:
    credential = of(kind)

    def text_flow() -> Flow[str]:
        info = yield from asking(credential)
        return info.token

    crowd.threads(8, text_flow)
    crowd.tasks(8, text_flow)
    assert crowd.join() == ["the-token"] * 16
    assert len(tool.runs) == 1


def test_threads_share_one_process(kind: Kind, tool: Tool) -> None:
    credential = of(kind)
    tokens = in_threads(8, lambda: credential.get_token(SCOPE).token)
    assert (tokens, len(tool.runs)) == (["the-token"] * 8, 1)


def test_tasks_of_several_loops_share_one_process(kind: Kind, tool: Tool) -> None:
    credential = kind.awaitable(clock=Clock())
    tokens = in_threads(4, lambda: gather(4, credential))
    assert (tokens, len(tool.runs)) == ([["the-token"] * 4] * 4, 1)


def test_a_cancelled_request_ends_the_tool_and_all_it_started(kind: Kind, tool: Tool, life: Life) -> None:
    tool.does(life.script("wait"))

    async def cancel() -> None:
        task = asyncio.create_task(kind.awaitable(process_timeout=60).get_token(SCOPE))
        await asyncio.to_thread(life.wait_until_started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    life.wait_until_all_are_gone()


# Tools that are missing or do not run


def test_a_tool_that_is_not_on_the_path_is_named_with_where_to_get_it(
    kind: Kind, colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CredentialUnavailableError, match=r"https://aka\.ms/.*sign in with"):
        colour.get_token(kind.make(colour), SCOPE)


def test_a_tool_that_is_missing_from_the_constructor_on_raises_only_when_asked(
    kind: Kind, colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    credential = kind.make(colour, clock=Clock())
    tool = Tool(tmp_path, kind.program).says(kind.output("late", LATER))
    monkeypatch.setenv("PATH", str(tool.path.parent))
    assert colour.get_token(credential, SCOPE).token == "late"


def test_a_file_that_may_not_be_run_is_not_the_tool(kind: Kind, tool: Tool) -> None:
    tool.path.chmod(0o600)
    with pytest.raises(CredentialUnavailableError, match=r"https://aka\.ms/"):
        of(kind).get_token(SCOPE)


def test_a_tool_that_is_no_program_is_named_with_the_reason(kind: Kind, colour: Colour, tool: Tool) -> None:
    tool.path.write_bytes(b"\x00\x01")
    with pytest.raises(CredentialUnavailableError, match="cannot be started: Exec format error") as caught:
        colour.get_token(kind.make(colour), SCOPE)
    assert str(tool.path) in str(caught.value)


def test_a_tool_in_the_current_directory_is_never_run(kind: Kind, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tool.path.parent)
    monkeypatch.setenv("PATH", ":.:bin")
    assert shutil.which(kind.program), "the fake tool is not where it tempts"
    with pytest.raises(CredentialUnavailableError, match=r"https://aka\.ms/"):
        of(kind).get_token(SCOPE)
    assert tool.runs == []


def test_exit_127_means_that_the_tool_is_not_installed(kind: Kind, colour: Colour, tool: Tool) -> None:
    tool.says(errors="sh: not found", status=127)
    with pytest.raises(CredentialUnavailableError, match=r"https://aka\.ms/"):
        colour.get_token(kind.make(colour), SCOPE)


def test_a_tool_that_takes_too_long_is_unavailable_and_the_text_says_what_to_set(
    kind: Kind, colour: Colour, tool: Tool
) -> None:
    tool.does("sleep 300")
    with pytest.raises(CredentialUnavailableError, match=r"within 0\.2 seconds.*process_timeout"):
        colour.get_token(kind.make(colour, process_timeout=0.2), SCOPE)


@pytest.mark.parametrize("error", [CommandError("No such file or directory"), TimeoutError()])
def test_the_error_behind_is_kept(kind: Kind, tool: Tool, error: Exception) -> None:
    caught = play(asking(of(kind)), error).error
    assert isinstance(caught, CredentialUnavailableError)
    assert caught.__cause__ is error
