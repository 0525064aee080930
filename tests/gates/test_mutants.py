"""The mutants of `make mutants`: what is found in a sample, and that what is said of our own code is so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.gates.project import ROOT
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.finder import Mutant, mutants_of
from tests.mutants.report import found, unknown
from tests.mutants.targets import TARGETS, WIDE

SAMPLE = """
import re
NAMES = frozenset({"a", "b"})
CURVES = {"x": 1}
Alias = dict[str, int]

class Judge:
    def check(self, text, size):
        if not text or len(text) > size:
            raise ValueError
        check_text(text)

def is_good(text) -> bool:
    return re.fullmatch("a", text) is not None

def key(a, b):
    def inner():
        return b if a else None
    if a in ("x", "y"):
        return key_of(a, b)
    return Assertion(token=checked_text(a), object_id=b)

def key_of(*fields):
    parts = (1, 2)
    return sha256(parts)

def is_within(a) -> bool:
    if 0 < a <= 9:
        return True
    return [b for b in a if b]
"""
EXPECTED = {
    "NAMES": ["'a' -> removed", "'b' -> removed"],
    "CURVES": ["'x' -> removed"],
    "Judge.check": [
        "not text or len(text) > size -> False",
        "not text -> False",
        "len(text) > size -> False",
        "len(text) > size -> >=",
        "check_text(text) -> removed",
    ],
    "is_good": [
        "re.fullmatch('a', text) is not None -> False",
        "re.fullmatch('a', text) is not None -> True",
        "re.fullmatch -> match",
        "re.fullmatch -> search",
    ],
    "key": [
        "a in ('x', 'y') -> False",
        "'x' -> removed",
        "'y' -> removed",
        "key_of(a, b) -> without a",
        "key_of(a, b) -> without b",
        "Assertion(object_id=b) -> removed",
        "checked_text(a) -> a",
    ],
    "key.inner": ["a -> False", "a -> True"],
    "key_of": ["1 -> removed", "2 -> removed"],
    "is_within": [
        "0 < a <= 9 -> False",
        "0 < a <= 9 -> <=",
        "0 < a <= 9 -> <",
        "0 < a <= 9 -> 0 < a",
        "0 < a <= 9 -> a <= 9",
        "[b for b in a if b] -> False",
        "[b for b in a if b] -> True",
        "if b -> removed",
    ],
}


def sample(*only: str) -> list[Mutant]:
    return mutants_of(SAMPLE, "package.room", only)


def test_every_check_of_a_module_is_found() -> None:
    changes = {place: [m.change for m in sample() if m.place == f"room.{place}"] for place in EXPECTED}
    assert changes == EXPECTED
    assert {mutant.place for mutant in sample()} == {f"room.{place}" for place in EXPECTED}


def test_the_places_to_look_at_may_be_chosen() -> None:
    assert {mutant.place for mutant in sample("key", "NAMES")} == {"room.NAMES", "room.key", "room.key.inner"}


def test_a_chosen_place_that_is_gone_is_told() -> None:
    with pytest.raises(LookupError, match=r"room\.gone"):
        sample("key", "gone")


def test_equal_changes_of_one_place_are_numbered() -> None:
    changes = [mutant.change for mutant in mutants_of("def f():\n if a: pass\n if a: pass", "room")]
    assert changes == ["a -> False", "a -> False (2)"]


@pytest.mark.parametrize(
    ("place", "change", "call", "result"),
    [
        ("key", "a in ('x', 'y') -> False", "key('x', 1)", None),
        ("is_good", "re.fullmatch -> match", "is_good('ab')", True),
        ("is_good", "re.fullmatch -> search", "is_good('bab')", True),
        ("Judge.check", "not text -> False", "Judge().check('', 0)", None),
        ("Judge.check", "len(text) > size -> >=", "Judge().check('a', 1)", ValueError),
        ("is_within", "0 < a <= 9 -> a <= 9", "is_within(-1)", True),
        ("is_within", "0 < a <= 9 -> 0 < a", "is_within(10)", True),
        ("is_within", "0 < a <= 9 -> <=", "is_within(0)", True),
    ],
)
def test_a_mutant_runs_with_its_one_change(place: str, change: str, call: str, result: object) -> None:
    [mutant] = [m for m in sample(place) if m.change == change]
    assert outcome(mutant, call) == result


def test_a_mutant_leaves_the_tree_as_it_was() -> None:
    mutants = sample()
    before = ast.dump(mutants[0].tree)
    for mutant in mutants:
        mutant.code()
    assert ast.dump(mutants[0].tree) == before


def outcome(mutant: Mutant, call: str) -> object:
    names: dict[str, object] = dict.fromkeys(("checked_text", "check_text", "sha256"), str)
    names["Assertion"] = lambda **_: None
    exec(mutant.code(), names)  # noqa: S102  # the sample above
    try:
        result: object = eval(call, names)  # noqa: S307  # a call of the table above
    except ValueError as error:
        return type(error)
    return result


def test_every_target_has_mutants_and_its_tests_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    groups = found(TARGETS)
    assert [target.module for target, mutants in groups.items() if not mutants] == []
    assert unknown([m for mutants in groups.values() for m in mutants], EQUIVALENT) == []
    tests = {path for target in TARGETS for path in target.first}
    tests |= {path.removeprefix("--ignore=") for paths in WIDE.values() for path in paths}
    assert [path for path in sorted(tests) if not Path(path).exists()] == []
