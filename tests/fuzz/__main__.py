"""`make fuzz`: run each target under atheris for a time, and say what came of it.

`python -m tests.fuzz [TARGET ...]`; the variable FUZZ_SECONDS says for how many seconds each target runs (60).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import CASES, LONGEST

SLOW = 5
"""Seconds for one input of at most ``LONGEST`` bytes; one that takes more is a finding."""
MEMORY = 2048
"""Megabytes; an input that takes more is a finding."""
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")
_PER_SECOND = re.compile(r"stat::average_exec_per_sec: *(\d+)")


def fuzz(name: str, seconds: int, folder: Path) -> list[Path]:
    """Run one target and return the inputs that it does not withstand."""
    corpus, found = folder / name, folder / "found"
    corpus.mkdir()
    found.mkdir(exist_ok=True)
    for number, seed in enumerate(CASES[name].seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOW}", f"-rss_limit_mb={MEMORY}"]
    options = [*limits, f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-verbosity=1"]
    command = [sys.executable, "-m", "tests.fuzz.instrumented", name, str(corpus), *options]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    executed, speed = (last(pattern, done.stderr) for pattern in (_EXECUTED, _PER_SECOND))
    print(f"{name:<14} {executed:>9} executions, {speed:>6} a second, {last(_COVERED, done.stderr):>6} edges covered")
    inputs = sorted(found.glob(f"{name}-*"))
    if done.returncode:
        print(done.stderr[-4000:])
        print(f"{name}: FAILED (status {done.returncode})", flush=True)
        return inputs or [corpus]
    return inputs


def last(pattern: re.Pattern[str], text: str) -> str:
    """Return what the pattern found last, or a question mark."""
    numbers: list[str] = [match[1] for match in pattern.finditer(text)]
    return numbers[-1] if numbers else "?"


def main() -> int:
    names = sys.argv[1:] or list(CASES)
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    folder = Path(tempfile.mkdtemp(prefix="obo-fuzz-"))
    inputs = [path for name in names for path in fuzz(name, seconds, folder)]
    if not inputs:
        shutil.rmtree(folder)
        return 0
    print("Findings, each to be run again by `python -m tests.fuzz.instrumented TARGET FILE`:")
    print(*inputs, sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
