"""Make objects that hold locks or connections safe to use in a forked child, as gunicorn with preload makes them.

Rule of this file: a child shares nothing in flight with its parent. What is registered here starts anew in
the child, before any other code of the child runs.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Describe an object that can forget what only its parent process may use."""

    def renew_after_fork(self) -> None:
        """Replace every lock and drop every connection and wait."""


_renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_in_children(thing: Renewable) -> None:
    """Have the object renewed in every process that is forked from now on, as long as it is alive."""
    _renewables.add(thing)


def _renew_all() -> None:
    for thing in tuple(_renewables):
        thing.renew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
