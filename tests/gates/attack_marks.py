"""Which tests show which attacks: pytest itself collects them, since marks sit on functions, modules and parameters.

This module is also the plugin that the collecting pytest loads; it writes what it found to the file that is named by
``--attack-marks-to``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.gates.project import ROOT, python_files

ADAPTERS = ("asgi", "fastapi", "wsgi", "flask")
OPTION = "--attack-marks-to"
PLUGIN = "tests.gates.attack_marks"
FILES = {f"test_{name}.py": name for name in ADAPTERS} | {"test_starlette.py": "asgi", "test_websockets.py": "asgi"}
"""Files whose tests are all about one adapter."""


@dataclass(frozen=True)
class Shown:
    """One run of a test: its name without parameters, the cases that it shows, and the adapter that it runs in."""

    test: str
    cases: tuple[int, ...]
    adapter: str


# The plugin


def pytest_addoption(parser: Any) -> None:
    parser.addoption(OPTION, default=None)


def pytest_collection_finish(session: Any) -> None:
    target = session.config.getoption(OPTION)
    if target:
        found = [asdict(shown) for item in session.items if (shown := shown_by(item)).cases]
        Path(target).write_text(json.dumps(found), encoding="utf-8")


def shown_by(item: Any) -> Shown:
    """Return what one collected item shows."""
    cases = sorted({number for mark in item.iter_markers("attack") for number in mark.args})
    test, _, parameters = item.nodeid.partition("[")
    words = parameters.rstrip("]").split("-")
    file = test.partition("::")[0].rpartition("/")[2]
    return Shown(test, tuple(cases), next((word for word in words if word in ADAPTERS), FILES.get(file, "")))


# The collection


def marked_folders() -> list[str]:
    """Return the folders of tests in which marks stand: to collect only these takes seconds."""
    texts = ((path, path.read_text(encoding="utf-8")) for path in python_files("tests"))
    return sorted({path.relative_to(ROOT).parts[1] for path, text in texts if "mark.attack" in text})


@cache
def collected() -> tuple[Shown, ...]:
    """Let another pytest collect the tests, and return what each of them shows."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "marks.json"
        options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-p", PLUGIN, OPTION, str(target)]
        folders = [f"tests/{name}" for name in marked_folders()]
        command = [sys.executable, "-m", "pytest", *options, *folders]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode or not target.exists():
            raise RuntimeError(f"the tests could not be collected:\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}")
        return tuple(read(json.loads(target.read_text(encoding="utf-8"))))


def read(found: Iterable[dict[str, Any]]) -> Iterable[Shown]:
    return (Shown(one["test"], tuple(one["cases"]), one["adapter"]) for one in found)


# What is made of it


def by_case(found: Iterable[Shown]) -> dict[int, list[str]]:
    """Return the names of the tests that show each case, each name once, in order."""
    names: dict[int, set[str]] = {}
    for shown in found:
        for number in shown.cases:
            names.setdefault(number, set()).add(shown.test)
    return {number: sorted(names[number]) for number in sorted(names)}


def adapters_by_case(found: Iterable[Shown]) -> dict[int, set[str]]:
    """Return in which adapters each case is shown."""
    adapters: dict[int, set[str]] = {}
    for shown in found:
        for number in shown.cases:
            adapters.setdefault(number, set()).update({shown.adapter} - {""})
    return adapters


def runs_by_adapter(found: Iterable[Shown]) -> dict[str, int]:
    """Return how many runs of tests with a mark each adapter has; ``""`` stands for none of them."""
    counts = dict.fromkeys((*ADAPTERS, ""), 0)
    for shown in found:
        counts[shown.adapter] += 1
    return counts
