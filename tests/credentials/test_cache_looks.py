from __future__ import annotations

import pytest

from tests.credentials.helpers import Clock
from tests.credentials.test_cache import cache


@pytest.mark.attack(184)
def test_a_look_for_what_is_not_there_raises_nothing_inside(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may be a token, and a KeyError of it would be shown with whatever is raised meanwhile, as by a signal."""

    def missing(entries: object, key: str) -> float:
        raise AssertionError(f"looked up: {key}")

    entries = cache(clock)
    monkeypatch.setattr(type(entries._entries), "__missing__", missing, raising=False)
    assert entries.get("a token") is None
