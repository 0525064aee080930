"""Errors in Entra's words: an OAuth error, an AADSTS code, a description (RFC 6749 section 5.2).

The codes and texts follow Microsoft's reference of authentication and authorization error codes. The text is
shortened in places; what clients are known to look at (error, code, suberror, claims) is not.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KINDS: dict[int, tuple[int, str]] = {
    # Client authentication: RFC 6749 section 5.2 gives invalid_client the status 401.
    700016: (400, "unauthorized_client"),
    7000114: (400, "unauthorized_client"),
    7000215: (401, "invalid_client"),
    7000218: (401, "invalid_client"),
    7000222: (401, "invalid_client"),
    700021: (401, "invalid_client"),
    700023: (401, "invalid_client"),
    700024: (401, "invalid_client"),
    700025: (401, "invalid_client"),
    700027: (401, "invalid_client"),
    700211: (401, "invalid_client"),
    700212: (401, "invalid_client"),
    700213: (401, "invalid_client"),
    50027: (401, "invalid_client"),
    # The grant.
    50013: (400, "invalid_grant"),
    50034: (400, "invalid_grant"),
    500131: (400, "invalid_grant"),
    500133: (400, "invalid_grant"),
    501481: (400, "invalid_grant"),
    50173: (400, "invalid_grant"),
    54005: (400, "invalid_grant"),
    65001: (400, "invalid_grant"),
    65004: (400, "access_denied"),
    65005: (400, "invalid_grant"),
    70000: (400, "invalid_grant"),
    70008: (400, "invalid_grant"),
    700084: (400, "invalid_grant"),
    9002313: (400, "invalid_grant"),
    50076: (400, "interaction_required"),
    50058: (400, "login_required"),
    # The request.
    28000: (400, "invalid_scope"),
    70011: (400, "invalid_scope"),
    500011: (400, "invalid_resource"),
    70003: (400, "unsupported_grant_type"),
    700054: (400, "unsupported_response_type"),
    50011: (400, "invalid_request"),
    900144: (400, "invalid_request"),
    9000411: (400, "invalid_request"),
    90023: (400, "invalid_request"),
    9001023: (400, "invalid_request"),
    9002325: (400, "invalid_request"),
    9002326: (400, "invalid_request"),
    9002327: (400, "invalid_request"),
    50049: (400, "invalid_instance"),
    90002: (400, "invalid_tenant"),
    # The service itself.
    90033: (503, "temporarily_unavailable"),
    90055: (429, "temporarily_unavailable"),
}


@dataclass
class EntraError(Exception):
    """A refusal: `code` is the AADSTS number; status and OAuth error follow from it.

    `claims` is the JSON text a client must send its user to sign in with; `suberror` says what may help.
    """

    code: int
    text: str
    suberror: str | None = None
    claims: str | None = None
    status: int = field(init=False)
    error: str = field(init=False)

    def __post_init__(self) -> None:
        super().__init__(f"AADSTS{self.code}: {self.text}")
        self.status, self.error = _KINDS[self.code]

    def document(self, authority: str, now: float, correlation_id: str | None) -> dict[str, Any]:
        """Return the JSON document of this refusal, member for member as Entra writes it."""
        trace, correlation = str(uuid.uuid4()), correlation_id or str(uuid.uuid4())
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        tail = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}"
        document: dict[str, Any] = {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.text} {tail}",
            "error_codes": [self.code],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{authority}/error?code={self.code}",
        }
        extra = {"suberror": self.suberror, "claims": self.claims}
        return document | {name: value for name, value in extra.items() if value is not None}

    def body(self, authority: str, now: float, correlation_id: str | None = None) -> bytes:
        """Return the document as the bytes of a response."""
        return json.dumps(self.document(authority, now, correlation_id)).encode("utf-8")


def missing_parameter(name: str) -> EntraError:
    """Return AADSTS900144 for a parameter that is missing or empty."""
    return EntraError(900144, f"The request body must contain the following parameter: '{name}'.")


def correlation_id(headers: Mapping[str, str]) -> str | None:
    """Return the id a client gave its request, in either of the two headers Microsoft's clients use."""
    return headers.get("client-request-id") or headers.get("x-ms-client-request-id")
