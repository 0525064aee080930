"""The demo shows what it should, fails when it must, and ends when it is told to."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from example_apps import demo
from example_apps.local import ROOT, serving

COMMAND = [sys.executable, "-m", "example_apps.demo"]


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Heed Ctrl-C, which a shell's job in the background and all its children ignore; keep what a test changes."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def kept() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo with ``--keep``; give it and what it printed when it begins to wait."""
    with subprocess.Popen(
        [*COMMAND, "--keep"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C"):
                    break
            yield process, "".join(lines)
        finally:
            process.kill()


def complaints(errors: str) -> list[str]:
    """Return what a process complained about, save that a step was slow, which asyncio says in development mode."""
    return [line for line in errors.splitlines() if not line.startswith("Executing <")]


def test_the_demo_shows_who_got_what_and_what_it_cost() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    cells = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert ["alice", "200 Alice Adams", "200 Alice: Quarterly figures, ...", "200 2 users", "200 up"] in cells
    assert ["bob", "200 Bob Brown", "200 Bob: Quarterly figures, ...", "200 2 users", "200 up"] in cells
    assert ["nobody", "401 Bearer", "401 Bearer", "401 Bearer", "200 up"] in cells
    rounds = {row[0]: row[1:4] for row in cells if row[0] in ("first", "second")}
    assert rounds == {"first": ["6", "2", "1"], "second": ["6", "0", "0"]}
    assert re.search(r"\d ms", done.stdout)
    assert "1 more exchange, and Alice noticed nothing: 200 Alice Adams." in done.stdout


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_kept_demo_serves_until_it_is_told_to_end_and_leaves_nothing_behind(ending: signal.Signals) -> None:
    with kept() as (process, printed):
        token = re.search(r"^BOB='(.+)'$", printed, flags=re.MULTILINE)
        curl = re.search(r'^curl -H "Authorization: Bearer \$BOB" (\S+)$', printed, flags=re.MULTILINE)
        assert token is not None
        assert curl is not None
        response = httpx.get(curl[1], headers={"Authorization": f"Bearer {token[1]}"}, trust_env=False)
        assert response.json()[0] == "Bob: Quarterly figures"
        process.send_signal(ending)
        rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest, complaints(errors)) == (0, "Stopping.\n", [])
        with pytest.raises(httpx.ConnectError):
            httpx.get(curl[1], trust_env=False)


def test_the_demo_fails_if_somebody_gets_what_they_should_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(demo.EXPECTED, ("nobody", "/me"), "200 Alice Adams")
    assert demo.main([]) == 1
    assert "NOT AS EXPECTED: nobody /me in round 1: '401 Bearer'" in capsys.readouterr().err


def test_the_demo_fails_if_an_exchange_is_made_twice() -> None:
    played = demo.Round(answers=demo.EXPECTED, exchanges=2, app_requests=1, milliseconds=(1.0,))
    assert demo.problems(played, played, ("200 Alice Adams", 1)) == [
        "exchanges in round 2: 2, not 0",
        "the application's token requests in round 2: 1, not 0",
    ]


def test_the_demo_fails_if_a_revocation_is_not_recovered() -> None:
    first = demo.Round(answers=demo.EXPECTED, exchanges=2, app_requests=1, milliseconds=(1.0,))
    second = demo.Round(answers=demo.EXPECTED, exchanges=0, app_requests=0, milliseconds=(1.0,))
    assert len(demo.problems(first, second, ("401 Bearer", 1))) == 1


def test_an_interrupted_demo_ends_with_the_status_that_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_options: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert demo.main([]) == 130


def test_a_server_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(RuntimeError, match="No module named"),
        serving(("no_such_module",), dict(os.environ)),
    ):
        pass
