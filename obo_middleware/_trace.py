"""The trace that a request belongs to, which the calls made for it belong to as well.

Facts: W3C Trace Context, section 3.2 (``traceparent``).

Rule of this file: of all headers of an incoming request this is the only one that goes on, and only in the one form of
55 characters, which has no room for a text. ``tracestate`` and ``baggage`` have, and stay here.
"""

from __future__ import annotations

import re

from credentials.kernel import event

HEADER = "traceparent"

# Version, ids of trace and parent, flags; ids of zeros alone and the version ff are invalid (section 3.2.2).
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent(values: list[str]) -> str | None:
    """Return the value of an incoming ``traceparent`` header, or None unless there is one, and it is well formed."""
    return values[0] if len(values) == 1 and _FORM.fullmatch(values[0]) else None


def request_event(name: str, error: BaseException, trace: str | None) -> dict[str, object]:
    """Return the ``extra`` of a log record about a request, which has the trace id of its ``traceparent`` too.

    That id is the ``correlation_id`` as well, unless the provider gave one.
    """
    trace_id = trace[3:35] if trace else ""
    return ({"correlation_id": trace_id, "trace_id": trace_id} if trace_id else {}) | event(name, error)
