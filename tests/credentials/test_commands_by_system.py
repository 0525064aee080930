"""How the operating systems end a group of processes."""

from __future__ import annotations

import subprocess
from typing import Any, cast

import pytest

from credentials._commands import _end_posix, _end_windows


class Fake:
    """A process that only counts how often it was killed."""

    pid = 2**22 + 1  # more than Linux ever gives

    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1


def fake() -> Any:
    return cast(Any, Fake())


def test_a_group_that_is_gone_is_ended_already() -> None:
    _end_posix(fake())


def test_a_group_of_which_only_zombies_are_left_is_ended_already(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.killpg", refuse)
    _end_posix(fake())


def test_windows_ends_the_tree_by_its_own_tool_and_then_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(subprocess, "run", lambda arguments, **options: calls.append((arguments, options)))
    monkeypatch.setenv("SYSTEMROOT", "/Windows")
    process = fake()
    _end_windows(process)
    ((arguments, options),) = calls
    assert arguments == ["/Windows/System32/taskkill.exe", "/PID", str(Fake.pid), "/T", "/F"]
    assert "shell" not in options
    assert options["timeout"] > 0
    assert process.kills == 1


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("taskkill", 1)])
def test_windows_ends_the_program_even_if_its_tool_fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    process = fake()
    _end_windows(process)
    assert process.kills == 1


def test_windows_tool_that_is_missing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYSTEMROOT", raising=False)
    process = fake()
    _end_windows(process)
    assert process.kills == 1
