"""Run tests against mutants: one process for each, forked from one that has imported all but our own packages.

A mutated module never becomes a file: the forked process has an import hook that hands its code out.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Generic, TypeVar

import pytest

THIRD_PARTY = (
    *("hypothesis", "httpx", "httpx2", "jwt", "cachetools", "cryptography.x509", "trustme"),
    *("starlette.applications", "starlette.testclient", "fastapi", "flask", "uvicorn", "anyio", "azure.identity.aio"),
)
"""What the tests import again and again."""
TEST_SECONDS = 30
"""The longest that one test may take; one that hangs has noticed."""
RUN_SECONDS = 600
"""The longest that one run may take, in case that a time-out within it does not work; more on a busy machine."""
OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "-o", f"timeout={TEST_SECONDS}")

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what came of a run: the tests that failed, in their order. ``hung`` tells that the first took too long."""

    tests: tuple[str, ...] = ()
    hung: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[J]):
    """Hold what to run: the tests, and the module that is another one meanwhile, with its code."""

    what: J
    tests: Sequence[str]
    module: str = ""
    code: Callable[[], CodeType] | None = None
    options: Sequence[str] = ("-x",)
    seconds: float = RUN_SECONDS


def import_third_party() -> None:
    """Import what all runs need, so that each finds it there."""
    for name in THIRD_PARTY:
        importlib.import_module(name)


def verdicts(jobs: Iterable[Job[J]], folder: Path, at_once: int) -> Iterator[tuple[J, Verdict]]:
    """Yield what came of each job, as they end; ``at_once`` of them run at a time, with files in ``folder``."""
    waiting = iter(jobs)
    running: dict[int, tuple[Job[J], float]] = {}
    while True:
        while len(running) < at_once and (job := next(waiting, None)) is not None:
            running[_forked(job, folder)] = (job, time.monotonic() + job.seconds)
        if not running:
            return
        process, _ = os.waitpid(-1, os.WNOHANG)
        if process:
            job, _ = running.pop(process)
            _kill(process)  # whatever it has started and left behind
            yield job.what, _verdict(folder / f"{process}.json")
            continue
        for late in [process for process, (_, end) in running.items() if time.monotonic() > end]:
            _kill(late)
        time.sleep(0.01)


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _verdict(path: Path) -> Verdict:
    # A process that was killed, or that a test ended, leaves no verdict.
    if not path.exists():
        return Verdict(tests=("(the whole run)",), hung=True)
    tests, hung, problem = json.loads(path.read_text())
    return Verdict(tests=tuple(tests), hung=hung, problem=problem)


def _forked(job: Job[J], folder: Path) -> int:
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        output = os.open(folder / f"{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        verdict = _run(job)
        made = json.dumps([verdict.tests, verdict.hung, verdict.problem])
        (folder / f"{os.getpid()}.json").write_text(made)
        status = 0
    except BaseException:  # noqa: BLE001  # nothing may go on as if it were the first process
        traceback.print_exc()
    finally:
        os._exit(status)


def _run(job: Job[J]) -> Verdict:
    if job.code is not None:
        sys.meta_path.insert(0, _Mutated(job.module, job.code()))
    failures = _Failures()
    status = pytest.main([*OPTIONS, *job.options, *job.tests], plugins=[failures])
    if failures.tests:
        return Verdict(tests=tuple(failures.tests), hung=failures.hung)
    if status != pytest.ExitCode.OK:
        return Verdict(problem=f"pytest ended with status {int(status)}")
    if job.code is not None and not isinstance(sys.modules[job.module].__loader__, _Loader):
        return Verdict(problem=f"the tests did not import the changed {job.module}")
    return Verdict()


class _Failures:
    """Remember which tests failed."""

    def __init__(self) -> None:
        self.tests: dict[str, None] = {}
        self.hung = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.hung = self.hung or (not self.tests and "from pytest-timeout" in str(report.longrepr))
            self.tests[report.nodeid] = None


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Mutated(MetaPathFinder):
    """Find one module with other code than its file's."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self._name else None
        if spec is not None:
            spec.loader = _Loader(fullname, str(spec.origin), self._code)
        return spec
