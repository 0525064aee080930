"""One HTTP exchange in the terms of the HTTP library: the request made, the answer read within its bounds, the failure.

Nothing here waits; the drivers do.
"""

from __future__ import annotations

import ssl
import time
import urllib.parse
from typing import Any

from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import HttpRequest, HttpResponse


def native_request(library: Any, request: HttpRequest) -> Any:
    """Make the HTTP library's request. The body is asked for unpacked, so that its size is what was counted."""
    seconds = request.timeout
    timeouts = {"connect": min(seconds, request.connect_timeout), "read": seconds, "write": seconds, "pool": seconds}
    extensions: dict[str, Any] = {"timeout": timeouts}
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **request.headers}
    url, server_name = request.url, request.server_name
    if request.address:
        parts = urllib.parse.urlsplit(url)
        url, server_name = _url_at(parts, request.address), server_name or parts.hostname or ""
        # A connection to a checked address serves one request: another host may have the same address.
        headers |= {"Host": parts.netloc.rpartition("@")[2], "Connection": "close"}
    if server_name:
        extensions["sni_hostname"] = server_name
    return library.Request(request.method, url, headers=headers, content=request.body, extensions=extensions)


def _url_at(parts: urllib.parse.SplitResult, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()


def failures(library: Any) -> tuple[type[Exception], ...]:
    """Return what a library raises where no answer comes.

    An unusable proxy is an ImportError or ValueError; of the operating system's errors and OpenSSL's (a record that
    cannot be decrypted, say) not every one is turned into an error of the library's own.
    """
    return (library.TransportError, library.InvalidURL, ImportError, ValueError, OSError)


def why(error: BaseException) -> str:
    """Name the kind of failure; a certificate that is not trusted says why, for that is the user's to mend."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            # OpenSSL's own text; an error that was made by hand has none, and may say anything.
            reason = getattr(cause, "verify_message", "") or "no reason told"
            return f"the server's certificate is not trusted: {reason}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def transport_error(library: Any, error: Exception) -> TransportError:
    """Return the error for a failure, with its cause if that cannot hold a piece of an answer or of a proxy's URL."""
    failure = TransportError(why(error))
    if isinstance(error, (library.NetworkError, library.TimeoutException)):
        failure.__cause__ = error
    return failure


class Reading:
    """The body of an answer while it arrives, with the bounds of its request."""

    def __init__(self, request: HttpRequest) -> None:
        self._deadline = time.monotonic() + request.timeout
        self._room = request.max_bytes
        self._chunks: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        """Keep a chunk; raises :class:`TransportError` if there is too much of it, or too late."""
        self._room -= len(chunk)
        if self._room < 0:
            raise AnswerTooLargeError("the answer is too large")
        if time.monotonic() > self._deadline:
            raise TransportError("Timeout")
        self._chunks.append(chunk)

    def whole(self, response: Any) -> HttpResponse:
        """Return the answer, now that its body is complete."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(status=response.status_code, headers=headers, body=b"".join(self._chunks))
