"""Every attack of the list has a test that shows its outcome: the marker `attack` says which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from tests.gates.attack_cases import CHOSEN, LATER, NUMBERS, OUTCOMES, OWN_CHOICE, SECTIONS
from tests.gates.attack_list import DOCUMENT, document, gaps, ordered, ranges
from tests.gates.attack_marks import ADAPTERS, Shown, adapters_by_case, by_case, collected, runs_by_adapter, shown_by

CASES = [case for section in SECTIONS for case in section.cases]


def wrongs(tests: Mapping[int, Iterable[str]], numbers: Iterable[int], later: Iterable[int]) -> Iterator[str]:
    """Yield what is wrong with the marks of tests, given the cases there are and those that come later."""
    there, coming = set(numbers), set(later)
    for number in sorted(there - coming - set(tests)):
        yield f"case {number} has no test"
    for number, names in tests.items():
        if number not in there:
            yield f"there is no case {number}: {', '.join(names)}"
        elif number in coming:
            yield f"case {number} has a test and is listed as coming later: {', '.join(names)}"


def test_every_case_has_a_test_or_comes_later_and_every_mark_names_a_case() -> None:
    assert list(wrongs(by_case(collected()), NUMBERS, LATER)) == []


def test_the_document_is_what_the_marks_say() -> None:
    written = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    assert written == document(collected()), "run `make security` and commit docs/security.md"


def test_the_list_has_every_number_once() -> None:
    assert [case.number for case in CASES] == list(range(1, 197))


def test_every_case_has_a_known_outcome_and_fits_into_a_table() -> None:
    assert {case.outcome for case in CASES} == set(OUTCOMES)
    assert [case.number for case in CASES if not case.attack or "|" in case.attack + case.words] == []
    assert [case.number for case in CASES if case.outcome == "N" and not case.words] == []


def test_what_is_special_is_said_of_cases_that_there_are() -> None:
    assert NUMBERS.issuperset({*LATER, *CHOSEN, *OWN_CHOICE})


# The gate itself

FOUND = [
    Shown("tests/a.py::test_a", (1, 2), "asgi"),
    Shown("tests/a.py::test_a", (1,), "flask"),
    Shown("tests/a.py::test_b", (2,), ""),
]


def test_a_case_without_a_test_is_found() -> None:
    assert list(wrongs(by_case(FOUND), {1, 2, 3}, {})) == ["case 3 has no test"]
    assert list(wrongs(by_case(FOUND), {1, 2, 3}, {3})) == []


def test_a_mark_of_a_case_that_there_is_not_is_found() -> None:
    assert list(wrongs(by_case(FOUND), {1}, {})) == ["there is no case 2: tests/a.py::test_a, tests/a.py::test_b"]


def test_a_case_that_was_to_come_later_and_has_a_test_is_found() -> None:
    assert list(wrongs(by_case(FOUND), {1, 2}, {1})) == [
        "case 1 has a test and is listed as coming later: tests/a.py::test_a"
    ]


def test_tests_are_counted_by_case_and_by_adapter() -> None:
    assert by_case(FOUND) == {1: ["tests/a.py::test_a"], 2: ["tests/a.py::test_a", "tests/a.py::test_b"]}
    assert adapters_by_case(FOUND) == {1: {"asgi", "flask"}, 2: {"asgi"}}
    assert runs_by_adapter(FOUND) == {"asgi": 1, "fastapi": 0, "wsgi": 0, "flask": 1, "": 1}


def test_the_document_names_tests_adapters_and_what_is_missing() -> None:
    text = document(FOUND)
    assert "| 1 | No `Authorization` header | **U** | `tests/a.py::test_a` | asgi, flask |\n" in text
    assert "| 3 | The scheme as `bearer` or `BEARER`, several spaces behind it | **OK** | **no test** |  |\n" in text
    assert "| all, of 2 tests | 3 |\n" in text
    assert "139, 150, 159: with RFC 8693 token exchange" in text
    many = [Shown(f"tests/{name}.py::test", (1,), adapter) for name in "abcde" for adapter in ADAPTERS]
    assert "`tests/c.py::test`<br>and 2 more | all four |" in document(many)


def test_tests_of_a_whole_app_and_of_few_cases_are_named_first() -> None:
    core, wide, narrow = Shown("a", (1,), ""), Shown("b", (1, 2, 3), "wsgi"), Shown("c", (1,), "wsgi")
    assert ordered([core, wide, narrow])[1] == ["c", "b", "a"]


def test_what_is_missing_is_said() -> None:
    said = list(gaps(FOUND))
    assert said == ["no test: 3 to 138, 140 to 149, 151 to 158, 160 to 196", *said[1:]]
    assert said[1:] == ["1 in asgi, flask only", "2 in asgi only"]
    assert list(ranges([1, 2, 4, 5, 6])) == ["1", "2", "4 to 6"]


def item(nodeid: str, *marks: int) -> Any:
    return SimpleNamespace(nodeid=nodeid, iter_markers=lambda name: [SimpleNamespace(args=marks)])


@pytest.mark.parametrize(
    ("nodeid", "adapter"),
    [
        ("tests/a.py::test_a", ""),
        ("tests/a.py::test_a[wsgi]", "wsgi"),
        ("tests/a.py::test_a[bad-flask]", "flask"),
        ("tests/a.py::test_a[fastapi-x[1]]", "fastapi"),
        ("tests/asgi.py::test_asgi[asgis]", ""),
        ("tests/adapters/test_flask.py::test_a[x]", "flask"),
        ("tests/adapters/test_websockets.py::test_a", "asgi"),
        ("tests/adapters/test_asgi.py::test_a[fastapi]", "fastapi"),
    ],
)
def test_the_adapter_of_a_run_is_in_its_parameters(nodeid: str, adapter: str) -> None:
    name = nodeid.partition("[")[0]
    assert shown_by(item(nodeid, 5, 3)) == Shown(name, (3, 5), adapter)


def test_marks_of_functions_parameters_and_modules_are_found() -> None:
    # Each by way of a test that stands for its kind.
    tests = by_case(collected())
    assert "tests/core/test_validation.py::test_a_forged_token_is_refused" in tests[23]
    assert "tests/core/test_bearer_proxied.py::test_anything_but_one_token_is_malformed" in tests[15]
    assert {"asgi", "fastapi", "wsgi", "flask"} == adapters_by_case(collected())[99]
