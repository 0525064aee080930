"""How time and memory are taken: processor time of the thread, subjects taking turns, medians."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

Work = Callable[[], object]


def per_call(function: Work, number: int, clock: Callable[[], float]) -> float:
    """Return the seconds of a clock that one of so many calls takes."""
    turns = repeat(None, number)
    started = clock()
    for _ in turns:
        function()
    return (clock() - started) / number


def compare(subjects: Mapping[str, Work], *, number: int, rounds: int) -> dict[str, float]:
    """Return each subject's processor seconds for one call: the median over rounds in which they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    with settled():
        for _ in range(rounds):
            for name, function in subjects.items():
                taken[name].append(per_call(function, number, time.thread_time))
    return {name: statistics.median(times) for name, times in taken.items()}


@contextmanager
def settled() -> Iterator[None]:
    """Take what exists out of the collector's sight: only garbage made while measuring costs anything."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def collection_time(rounds: int) -> float:
    """Return the processor seconds of a full garbage collection."""
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        gc.collect()
        times.append(time.thread_time() - started)
    return statistics.median(times)


def resident_bytes() -> int:
    """Return the memory this process has: what is resident now, or where that is not told, the most it ever had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
