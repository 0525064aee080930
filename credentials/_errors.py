"""Every error that a credential raises.

::

    ClientAuthenticationError              azure-core's class of this name, where azure-core is installed
      ├─ CredentialUnavailableError        nothing was asked: something is missing on this machine; a chain goes on
      │    ├─ AuthenticationRequiredError  a user has to sign in first
      │    └─ ChainUnavailableError        no member of a chain could be asked; see `errors`
      └─ AuthenticationError               the provider was asked and gave no token
           ├─ InteractionRequiredError     the user must do something; relay `claims` to the front end
           │    └─ ConsentRequiredError    the user or an administrator must consent to the scopes
           ├─ InvalidAssertionError        the user's token was refused: expired, revoked, or for another application
           ├─ ClientConfigurationError     this application's own registration or credential is wrong
           ├─ ProviderUnavailableError     down, slow or throttling; `retry_after` in seconds where it was told
           ├─ UnusableAnswerError          an answer came, and it is not one
           └─ ChainedAuthenticationError   a member of a chain was refused or failed, and ended it; see `errors`

    TransportError                         inside flows only: no HTTP answer; the flow turns it into one of the above
      ├─ AnswerTooLargeError
      └─ AddressRefusedError                 in `_addresses`: nothing was sent
    CommandError                           inside flows only, too: a program could not be started

``CredentialUnavailableError`` and ``AuthenticationError`` are siblings, so that a caller may test for either
first. No message, attribute or ``repr`` of these holds a token, a secret or an assertion.
"""

from __future__ import annotations

import re
import sys
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


# A JWT; a console may have broken its line, so that long words after it are more of it.
_TOKEN_LIKE = re.compile(r"eyJ[\w-]{8,}(?:(?:\.|\\+u002[eE])[\w=+/-]*)*(?:[\s|]+[\w.=+/-]{32,})*")
_QUOTE, _SPACE = r"""(?:\\*["']|\\+u0022)""", r"(?:\s|\\+[nrt])*"
_NAMED_TOKENS = (
    # In quotes, also in JSON within JSON, after any name that ends so; else after whole names: sentences have the word.
    re.compile(rf"""(token{_QUOTE}?{_SPACE}[:=]{_SPACE}{_QUOTE})[^"']*""", re.IGNORECASE),
    re.compile(r"""((?:access|refresh|id)_?token\s*[:=]\s*)[^\s"'\\]+""", re.IGNORECASE),
    re.compile(r"(Bearer\s+)[\w.~+/=-]{20,}", re.IGNORECASE),
    re.compile(r"(azsdk%)[^%\s]*"),
)
# Ends of lines, commands to terminals, reversed reading order, and halves of characters, which no encoding can write.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_MAX_TEXT = 2048


def scrub(text: str) -> str:
    """Return text that is fit for a log line or a message: one line, bounded, and nothing that looks like a token."""
    text = _TOKEN_LIKE.sub("<token>", text[: 4 * _MAX_TEXT])
    for token in _NAMED_TOKENS:
        text = token.sub(r"\1<token>", text)
    return _UNFIT.sub(" ", text)[:_MAX_TEXT].strip()


def told(error: BaseException) -> str:
    """Return what an error says, scrubbed, whatever it is; one that is no credential's is named by its class too."""
    name = type(error).__name__
    try:
        # azure-core's message comes first: its errors, as text, end in the whole body of the answer.
        message = getattr(error, "message", None)
        text = scrub(message if isinstance(message, str) and message else str(error))
    except Exception:  # noqa: BLE001  # a foreign class may fail even at this
        return name
    if text and isinstance(error, ClientAuthenticationError):
        return text
    return f"{name}: {text}" if text else name


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

    @property
    def is_outage(self) -> bool:
        """Tell whether the provider is out of order or throttles (RFC 9110 section 15.6, RFC 6585 section 4)."""
        return self.status_code == 429 or self.status_code >= 500


class CredentialUnavailableError(ClientAuthenticationError):
    """Say that no token was asked for, because something this credential needs is missing on this machine."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        # azure-core notes the error that is being handled: its text and its frames may hold a token.
        vars(self).update({name: None for name in vars(self) if name.startswith("exc_")})
        self.text = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.text,)


class AuthenticationRequiredError(CredentialUnavailableError):
    """Say that a user has to sign in first; ``scopes`` and ``claims`` are what to ask for then."""

    def __init__(self, scopes: Sequence[str], message: str | None = None, claims: str | None = None) -> None:
        super().__init__(message or "Interactive authentication is required. Sign the user in, then try again.")
        self.scopes = tuple(scopes)
        self.claims = claims

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scopes, self.text), {"claims": self.claims}


class ChainUnavailableError(CredentialUnavailableError):
    """Say that no member of a chain could be asked; ``errors`` are those of the members, in their order."""

    def __init__(self, message: str, errors: Sequence[Exception] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)

    def __copy__(self) -> Self:
        return type(self)(self.text, self.errors)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.text, tuple(_portable(error, CredentialUnavailableError) for error in self.errors))


class AuthenticationError(ClientAuthenticationError):
    """Say that the provider was asked and gave no token.

    Every field of :class:`ProviderError` is an attribute of the error too.
    """

    def __init__(self, message: str, answer: ProviderError | None = None) -> None:
        super().__init__(message)
        vars(self).update({name: None for name in vars(self) if name.startswith("exc_")})
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

    @property
    def origin(self) -> Exception:
        """The error itself; for a chain, its member's error that ended it."""
        return self

    def told_to_wait(self, seconds: float | None) -> Self:
        """Return an equal error, with a traceback of its own, whose ``retry_after`` is so many seconds."""
        return type(self)(self.text, replace(self.answer, retry_after=seconds))

    def __reduce__(self) -> tuple[Any, ...]:
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


class ChainedAuthenticationError(AuthenticationError):
    """Say that a member of a chain was refused a token, or failed, which ended the chain.

    ``errors`` are those of the members that were asked, themselves: this text is scrubbed, theirs is if they are ours.
    The last one ended the chain, and gave this error its ``answer``.
    """

    def __init__(self, message: str, answer: ProviderError | None = None, errors: Sequence[Exception] = ()) -> None:
        super().__init__(message, answer)
        self.errors = tuple(errors)

    @property
    def origin(self) -> Exception:
        """The error that ended the chain; where that was a chain within, the one that ended it."""
        last = self.errors[-1] if self.errors else None
        if isinstance(last, AuthenticationError):
            return last.origin
        return self if last is None else last

    def told_to_wait(self, seconds: float | None) -> Self:
        """Return an equal error, with a traceback of its own, whose ``retry_after`` is so many seconds."""
        errors = [*self.errors]
        if errors and isinstance(errors[-1], AuthenticationError):
            errors[-1] = errors[-1].told_to_wait(seconds)
        return type(self)(self.text, replace(self.answer, retry_after=seconds), errors)

    def __copy__(self) -> Self:
        return type(self)(self.text, self.answer, self.errors)

    def __reduce__(self) -> tuple[Any, ...]:
        others = [_portable(error, CredentialUnavailableError) for error in self.errors[:-1]]
        last = [_portable(error, AuthenticationError) for error in self.errors[-1:]]
        return type(self), (self.text, self.answer, (*others, *last))


def _portable(error: Exception, kind: type[CredentialUnavailableError | AuthenticationError]) -> Exception:
    """Return an error that can be pickled: one of ours as it is, another as its text."""
    return error if type(error).__module__ == __name__ else kind(told(error))


class TransportError(Exception):
    """Say, inside a flow, that a request got no HTTP answer; the text names the kind of failure, never the content."""


class AnswerTooLargeError(TransportError):
    """Say that an answer was larger than its request allows."""


class CommandError(Exception):
    """Say, inside a flow, that a program could not be started; the text says why."""


def is_unavailable(error: BaseException) -> bool:
    """Tell whether an error says that a credential is not available: ours, or azure-identity's of the same name."""
    # Never imported here: where azure-identity is not in use, no error of its kind can come.
    theirs = getattr(sys.modules.get("azure.identity"), "CredentialUnavailableError", CredentialUnavailableError)
    return isinstance(error, (CredentialUnavailableError, theirs))


def chain_error(
    name: str, failures: Sequence[tuple[str, Exception]]
) -> ChainedAuthenticationError | ChainUnavailableError:
    """Return the error of a chain; ``failures`` are its members' names and errors, the last of which ended it."""
    errors = [error for _, error in failures]
    attempts = [line for member, error in failures for line in _attempt(member, error)]
    head = f"{name} failed to retrieve a token from the included credentials.\nAttempted credentials:"
    text = "\n\t".join([head, *attempts])
    if is_unavailable(errors[-1]):
        return ChainUnavailableError(text, errors)
    return ChainedAuthenticationError(text, _answer_of(errors[-1]), errors)


def _attempt(name: str, error: Exception) -> list[str]:
    """Return what to tell of an attempt: one line, but one for each of its own where it is that of a chain within."""
    if not isinstance(error, (ChainUnavailableError, ChainedAuthenticationError)):
        return [f"{name}: {told(error)}"]
    first, *others = error.text.split("\n")
    indented = ["\t" * (len(line) - len(line.lstrip("\t"))) + scrub(line) for line in others]
    return [f"{name}: {scrub(first)}", *indented]


def _answer_of(error: Exception) -> ProviderError | None:
    """Return what the provider answered, as far as an error tells: azure-core's know the status."""
    if isinstance(error, AuthenticationError):
        return error.answer
    status = getattr(error, "status_code", None)
    return ProviderError(status_code=status) if isinstance(status, int) else None
