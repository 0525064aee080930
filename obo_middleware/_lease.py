"""To which request a client or credential belongs, and whether that is the request at hand.

Rule of this file: the context variable can only refuse. Nobody's authority is ever taken from it; that is in the
context of the request.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import ParamSpec, TypeVar

from credentials.kernel import Clock
from obo_middleware.errors import RefusedRequestError, RequestEndedError

P = ParamSpec("P")
T = TypeVar("T")


class Lease:
    """Be true to the request that a client was made for: over when the request is.

    ``until``, in seconds since the epoch, ends it before, for a connection that outlives its user's token. ``origin``
    is the lease of the request that it was detached from, while which is at hand it is no stranger.
    """

    __slots__ = ("_before", "_clock", "_origin", "_until", "ended")

    def __init__(self, clock: Clock, until: float | None = None, origin: Lease | None = None) -> None:
        self.ended = False
        self._clock = clock
        self._until = until
        self._origin = origin
        self._before: Token[Lease | None] | None = None

    def begin(self) -> None:
        """Make this the request at hand, for the task or thread that handles it and for what that starts."""
        self._before = _at_hand.set(self)

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make this the request at hand for one step of it: a thread may have steps of other requests in between."""
        before = _at_hand.set(self)
        try:
            return step(*args, **kwargs)
        finally:
            _at_hand.reset(before)

    def end(self) -> None:
        """End the request."""
        self.ended = True
        if self._before is not None:
            # An app may be closed out of another task; what is left behind here is over, so it does no harm.
            with contextlib.suppress(ValueError):
                _at_hand.reset(self._before)
            self._before = None

    def check(self) -> None:
        """Raise a :class:`RefusedRequestError` if the request is over, or another one is at hand."""
        if self.ended:
            raise RequestEndedError(
                "this client or credential belonged to the user of a request that is over. "
                "Get a new one from the context of the request at hand, so that nobody acts as whoever came before."
            )
        if self._until is not None and self._clock() >= self._until:
            raise RequestEndedError(
                "the access token that came with the request has expired: its user has to call anew. What goes on for "
                "longer needs a session, which context.start_session() starts."
            )
        at_hand = _at_hand.get()
        # One that is over does not count: its task or thread may work for others now, as a session's does whose first
        # request started it.
        if at_hand is not None and at_hand not in (self, self._origin) and not at_hand.ended:
            raise RefusedRequestError(
                "this client or credential belongs to another request than the one that is handled here. "
                "Get one from the context of the request at hand, so that nobody acts as somebody else."
            )

    def detached(self, until: float | None) -> Lease:
        """Return a lease that goes on after the request, for as long as its user's token."""
        self.check()
        return Lease(self._clock, until, self._origin or self)


class NoLease(Lease):
    """Stand for no request: of a client that acts as the application itself, outside of all of them."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(time.time)

    def check(self) -> None:
        """Do nothing."""


_at_hand: ContextVar[Lease | None] = ContextVar("obo_middleware", default=None)
