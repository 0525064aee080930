"""Headers as they stand in the environment of a WSGI request, and in Django's ``META``, which is like it by ASGI too.

Facts: PEP 3333, and RFC 3875 section 4.1.18.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from obo_middleware._trace import HEADER, traceparent


def key_of(header: str) -> str:
    """Return the key under which a header stands."""
    return "HTTP_" + header.upper().replace("-", "_")


AUTHORIZATION = key_of("Authorization")
_TRACE = key_of(HEADER)


def values_of(environ: Mapping[str, Any], key: str) -> list[bytes]:
    """Return the values of a header: none or one, for values of several have been joined by the server."""
    header = environ.get(key)
    return [] if header is None else [header.encode("latin-1", "replace")]


def trace_of(environ: Mapping[str, Any]) -> str | None:
    """Return the trace that the request belongs to, if it says so."""
    return traceparent([environ[_TRACE]] if _TRACE in environ else [])
