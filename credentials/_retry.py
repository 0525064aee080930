"""Send a request again where that can help."""

from __future__ import annotations

from collections.abc import Callable

from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import Flow, HttpRequest, HttpResponse, send, sleep

DelayAfter = Callable[[HttpResponse | None, int], float | None]
"""Tells how many seconds to wait after the answer to an attempt, or after none; None ends it. The first is 1."""


def retried_flow(request: HttpRequest, delay_after: DelayAfter) -> Flow[HttpResponse]:
    """Send a request until ``delay_after`` is content with what came, and return the last answer.

    Raises :class:`TransportError` if there was none, and :class:`AnswerTooLargeError` at once.
    """
    attempt = 1
    while True:
        try:
            response = yield from send(request)
        except AnswerTooLargeError:
            raise
        except TransportError:
            delay = delay_after(None, attempt)
            if delay is None:
                raise
        else:
            delay = delay_after(response, attempt)
            if delay is None:
                return response
        yield from sleep(delay)
        attempt += 1
