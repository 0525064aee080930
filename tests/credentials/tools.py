"""Fake programs: shell scripts in a folder of their own, which note how they were run."""

from __future__ import annotations

import os
import select
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

PREAMBLE = """#!/bin/sh
PATH=/usr/bin:/bin
note="{folder}/{name}.$$"
printf '%s\\n' "$0" "$@" > "$note.arguments"
pwd > "$note.directory"
env > "$note.variables"
cat > "$note.input"
"""


@dataclass(frozen=True)
class Run:
    """One run of a fake program."""

    arguments: list[str]
    directory: str
    variables: dict[str, str]
    input: str

    @property
    def program(self) -> str:
        return self.arguments[0]


class Tool:
    """A fake program."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.path = folder, name, folder / "bin" / name
        self.path.parent.mkdir(exist_ok=True)

    def says(self, output: str = "", errors: str = "", status: int = 0) -> Tool:
        """Let it write this and end so."""
        text = f"printf %s {shlex.quote(output)}\nprintf %s {shlex.quote(errors)} >&2\nexit {status}\n"
        return self.does(text)

    def does(self, script: str) -> Tool:
        """Let it run a shell script."""
        # Beside, and renamed: a script that is open for writing anywhere cannot be run.
        written = self.path.with_suffix(".new")
        written.write_text(PREAMBLE.format(folder=self.folder, name=self.name) + script)
        written.chmod(stat.S_IRWXU)
        written.replace(self.path)
        return self

    @property
    def runs(self) -> list[Run]:
        return [self._run(path) for path in sorted(self.folder.glob(f"{self.name}.*.arguments"))]

    def _run(self, arguments: Path) -> Run:
        def note(kind: str) -> str:
            return arguments.with_suffix(f".{kind}").read_text()

        variables = dict(line.partition("=")[::2] for line in note("variables").splitlines())
        return Run(arguments.read_text().splitlines(), note("directory").strip(), variables, note("input"))


class Life:
    """A named pipe that a program and all it starts hold open: its end is seen when the last of them is gone."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "life"
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def script(self, then: str) -> str:
        """Return a script that starts a program of its own, says so, and then does something."""
        return f"exec 3> {shlex.quote(str(self.path))}\nsleep 300 & echo started >&3\n{then}\n"

    def wait_until_started(self) -> None:
        self._wait()
        assert os.read(self._reader, 8) == b"started\n"

    def read_number(self) -> int:
        """Return the number that a program has written."""
        self._wait()
        return int(os.read(self._reader, 32))

    def is_held(self) -> bool:
        """Tell whether anybody holds the pipe now."""
        os.set_blocking(self._reader, False)
        try:
            return os.read(self._reader, 1) != b""
        except BlockingIOError:
            return True

    def wait_until_all_are_gone(self) -> None:
        """Return when nobody holds the pipe any more; the test's own timeout ends a wait in vain."""
        os.set_blocking(self._reader, True)
        assert os.read(self._reader, 1) == b""

    def close(self) -> None:
        os.close(self._reader)

    def _wait(self) -> None:
        # Not select(): a pipe that nobody has opened yet counts as ended, and so as readable.
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.poll(30_000)
