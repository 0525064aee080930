"""What every log record has beside its text: the stable name of its event, and what it can be found by elsewhere.

Rule of this file: the name is a literal where the record is made, and stands in the table of ``docs/telemetry.md``. No
field holds a token, a secret, or who a user is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Entra's are GUIDs; whatever else stands there is no id.
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_DEEPEST = 8


def event(name: str, error: BaseException | None = None, **fields: object) -> dict[str, object]:
    """Return the ``extra`` of a log record: the event's name, and the id by which the provider knows of the error."""
    correlation_id = correlation_id_of(error)
    return {"event": name, **({"correlation_id": correlation_id} if correlation_id else {}), **fields}


def correlation_id_of(error: BaseException | None) -> str:
    """Return the provider's correlation id in an error, or in the one that it was raised from; else nothing."""
    for one in raised_from(error):
        found = getattr(one, "correlation_id", None)
        if isinstance(found, str) and _ID.fullmatch(found):
            return found
    return ""


def raised_from(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from; not without end, since an error may be its own cause."""
    for _ in range(_DEEPEST):
        if error is None:
            return
        yield error
        error = error.__cause__
