"""`python -m example_apps.browser_demo`, as `make browser-demo` starts it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from example_apps.local import ROOT

COMMAND = (sys.executable, "-m", "example_apps.browser_demo", "--port", "0", "--entra-port", "0")


@pytest.mark.usefixtures("programs")
def test_it_says_where_the_page_is_and_ends_when_told_to() -> None:
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert first.startswith("Open https://localhost:")
    assert "alice@contoso.example, bob@contoso.example" in first
    assert (process.returncode, errors) == (0, "")
