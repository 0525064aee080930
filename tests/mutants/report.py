"""Run every mutant, and print what came of them."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.finder import Mutant, mutants_of
from tests.mutants.runner import RUN_SECONDS, Job, Verdict, import_third_party, verdicts
from tests.mutants.targets import TARGETS, WIDE, Target

AT_ONCE = os.cpu_count() or 1
LONGEST = 7200
"""Seconds for all tests on the code as it is; the runs of mutants get as long as a few times what that took."""
KINDS = ("mutants", "killed", "hung", "equivalent", "survived")


def found(chosen: Iterable[Target]) -> dict[Target, list[Mutant]]:
    """Return the mutants of each module, as its file is now."""
    return {
        target: mutants_of(Path(f"{target.module.replace('.', '/')}.py").read_text(), target.module, target.only)
        for target in chosen
    }


def unknown(mutants: Iterable[Mutant], listed: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the listed changes of these mutants' modules that are not among them."""
    keys = {(mutant.place, mutant.change) for mutant in mutants}
    rooms = {place.partition(".")[0] for place, _ in keys}
    return [key for key in listed if key[0].partition(".")[0] in rooms and key not in keys]


def main() -> int:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    chosen = [target for target in TARGETS if not names or target.module.rpartition(".")[2] in names]
    began = time.monotonic()
    groups = found(chosen)
    mutants = [(target, mutant) for target, group in groups.items() for mutant in group]
    import_third_party()
    problems = [
        f"listed as equivalent, but not in the code any more: {place}: {change}"
        for place, change in unknown((mutant for _, mutant in mutants), EQUIVALENT)
    ]
    print(*problems, sep="\n")
    before = time.monotonic()
    failing = failing_anyway({target.module.partition(".")[0] for target in chosen}, folder)
    # Or whoever shares the machine with other work would have mutants killed by the clock.
    seconds = max(RUN_SECONDS, 4 * (time.monotonic() - before))
    results = run([(t, m, t.first) for t, m in mutants], failing, folder, seconds)
    left = [(t, m, t.wide) for t, m in mutants if outcome(m, results[m]) == "survived"]
    results |= run(left, failing, folder, seconds)
    print_each(results)
    print_table(groups, results)
    print(f"{len(mutants)} mutants in {time.monotonic() - began:.0f} s")
    survived = any(outcome(mutant, results[mutant]) in ("survived", "WRONG") for _, mutant in mutants)
    return int(survived or bool(problems) or bool(failing))


def failing_anyway(packages: Iterable[str], folder: Path) -> list[str]:
    """Return the tests that fail on the code as it is: they are left out, for they would kill every mutant."""
    jobs = [Job(what=package, tests=WIDE[package], options=(), seconds=LONGEST) for package in sorted(packages)]
    results = [verdict for _, verdict in verdicts(jobs, folder, AT_ONCE)]
    tests = [test for verdict in results for test in verdict.tests]
    print(*(f"fails without a change, left out: {test}" for test in tests), sep="\n")
    print(*(f"without a change: {verdict.problem}" for verdict in results if verdict.problem), sep="\n", flush=True)
    return tests


def run(
    chosen: Iterable[tuple[Target, Mutant, tuple[str, ...]]], failing: Sequence[str], folder: Path, seconds: float
) -> dict[Mutant, Verdict]:
    """Run some tests against mutants, without those that fail anyway, each for so many seconds at most."""
    options = ("-x", *(f"--deselect={test}" for test in failing))
    jobs = [
        Job(what=m, tests=tests, module=t.module, code=m.code, options=options, seconds=seconds)
        for t, m, tests in chosen
    ]
    results: dict[Mutant, Verdict] = {}
    for mutant, verdict in verdicts(jobs, folder, AT_ONCE):
        results[mutant] = verdict
        if len(results) % 50 == 0:
            print(f"{len(results)} of {len(jobs)}", file=sys.stderr, flush=True)
    return results


def outcome(mutant: Mutant, verdict: Verdict) -> str:
    """Return what became of a mutant, in a word."""
    if (mutant.place, mutant.change) in EQUIVALENT:
        return "WRONG" if verdict.tests else "equivalent"
    if verdict.tests:
        return "hung" if verdict.hung else "killed"
    return "survived"


def print_each(results: dict[Mutant, Verdict]) -> None:
    for mutant, verdict in sorted(results.items(), key=lambda item: item[0].module):
        word = outcome(mutant, verdict)
        why = EQUIVALENT[mutant.place, mutant.change] if word == "equivalent" else (*verdict.tests, verdict.problem)[0]
        print(f"{word:<10} {mutant.place}: {mutant.change}\n{'':<10}     {why}")


def print_table(groups: dict[Target, list[Mutant]], results: dict[Mutant, Verdict]) -> None:
    total: Counter[str] = Counter()
    print("\n" + " ".join([f"{'module':<38}", *(f"{kind:>10}" for kind in KINDS)]))
    for target, mutants in groups.items():
        counts = Counter(outcome(mutant, results[mutant]) for mutant in mutants)
        counts["mutants"] = len(mutants)
        total += counts
        print(_row(target.module, counts))
    print(_row("all", total))
    if total["WRONG"]:
        print(f"listed as equivalent, but killed: {total['WRONG']}")


def _row(name: str, counts: Counter[str]) -> str:
    return " ".join([f"{name:<38}", *(f"{counts[kind]:>10}" for kind in KINDS)])


if __name__ == "__main__":
    sys.exit(main())
