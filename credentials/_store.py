"""What may be asked of a store that several processes share, and what the token engine wants of a shared cache.

Rules of this file:

1. A shared store is a help and never a need: whatever it does, the caller goes on without it.
2. The store sees names and sealed values. Who and what they are about is known to the shared cache alone.
3. An entry belongs to a *group*, that of its user, and goes with it when the user is forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple, Protocol

from credentials._flow import Flow
from credentials._types import AccessTokenInfo


class StoreError(Exception):
    """Say that a store did not do what it was asked, inside flows only; the text has no value in it."""


class Name(NamedTuple):
    """Name an entry: the name of its group, and its own within the group."""

    group: str
    entry: str


class Load(NamedTuple):
    """Ask for an entry's value, ``bytes`` or None."""

    name: Name


class Lead(NamedTuple):
    """Ask to be the one that makes an entry, for so many seconds.

    The answer is the entry's value as ``bytes`` if there is one (unless ``anew``), 0.0 if the caller leads now, or the
    seconds for which somebody else leads.
    """

    name: Name
    owner: str
    seconds: float
    anew: bool = False


class Save(NamedTuple):
    """Ask to keep an entry for so many seconds, and to tell everybody who waits for it.

    With an ``owner`` only if that one still leads, whose lead then ends. The answer says whether it is kept.
    """

    name: Name
    value: bytes
    seconds: float
    owner: str = ""


class Release(NamedTuple):
    """Ask to end a lead without an entry, and to tell everybody who waits."""

    name: Name
    owner: str


class Remove(NamedTuple):
    """Ask to delete one entry, and to end the lead of whoever makes it anew."""

    name: Name


class Forget(NamedTuple):
    """Ask to delete all of some groups, or without any all tokens, and to tell every process.

    ``news`` is what they are told, ``at`` the time, in seconds since the epoch.
    """

    groups: tuple[str, ...]
    news: bytes
    at: float


Operation = Load | Lead | Save | Release | Remove | Forget
"""All that a store can be asked."""


class Store(Protocol):
    """Describe a store in both colours. Each wait is bounded; what fails is a :class:`StoreError`."""

    def perform(self, operation: Operation) -> Any:
        """Do what is asked and return the answer, blocking."""

    def perform_async(self, operation: Operation) -> Awaitable[Any]:
        """Do what is asked and return the answer."""


class Found(NamedTuple):
    """Hold a token from a shared cache, and when it was asked for at its provider, in seconds since the epoch."""

    info: AccessTokenInfo
    asked_at: float


class Visit(Protocol):
    """Describe one caller's dealings with one entry of a shared cache; none of it raises, and all waits are bounded."""

    def load_flow(self) -> Flow[Found | None]:
        """Return what is kept, or None."""

    def lead_flow(self, *, wait: bool, anew: bool) -> Flow[Found | None]:
        """Become the one that makes the entry, or return what another process made meanwhile.

        None means that the caller is to make it: as the leader, or since the store is of no help. With ``wait`` False
        :attr:`busy` may be True instead. ``anew`` wants another one than what is kept.
        """

    @property
    def busy(self) -> bool:
        """Whether another process is making the entry, and the caller did not want to wait for it."""

    def save(self, info: AccessTokenInfo, asked_at: float) -> None:
        """Have a token kept, and the lead ended, without a wait for it."""

    def abandon(self) -> None:
        """Have the lead ended without a token, without a wait for it: the caller may be on its way out."""


class SharedCache(Protocol):
    """Describe a cache of tokens that several processes share."""

    def visit(self, key: bytes) -> Visit:
        """Return a caller's dealings with the entry of that cache key."""
