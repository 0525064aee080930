"""Every error that a credential raises.

::

    ClientAuthenticationError              azure-core's class of this name, where azure-core is installed
      ├─ CredentialUnavailableError        nothing was asked: something is missing on this machine; a chain goes on
      │    └─ AuthenticationRequiredError  a user has to sign in first
      └─ AuthenticationError               the provider was asked and gave no token
           ├─ InteractionRequiredError     the user must do something; relay `claims` to the front end
           │    └─ ConsentRequiredError    the user or an administrator must consent to the scopes
           ├─ InvalidAssertionError        the user's token was refused: expired, revoked, or for another application
           ├─ ClientConfigurationError     this application's own registration or credential is wrong
           ├─ ProviderUnavailableError     down, slow or throttling; `retry_after` in seconds where it was told
           └─ UnusableAnswerError          an answer came, and it is not one

    TransportError                         inside flows only: no HTTP answer; the flow turns it into one of the above
      └─ AnswerTooLargeError

``CredentialUnavailableError`` and ``AuthenticationError`` are siblings, so that a caller may test for either
first. No message, attribute or ``repr`` of these holds a token, a secret or an assertion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:

    class ClientAuthenticationError(Exception):
        """Is the base of every credential error: azure-core's class where azure-core is installed."""

        def __init__(self, message: str) -> None: ...

else:
    try:
        from azure.core.exceptions import ClientAuthenticationError
    except ImportError:

        class ClientAuthenticationError(Exception):
            """Is the base of every credential error: azure-core's class where azure-core is installed."""


_TOKEN_LIKE = re.compile(r"eyJ[\w-]{8,}(?:\.[\w=+/-]*)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MAX_TEXT = 2048


def scrub(text: str) -> str:
    """Return text that is fit for a log line or a message: one line, bounded, and nothing that looks like a JWT."""
    return _CONTROL.sub(" ", _TOKEN_LIKE.sub("<token>", text[: 4 * _MAX_TEXT]))[:_MAX_TEXT].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderError:
    """Hold what a provider's error answer said (RFC 6749 section 5.2 and Microsoft Entra's additions).

    ``status_code`` is the HTTP status, 0 where no answer came; ``error_codes`` are the AADSTS numbers;
    ``claims`` is the JSON text of a claims challenge; ``retry_after`` is in seconds.
    """

    status_code: int = 0
    error: str = ""
    error_description: str = ""
    error_codes: Sequence[int] = ()
    suberror: str = ""
    claims: str | None = None
    correlation_id: str = ""
    trace_id: str = ""
    timestamp: str = ""
    retry_after: float | None = None


class CredentialUnavailableError(ClientAuthenticationError):
    """Say that no token was asked for, because something this credential needs is missing on this machine."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.text = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.text,)


class AuthenticationRequiredError(CredentialUnavailableError):
    """Say that a user has to sign in first; ``scopes`` and ``claims`` are what to ask for then."""

    def __init__(self, scopes: Sequence[str], message: str | None = None, *, claims: str | None = None) -> None:
        super().__init__(message or "Interactive authentication is required. Sign the user in, then try again.")
        self.scopes = tuple(scopes)
        self.claims = claims

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scopes, self.text), {"claims": self.claims}


class AuthenticationError(ClientAuthenticationError):
    """Say that the provider was asked and gave no token.

    Every field of :class:`ProviderError` is an attribute of the error too.
    """

    def __init__(self, message: str, answer: ProviderError | None = None) -> None:
        super().__init__(message)
        answer = answer or ProviderError()
        self.text = message
        self.answer = answer
        self.status_code = answer.status_code or None
        self.error = answer.error or None
        self.error_description = answer.error_description
        self.error_codes = tuple(answer.error_codes)
        self.suberror = answer.suberror
        self.claims = answer.claims
        self.correlation_id = answer.correlation_id
        self.trace_id = answer.trace_id
        self.timestamp = answer.timestamp
        self.retry_after = answer.retry_after

    def told_to_wait(self, seconds: float | None) -> Self:
        """Return an equal error, with a traceback of its own, whose ``retry_after`` is so many seconds."""
        return type(self)(self.text, replace(self.answer, retry_after=seconds))

    def __reduce__(self) -> tuple[type[Self], tuple[str, ProviderError]]:
        return type(self), (self.text, self.answer)


class InteractionRequiredError(AuthenticationError):
    """Say that the user has to act (sign in again, second factor, conditional access); see ``claims``."""


class ConsentRequiredError(InteractionRequiredError):
    """Say that the user or an administrator has not consented to the scopes."""


class InvalidAssertionError(AuthenticationError):
    """Say that the user assertion itself was refused: expired, revoked, altered or meant for another application."""


class ClientConfigurationError(AuthenticationError):
    """Say that this application is set up wrongly at the provider: its secret, certificate, id or permissions."""


class ProviderUnavailableError(AuthenticationError):
    """Say that the provider could not be reached, is out of order or throttles; see ``retry_after`` (seconds)."""


class UnusableAnswerError(AuthenticationError):
    """Say that the provider answered, but with nothing that can be used as a token."""


class TransportError(Exception):
    """Say, inside a flow, that a request got no HTTP answer; the text names the kind of failure, never the content."""


class AnswerTooLargeError(TransportError):
    """Say that an answer was larger than its request allows."""
