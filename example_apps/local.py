"""Run an example as a process of its own, unchanged, against LocalEntra and LocalGraph."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
FASTAPI = ("uvicorn", "example_apps.fastapi_graph.app:app", "--port", "0", "--no-access-log")
FLASK = ("gunicorn", "example_apps.flask_graph.app:app", "--bind", "127.0.0.1:0", "--threads", "8")

_PATIENCE = 60.0
_STOPPING = 10.0
# uvicorn, gunicorn and Flask's own server all say where they listen, each in its own words.
_LISTENS = re.compile(r"(?:running on|listening at:) (http://127\.0\.0\.1:\d+)", re.IGNORECASE)


@contextmanager
def serving(module: Sequence[str], variables: dict[str, str]) -> Iterator[str]:
    """Run ``python -m`` with a server's name and arguments; give the URL it serves, and stop it in the end.

    Raises ``RuntimeError``, with what the server said, if it does not begin to serve.
    """
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(  # noqa: S603  # the command is one of those above
        command, cwd=ROOT, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        listener = _Listener(process.stdout)
        try:
            yield listener.url()
        finally:
            process.terminate()
            try:
                process.wait(_STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
            listener.join()


class _Listener(threading.Thread):
    """Read a server's output to its end, so that it never blocks, and find where it listens."""

    def __init__(self, output: IO[str] | None) -> None:
        super().__init__(daemon=True)
        self._output = output or ()
        self._said: deque[str] = deque(maxlen=100)
        self._url: str | None = None
        self._known = threading.Event()
        self.start()

    def run(self) -> None:
        for line in self._output:
            self._said.append(line)
            match = _LISTENS.search(line)
            if match and self._url is None:
                self._url = match[1]
                self._known.set()
        self._known.set()

    def url(self) -> str:
        self._known.wait(_PATIENCE)
        if self._url is None:
            raise RuntimeError("the server did not start:\n" + "".join(self._said))
        return self._url
