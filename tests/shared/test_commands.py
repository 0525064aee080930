"""What an operation is to Redis, and what its reply means."""

from __future__ import annotations

import pytest

from credentials.kernel import Forget, Lead, Load, Name, Operation, Release, Remove, Save
from obo_middleware._redis_commands import FORGOTTEN, LOGGED, TOLD, Keys, answer_of, commands_of

KEYS = Keys("app")
NAME = Name("G", "E")
OPERATIONS: dict[str, Operation] = {
    "load": Load(NAME),
    "lead": Lead(NAME, "me", 10.0, True),
    "save": Save(NAME, b"value", 3600.0, "me"),
    "release": Release(NAME, "me"),
    "remove": Remove(NAME),
    "forget": Forget(("G", "H"), b"news", 1_000_000.0),
}


def words(operation: Operation) -> list[list[object]]:
    """Return the commands without the texts of scripts."""
    return [[word for word in command if "redis.call" not in str(word)] for command in commands_of(operation, KEYS)]


def test_a_load_is_one_get() -> None:
    assert words(OPERATIONS["load"]) == [["GET", "app:{G}:e:E"]]


def test_a_lead_names_its_owner_and_its_end() -> None:
    three = ["app:{G}:e:E", "app:{G}:l:E", "app:{G}:i"]
    assert words(OPERATIONS["lead"]) == [["EVAL", 3, *three, "me", 10_000, 1, "E"]]
    assert words(Lead(NAME, "me", 0.0001)) == [["EVAL", 3, *three, "me", 1, 0, "E"]]


def test_a_save_names_its_owner_and_its_end_and_tells() -> None:
    (command,) = words(OPERATIONS["save"])
    assert command[2:6] == ["app:{G}:e:E", "app:{G}:l:E", "app:{G}:i", "me"]
    assert command[6:9] == [3_600_000, b"value", "E"]
    assert command[9:] == ["app:news", TOLD + b"E", 64, "app:{G}:e:"]


def test_to_forget_groups_is_a_script_for_each_and_then_the_news() -> None:
    first, second, *telling = words(OPERATIONS["forget"])
    assert first == ["EVAL", 1, "app:{G}:i", "app:{G}:e:", "app:{G}:l:"]
    assert second == ["EVAL", 1, "app:{H}:i", "app:{H}:e:", "app:{H}:l:"]
    assert telling == [
        ["ZADD", "app:forgotten", "1000000.000", b"news"],
        ["ZREMRANGEBYSCORE", "app:forgotten", "-inf", f"{1_000_000 - LOGGED:.3f}"],
        ["EXPIRE", "app:forgotten", LOGGED],
        ["PUBLISH", "app:news", FORGOTTEN + b"news"],
    ]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_all_keys_of_a_command_are_of_one_group(operation: Operation) -> None:
    for command in words(operation):
        assert len({str(word).split("}")[0] for word in command if str(word).startswith("app:{")}) <= 1


@pytest.mark.parametrize(
    ("operation", "reply", "answer"),
    [
        ("load", None, None),
        ("load", b"x", b"x"),
        ("lead", b"x", b"x"),
        ("lead", 0, 0.0),
        ("lead", 2_500, 2.5),
        ("lead", -3, 0.0),
        ("save", 1, True),
        ("save", 0, False),
        ("release", 1, True),
        ("remove", 0, False),
        ("forget", 3, 3),
    ],
)
def test_a_reply_means(operation: str, reply: object, answer: object) -> None:
    meant = answer_of(OPERATIONS[operation], reply)
    assert (meant, type(meant)) == (answer, type(answer))


@pytest.mark.parametrize("reply", [None, "text", [1], {}])
def test_a_reply_that_is_no_answer_is_refused(reply: object) -> None:
    with pytest.raises(ValueError, match="no answer"):
        answer_of(OPERATIONS["lead"], reply)
