"""One run of a program, so that all of it can be ended.

Rules of this file:

1. No shell: the arguments reach the program as they are.
2. The program gets a process group of its own. A timeout or a cancelled caller ends the whole group: the tools of
   Azure are scripts, and what they start would live on.
3. A program has answered when it ends. What it leaves running may hold its pipes, and nobody waits for that.
4. What is kept of its output is bounded; the rest is read and dropped, so that the program can go on to its end.
5. Both colours run programs by this one class; the awaitable driver does it on a worker thread, so that it
   depends on no kind of event loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, cast

from credentials._errors import CommandError
from credentials._flow import Command, CommandResult

MAX_OUTPUT = 1_048_576
"""Bytes that are kept of what a program writes, and of its errors."""
_GRACE = 1.0
"""Seconds for the last output to be read after the program's end, and for an ended program to be gone."""
_TASKKILL_TIMEOUT = 5.0


class Process:
    """One run of a command: :meth:`run` it in one thread, :meth:`end` it from any."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self) -> CommandResult:
        """Run the command to its end. Raises :class:`CommandError`, or ``TimeoutError`` after the command's timeout."""
        process = self._start()
        try:
            output, errors = _Reading(process.stdout), _Reading(process.stderr)
            status = process.wait(self._command.timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            self.end()
            _reap(process)
        return CommandResult(status=status, output=output.text(), errors=errors.text())

    def end(self) -> None:
        """End the command with everything it started, if it still runs; a command not started yet never starts."""
        with self._lock:
            self._ended = True
            # Not poll(), which reaps: as long as nobody has, the number names this group and no other.
            if self._process is not None and self._process.returncode is None:
                end_group(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        command = self._command
        with self._lock:
            if self._ended:
                raise CommandError("it was cancelled")
            try:
                self._process = subprocess.Popen(  # noqa: S603  # a program found on the path, and checked arguments
                    command.arguments,
                    bufsize=0,
                    cwd=command.directory,
                    env={**os.environ, **command.variables},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                raise CommandError(getattr(error, "strerror", None) or type(error).__name__) from error
            return self._process


class _Reading:
    """What comes out of one pipe: read by a thread of its own, which closes the pipe when nobody can write any more."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = cast(IO[bytes], pipe)
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return what the program wrote, which has ended."""
        self._thread.join(_GRACE)
        return bytes(self._kept).decode("utf-8", errors="replace")

    def _read(self) -> None:
        with self._pipe:
            while chunk := self._pipe.read(65_536):
                self._kept += chunk[: MAX_OUTPUT - len(self._kept)]


def _reap(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)


def _end_posix(process: subprocess.Popen[bytes]) -> None:
    # PermissionError is how macOS says that all of the group has ended and waits to be reaped.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end_windows(process: subprocess.Popen[bytes]) -> None:
    # A process group is nothing that could be killed there; this tool follows the tree. By its whole path, since
    # Windows would look for it in the current directory before it looks at the path.
    taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(  # noqa: S603  # nothing of the arguments is from elsewhere
            [str(taskkill), "/PID", str(process.pid), "/T", "/F"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TASKKILL_TIMEOUT,
        )
    process.kill()


end_group = _end_windows if os.name == "nt" else _end_posix
