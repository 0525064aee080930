"""Who is told what happens: an observer, such as one that counts for OpenTelemetry.

Rules of this file:

1. An observer is told names from closed sets. Nobody's token, key, id or claim is ever among them.
2. Whatever an observer raises is logged once and goes no further: no request depends on who looks on.
3. Without an observer nothing is made or called; where it matters, that is one look at an attribute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from credentials._flow import Flow
from credentials._log import event

_logger = logging.getLogger("credentials")

T = TypeVar("T")

Done = Callable[[BaseException | None], None]
"""Is called at the end of a piece of work, with the error that ended it, or None."""


class Event(NamedTuple):
    """Say that something happened once.

    ``name`` is ``lookup`` (of a token; ``detail`` is ``memory``, ``shared`` or ``miss``), ``joined`` (somebody waited
    for another's exchange), or a name of who uses this engine. ``label`` is what the application calls the token's use.
    """

    name: str
    label: str = ""
    detail: str = ""


class Work(NamedTuple):
    """Say that something begins that takes time.

    ``name`` is ``token`` (all that it takes to get one that is not at hand), ``exchange`` (a token request, ``detail``
    is its grant), or a name of who uses this engine. ``label`` is what the application calls the token's use.
    """

    name: str
    label: str = ""
    detail: str = ""


class Observer(Protocol):
    """Describe who is told what happens, on any thread, and at once: nothing here may wait."""

    def count(self, event: Event) -> None:
        """Take note of an event."""

    def begin(self, work: Work) -> Done:
        """Take note of a piece of work, and return what is called at its end, in the same thread or task."""


class SafeObserver:
    """Tell another observer, whose errors harm nobody."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._warned = False

    def count(self, event: Event) -> None:
        """Pass an event on."""
        try:
            self._observer.count(event)
        except Exception as error:  # noqa: BLE001  # an observer may be anything
            self._failed(error)

    def begin(self, work: Work) -> Done:
        """Pass the begin and the end of a piece of work on."""
        try:
            done = self._observer.begin(work)
        except Exception as error:  # noqa: BLE001  # see above
            self._failed(error)
            return _nothing

        def safely_done(outcome: BaseException | None) -> None:
            try:
                done(outcome)
            except Exception as error:  # noqa: BLE001  # see above
                self._failed(error)

        return safely_done

    def _failed(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            # Its class only: the text is not ours.
            _logger.error(
                "the observer fails, and what it should count is lost: %s. This is said once.",
                type(error).__name__,
                extra=event("obo.telemetry.failed"),
            )


def _nothing(_outcome: BaseException | None) -> None:
    """Do nothing."""


def observed_flow(observer: Observer | None, work: Work, make: Callable[[], Flow[T]]) -> Flow[T]:
    """Run a flow, and tell the observer of its begin and its end; raises what the flow raises."""
    if observer is None:
        return (yield from make())
    done = observer.begin(work)
    try:
        result = yield from make()
    except BaseException as error:
        done(error)
        raise
    done(None)
    return result
