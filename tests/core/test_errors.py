from __future__ import annotations

import re
from typing import Any

import pytest

from obo_middleware import errors
from obo_middleware.errors import (
    ClaimsChallengeError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    MissingTokenError,
    OboError,
    UpstreamUnavailableError,
)

CLASSES: list[type[OboError]] = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, OboError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_status_a_title_and_is_exported(kind: type[OboError]) -> None:
    assert kind.__name__ in errors.__all__
    assert 400 <= kind.status < 600
    assert kind.title.isprintable()
    assert kind.error is None or re.fullmatch(r"[a-z_]+", kind.error)


@pytest.mark.parametrize("kind", CLASSES[1:])
def test_the_drawn_tree_has_a_line_for_every_error_with_its_status(kind: type[OboError]) -> None:
    drawn = errors.__doc__ or ""
    (line,) = re.findall(rf"─ {kind.__name__}\b.*", drawn)
    assert len(re.findall(r"─ \w+Error\b", line)) == 1, "one error on each line"
    if kind.__mro__[1] is OboError:
        assert re.search(rf"\b{kind.status}\b", line)


def test_an_error_carries_what_the_caller_needs_next() -> None:
    found: list[Any] = [
        InsufficientScopeError("x", scopes=["a"]).scopes,
        ClaimsChallengeError("x", claims="{}").claims,
        UpstreamUnavailableError("x", retry_after=3).retry_after,
        InsufficientUserAuthenticationError("x", acr_values=["c1"], max_age=5).acr_values,
        InsufficientUserAuthenticationError("x", acr_values=["c1"], max_age=5).max_age,
    ]
    assert found == [("a",), "{}", 3, ("c1",), 5]
    assert str(MissingTokenError())
