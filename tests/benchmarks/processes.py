"""Other processes: each says in one line of JSON when it is ready, and ends when it is told to.

Options go in by standard input, for they hold tokens and anybody may read a process's arguments.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 60.0
"""Seconds that a process may take to end."""


@contextmanager
def process(module: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Run a module of this package with options, and yield what it says when it is ready."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            running.stdin.write(json.dumps(options))
            running.stdin.close()
            line = running.stdout.readline()
            assert line, f"{module} ended before it was ready"
            yield json.loads(line)
        finally:
            running.terminate()
            running.wait(PATIENCE)


def call(module: str, **options: Any) -> dict[str, Any]:
    """Run a module of this package with options to its end, and return what it says."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}"]
    result = subprocess.run(command, check=True, input=json.dumps(options), stdout=subprocess.PIPE, text=True)
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def options() -> dict[str, Any]:
    """Return the options that this process was given."""
    given: dict[str, Any] = json.load(sys.stdin)
    return given


def say(**what: Any) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
