"""JSON as security code must read it: UTF-8, no member twice, no number that is none.

Python's own reader takes the last of two equal names, so that two programs may read two meanings in one text
(RFC 8725 section 3.7, RFC 8259 section 4). This one refuses them.
"""

from __future__ import annotations

import json
from typing import Any


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes are; raises ``ValueError`` for anything else, however it is malformed."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
        if isinstance(value, dict):
            return value
        problem = "not a JSON object"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:
        problem = str(error)
    # Raised here and not where it was caught: Python's own errors hold the whole text, and it may have tokens in it.
    raise ValueError(problem)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
