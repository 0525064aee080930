from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credentials import _commands
from credentials._commands import MAX_OUTPUT, Process
from credentials._drivers import AsyncDriver
from credentials._errors import CommandError
from credentials._flow import Command, CommandResult, Flow, RunCommand, execute
from credentials._pool import ConnectionPool
from tests.credentials.helpers import Drive, play
from tests.credentials.tools import Life, Tool


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path, "tool")


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path)
    yield life
    life.close()


@pytest.fixture
def typed() -> Iterator[None]:
    """Let there be something to read for this process."""
    usual, (reader, writer) = os.dup(0), os.pipe()
    os.write(writer, b"typed")
    os.dup2(reader, 0)
    for used in (reader, writer):
        os.close(used)
    yield
    os.dup2(usual, 0)
    os.close(usual)


def command(tool: Tool, *arguments: str, timeout: float = 30.0, **variables: str) -> Command:
    return Command(arguments=(str(tool.path), *arguments), directory="/bin", variables=variables, timeout=timeout)


def running(tool: Tool, *arguments: str, timeout: float = 30.0, **variables: str) -> Flow[CommandResult]:
    return execute(command(tool, *arguments, timeout=timeout, **variables))


# What a program is given, and what it gives


def test_the_helper_yields_its_effect_and_returns_the_result(tool: Tool) -> None:
    result = CommandResult(status=0, output="o", errors="e")
    played = play(running(tool), result)
    assert (played.effects, played.result) == ([RunCommand(command(tool))], result)


def test_status_output_and_errors_are_told_apart(drive: Drive, tool: Tool) -> None:
    tool.says("the output", "the errors", 3)
    assert drive(running(tool)) == CommandResult(status=3, output="the output", errors="the errors")


def test_arguments_reach_the_program_as_they_are(drive: Drive, tool: Tool) -> None:
    arguments = ("a b", "$(touch x)", "; exit 7", "*", "'\"", "")
    assert drive(running(tool.says(), *arguments)).status == 0
    assert tool.runs[0].arguments[1:] == list(arguments)


def test_variables_are_added_to_the_environment(drive: Drive, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "kept")
    drive(running(tool.says(), ADDED="yes"))
    (run,) = tool.runs
    assert (run.variables["OURS"], run.variables["ADDED"]) == ("kept", "yes")


def test_a_program_runs_where_it_is_told_to(drive: Drive, tool: Tool) -> None:
    drive(running(tool.says()))
    assert tool.runs[0].directory in ("/bin", "/usr/bin")


def test_a_program_cannot_read_what_is_typed_for_the_application(drive: Drive, tool: Tool, typed: None) -> None:
    drive(running(tool.says()))
    assert tool.runs[0].input == ""


def test_bytes_that_are_no_text_are_replaced(drive: Drive, tool: Tool) -> None:
    tool.does("printf 'a\\377b'")
    assert drive(running(tool)).output == "a\ufffdb"


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output_without_end_is_cut_and_does_not_stop_the_program(drive: Drive, tool: Tool, stream: str) -> None:
    tool.does(f"head -c {3 * MAX_OUTPUT} /dev/zero >&{stream}\nexit 5")
    result = drive(running(tool))
    assert (result.status, len(result.output + result.errors)) == (5, MAX_OUTPUT)


def test_a_result_does_not_show_what_was_written() -> None:
    assert repr(CommandResult(status=0, output="hidden", errors="hidden")) == "CommandResult(status=0)"


def test_a_program_has_answered_when_it_ends_whatever_it_leaves_running(
    drive: Drive, tool: Tool, life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_commands, "_GRACE", 0.01)
    tool.does(life.script('echo "$!" > "$note.child"'))
    assert drive(running(tool)).status == 0
    life.wait_until_started()
    (child,) = tool.folder.glob("*.child")
    os.kill(int(child.read_text()), signal.SIGKILL)
    life.wait_until_all_are_gone()


# What cannot be started


def test_a_missing_program_is_a_command_error(drive: Drive, tool: Tool) -> None:
    with pytest.raises(CommandError, match=r"^No such file or directory$"):
        drive(running(tool))


def test_a_program_that_is_no_program_is_a_command_error(drive: Drive, tool: Tool) -> None:
    tool.path.write_bytes(b"\x00\x01\x02")
    tool.path.chmod(0o700)
    with pytest.raises(CommandError, match=r"^Exec format error$"):
        drive(running(tool))


def test_a_program_that_may_not_be_run_is_a_command_error(drive: Drive, tool: Tool) -> None:
    tool.says().path.chmod(0o600)
    with pytest.raises(CommandError, match=r"^Permission denied$"):
        drive(running(tool))


def test_a_missing_directory_is_a_command_error(drive: Drive, tool: Tool) -> None:
    nowhere = Command(arguments=(str(tool.says().path),), directory="/nowhere/at/all")
    with pytest.raises(CommandError, match=r"^No such file or directory$"):
        drive(execute(nowhere))


@pytest.mark.parametrize("argument", ["\0", "\ud800"])
def test_an_argument_that_no_program_can_be_given_is_a_command_error(drive: Drive, tool: Tool, argument: str) -> None:
    with pytest.raises(CommandError, match=r"Error$"):
        drive(running(tool.says(), argument))


def test_a_command_error_can_be_caught_by_the_flow_which_then_goes_on(drive: Drive, tmp_path: Path, tool: Tool) -> None:
    def second_try_flow() -> Flow[str]:
        try:
            yield from running(Tool(tmp_path, "missing"))
        except CommandError:
            return (yield from running(tool.says("second"))).output
        return "no error"

    assert drive(second_try_flow()) == "second"


# Ends before the program's own


@pytest.mark.peer_defect(16)
def test_a_timeout_ends_the_program_and_all_it_started(drive: Drive, tool: Tool, life: Life) -> None:
    tool.does("trap '' TERM INT HUP\n" + life.script("wait"))
    with pytest.raises(TimeoutError):
        drive(running(tool, timeout=2))
    life.wait_until_started()
    life.wait_until_all_are_gone()


@pytest.mark.peer_defect(16)
def test_a_cancelled_task_ends_the_program_and_all_it_started(pool: ConnectionPool, tool: Tool, life: Life) -> None:
    tool.does(life.script("wait"))

    async def cancel() -> None:
        task = asyncio.create_task(AsyncDriver(pool).run(running(tool)))
        await asyncio.to_thread(life.wait_until_started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    life.wait_until_all_are_gone()


def test_another_thread_can_end_a_program_and_all_it_started(tool: Tool, life: Life) -> None:
    process = Process(command(tool.does(life.script("wait"))))
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(process.run)
        life.wait_until_started()
        process.end()
        assert running.result(30).status == -9
    life.wait_until_all_are_gone()


def test_a_process_that_was_ended_before_it_started_never_starts(tool: Tool) -> None:
    process = Process(command(tool.says()))
    process.end()
    with pytest.raises(CommandError, match="cancelled"):
        process.run()
    assert tool.runs == []


def test_the_end_of_a_program_that_has_ended_touches_nobody(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    monkeypatch.setattr(_commands, "end_group", ended.append)
    process = Process(command(tool.says()))
    assert process.run().status == 0
    process.end()
    assert ended == []
