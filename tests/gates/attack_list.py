"""Writes docs/security.md, the list of attacks with the tests that show their outcomes: ``make security``.

Prints which cases have no test yet, and which are shown in some of the four adapters only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.gates.attack_cases import CHOSEN, LATER, NUMBERS, OUTCOMES, OWN_CHOICE, SECTIONS, Case
from tests.gates.attack_marks import ADAPTERS, Shown, adapters_by_case, by_case, collected, runs_by_adapter
from tests.gates.project import ROOT

DOCUMENT = ROOT / "docs" / "security.md"
NAMED = 3
"""How many tests of a case are named in its row."""

INTRODUCTION = """\
# The list of attacks

<!-- Written by `make security` from the marks of the tests. Change tests/gates/attack_cases*.py instead. -->

What is tried against an API that stands behind this middleware, what must come of it, and which tests show that it
does: {all} cases, {shown} of them shown by tests, {later} that [come with later features](#cases-that-come-later).
[threat-model.md](threat-model.md) says who is trusted with what, and [protecting.md](protecting.md) how an app sets up
its own rules.

**What always holds.** A request that is refused for its token never reaches the application. A call that is refused
never reaches the downstream API. Whatever is refused leaves no token in the cache. Refusals are
`application/problem+json` with `Cache-Control: no-store` and say nothing about why; the log does, without tokens and
secrets.

**How the list is kept true.** Each test that shows a case carries its number, `@pytest.mark.attack(30)`; the name of a
test is the rule that it checks. This page is written from these marks. `make test` fails if a case has no test, if a
mark names a case that does not exist, and if this page is not what would be written now. Cases about the bytes of a
request are shown over real sockets and the servers that people use, cases about a whole app in each of the four
adapters: the last column says in which. Where it is empty, the case is shown in the core, which all four stand on. To
run all tests of the list: `pytest -m attack`; to run one, give its name to `pytest`.

## Outcomes

| Code | What the client gets |
|---|---|
{outcomes}

`"..."` in `realm` stands for the client id of the API. The codes are those of RFC 6750, RFC 9470 and, for C, of Entra's
claims challenges.

## Decided by choice

Most outcomes are required by a standard or by the provider's documents, or were learned from a known defect. No source
fixes those of the cases {own}: they are our own choice, made so that they agree with RFC 6750.

Three are decided otherwise than in most libraries:

{chosen}
"""


def document(found: Sequence[Shown]) -> str:
    """Return the whole text of docs/security.md."""
    tests, adapters = ordered(found), adapters_by_case(found)
    parts = [introduction(tests)]
    parts += [table(section.title, section.cases, tests, adapters) for section in SECTIONS]
    parts += [counts(found), later()]
    return "\n".join(parts)


def ordered(found: Sequence[Shown]) -> dict[int, list[str]]:
    """Return the tests of each case: first those of a whole app, among them those that show the fewest other cases."""
    cases: dict[str, set[int]] = {}
    for shown in found:
        cases.setdefault(shown.test, set()).update(shown.cases)
    in_apps = {shown.test for shown in found if shown.adapter}

    def weight(name: str) -> tuple[bool, int, str]:
        return name not in in_apps, len(cases[name]), name

    return {number: sorted(names, key=weight) for number, names in by_case(found).items()}


def introduction(tests: Mapping[int, object]) -> str:
    return INTRODUCTION.format(
        all=len(NUMBERS),
        shown=len(NUMBERS.intersection(tests)),
        later=len(LATER),
        outcomes="\n".join(f"| {code} | {text} |" for code, text in OUTCOMES.items()),
        own=", ".join(ranges(sorted(OWN_CHOICE))),
        chosen="\n".join(f"- **{number}.** {text}" for number, text in CHOSEN.items()),
    )


def table(
    title: str, cases: Iterable[Case], tests: Mapping[int, Sequence[str]], adapters: Mapping[int, set[str]]
) -> str:
    head = f"## {title}\n\n| # | Attack | Outcome | Shown by | In adapters |\n|---|---|---|---|---|\n"
    rows = (row(case, tests.get(case.number, ()), adapters.get(case.number, set())) for case in cases)
    return head + "".join(rows)


def row(case: Case, tests: Sequence[str], adapters: set[str]) -> str:
    words = f": {case.words}" if case.words else ""
    by = f"comes {LATER[case.number]}" if case.number in LATER else named(tests)
    return f"| {case.number} | {case.attack} | **{case.outcome}**{words} | {by} | {shown_in(adapters)} |\n"


def named(tests: Sequence[str]) -> str:
    """Return the names of the first tests, and how many more there are."""
    lines = [f"`{name}`" for name in tests[:NAMED]]
    if len(tests) > NAMED:
        lines.append(f"and {len(tests) - NAMED} more")
    return "<br>".join(lines) or "**no test**"


def shown_in(adapters: set[str]) -> str:
    return "all four" if len(adapters) == len(ADAPTERS) else ", ".join(name for name in ADAPTERS if name in adapters)


def counts(found: Sequence[Shown]) -> str:
    """Return how often the list's tests run in each adapter; each set of parameters counts as a run."""
    names = dict(zip(ADAPTERS, ("ASGI", "FastAPI", "WSGI", "Flask"), strict=True)) | {"": "outside of these"}
    rows = "".join(f"| {names[name]} | {count} |\n" for name, count in runs_by_adapter(found).items())
    total = f"| all, of {len({shown.test for shown in found})} tests | {len(found)} |\n"
    return f"## Tests per adapter\n\n| Adapter | Runs of tests |\n|---|---|\n{rows}{total}"


def later() -> str:
    """Return which cases belong to features that do not exist yet."""
    reasons = dict.fromkeys(LATER.values())
    lines = [
        f"- {', '.join(ranges([number for number, other in LATER.items() if other == reason]))}: {reason}\n"
        for reason in reasons
    ]
    return "## Cases that come later\n\nThese belong to features that do not exist yet:\n\n" + "".join(lines)


def ranges(numbers: Sequence[int]) -> Iterator[str]:
    """Yield numbers as text, three and more in a row as one range."""
    at = 0
    while at < len(numbers):
        end = at
        while end + 1 < len(numbers) and numbers[end + 1] == numbers[end] + 1:
            end += 1
        if end - at >= 2:
            yield f"{numbers[at]} to {numbers[end]}"
            at = end + 1
        else:
            yield str(numbers[at])
            at += 1


def gaps(found: Sequence[Shown]) -> Iterator[str]:
    """Yield what is not shown yet: cases without a test, and those in some of the adapters only."""
    missing = sorted(NUMBERS - set(LATER) - set(by_case(found)))
    if missing:
        yield f"no test: {', '.join(ranges(missing))}"
    for number, names in sorted(adapters_by_case(found).items()):
        if 0 < len(names) < len(ADAPTERS):
            yield f"{number} in {shown_in(names)} only"


def main() -> None:
    found = collected()
    DOCUMENT.write_text(document(found), encoding="utf-8")
    print(*gaps(found), sep="\n")


if __name__ == "__main__":
    main()
