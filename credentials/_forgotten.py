"""Who was forgotten, and when: so that what was asked for before does not come back after.

Rule of this file: a note outlives every token that it could be about.
"""

from __future__ import annotations

from typing import NamedTuple

from credentials._cache import ExpiringCache, group_of
from credentials._types import Clock

REMEMBERED = 28 * 3600.0
"""Seconds for which a note is kept: no token lives longer."""
_NOTES = 10_000


class Note(NamedTuple):
    """Say when somebody was forgotten: as a number in the order of this process, and in seconds since the epoch."""

    turn: int
    at: float


_NEVER = Note(0, float("-inf"))


class ForgottenGroups:
    """Remember the groups that were forgotten; the empty group is everybody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._notes: ExpiringCache[bytes, Note] = ExpiringCache(size=_NOTES, until=_until, clock=clock)
        self.turn = 0

    def add(self, group: bytes, at: float | None) -> None:
        """Note that a group is forgotten; ``at`` is when somebody said so, if not now."""
        self.turn += 1
        before = self._notes.get(group) or _NEVER
        # Old news may come again, or late: they do not undo newer ones.
        self._notes.put(group, Note(self.turn, max(before.at, self._clock() if at is None else at)))

    def last(self, key: bytes) -> Note:
        """Return when the one to whom a cache key belongs was last forgotten."""
        notes = (self._notes.get(group_of(key)), self._notes.get(b""))
        return max((note for note in notes if note is not None), default=_NEVER)


def _until(note: Note) -> float:
    return note.at + REMEMBERED
