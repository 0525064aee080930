"""A call of a downstream API: whose tokens it carries, where they may go, and which answers another try may mend.

Facts: RFC 9110 sections 9.2.2 and 10.2.3, RFC 6585 section 4, W3C Trace Context, Microsoft identity platform
"Continuous access evaluation" (one retry after a claims challenge).

Rules of this file:

1. A token goes to its API's origin and below its base path, and nowhere else.
2. A claims challenge is answered once; what is put off is sent again while there is time. What cannot be sent twice is
   not sent twice.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from credentials import AccessTokenInfo, ClientAuthenticationError
from credentials.kernel import Clock, ConnectionPool, Event, Flow, Observer, parse_retry_after, sleep
from obo_middleware._challenge import claims_challenge_in
from obo_middleware._downstream_api import DownstreamApi
from obo_middleware._lease import Lease
from obo_middleware.errors import ClaimsChallengeError, WrongOriginError, answer_for

_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2: these have the same effect once and twice."""
_SHORTEST_WAIT = 0.1
"""Seconds between two tries, whatever the API says."""
_MOST_WAITS = 10
"""How often a call is put off; an API that never says for how long would be asked without end."""
_MOST_DECODINGS = 8
"""How often a path may be encoded over itself. No server decodes as often, and each time costs a look at all of it."""


class TokenSource(Protocol):
    """Describe where a client's tokens come from: the user's exchange, or the application itself."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that are asked for."""

    def fresh(self) -> AccessTokenInfo | None:
        """Return the token if it is at hand, without any wait."""

    def token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes; ``claims`` answer a challenge to the ``refused`` token."""


class Target:
    """One API as the HTTP library sees it, prepared once: its URL takes longer to parse than all the rest.

    ``name`` is the one in the settings; ``observer`` is told which calls are sent again.
    """

    def __init__(
        self, pool: ConnectionPool, api: DownstreamApi, clock: Clock, name: str = "", observer: Observer | None = None
    ) -> None:
        url = pool.library.URL(api.base_url + "/")
        self.clock = clock
        self.pool = pool
        self.api = api
        self.name = name
        self.observer = observer
        self.base_url = url
        self.timeout = pool.library.Timeout(api.timeout)
        self._origin = _origin(url)
        self._path = url.raw_path

    def check(self, url: Any) -> None:
        """Raise :class:`WrongOriginError` for a URL outside the API's origin and base path."""
        path = url.raw_path.partition(b"?")[0]
        below = path.startswith(self._path) or path + b"/" == self._path
        if _origin(url) != self._origin or url.userinfo or not below or _climbs(path):
            raise WrongOriginError(
                f"the request would go to {url.scheme}://{url.raw_host.decode()}, "
                f"but its token is for {self.api.base_url} only. "
                "Use a plain client for other addresses, or declare them as a DownstreamApi of their own."
            )


def _origin(url: Any) -> tuple[str, bytes, int | None]:
    # The HTTP library has None for the port that is the scheme's own, written or not.
    return url.scheme, url.raw_host, url.port


def _climbs(path: bytes) -> bool:
    """Tell whether a path has a dot segment in any spelling that some server resolves: encoded, twice, with ``;``.

    One that is encoded too often to say so counts as one that has.
    """
    plain = path
    for _ in range(_MOST_DECODINGS + 1):
        decoded = urllib.parse.unquote_to_bytes(plain)
        if decoded == plain:
            break
        plain = decoded
    else:
        return True
    segments = (segment.partition(b";")[0] for segment in plain.replace(b"\\", b"/").split(b"/"))
    return any(segment in (b".", b"..") for segment in segments)


class Binding(NamedTuple):
    """Join whose tokens a client sends, for how long it may, to which API, and in which trace (W3C ``traceparent``)."""

    source: TokenSource
    lease: Lease
    target: Target
    trace: str | None = None

    def check(self, url: Any) -> None:
        """Raise a :class:`RefusedRequestError` unless a request may carry the token to a URL now."""
        self.lease.check()
        self.target.check(url)

    def token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes; raises the :class:`OboError` that a failure means to our client."""
        try:
            return (yield from self.source.token_flow(claims, refused))
        except ClientAuthenticationError as error:
            raise answer_for(error, self.source.scopes) from error


class Call:
    """One request of a handler, sent once, or again after an answer that another try may mend."""

    __slots__ = (
        "_binding",
        "_claims",
        "_end",
        "_method",
        "_refused",
        "_wait",
        "_waits",
        "goes_on",
        "sends",
    )

    def __init__(self, binding: Binding, method: str) -> None:
        self._binding = binding
        self._method = method
        self._claims: str | None = None
        self._refused: str | None = None
        self._wait = 0.0
        self._waits = 0
        within = binding.target.api.retry_within
        self._end = binding.target.clock() + within if within else 0.0
        self.goes_on = self.sends = True

    def fresh(self) -> AccessTokenInfo | None:
        """Return the token to send if it is at hand, without any wait."""
        return None if self._claims or self._wait else self._binding.source.fresh()

    def token_flow(self) -> Flow[AccessTokenInfo]:
        """Return the token to send, after the wait that the API has asked for."""
        if self._wait:
            yield from sleep(self._wait)
            self._wait, self._waits = 0.0, self._waits + 1
            self._binding.lease.check()
        claims, self._claims = self._claims, None
        return (yield from self._binding.token_flow(claims, self._refused if claims else None))

    def hear(self, token: str, status: int, challenges: Sequence[str], retry_after: str | None, *, again: bool) -> None:
        """Take the answer to a token, and decide whether there is another try; ``again`` tells if that can be made.

        A claims challenge is worth a new token even if this request cannot be sent with it: ``sends`` is False then.
        Raises :class:`ClaimsChallengeError` for a second challenge.
        """
        claims = claims_challenge_in(challenges) if status == 401 else None
        if claims is not None and self._refused is not None:
            raise ClaimsChallengeError(
                "the downstream API asks for more than the provider's new token has", claims=claims
            )
        if claims is not None:
            self._claims, self._refused = claims, token
            self.sends = again
            if again:
                self._tell("claims_challenge")
            return
        self._wait = self._put_off(status, retry_after) if self._end and again else 0.0
        self.goes_on = self._wait > 0
        if self.goes_on:
            self._tell("retry_after")

    def _tell(self, reason: str) -> None:
        target = self._binding.target
        if target.observer is not None:
            target.observer.count(Event("retried", target.name, reason))

    def _put_off(self, status: int, retry_after: str | None) -> float:
        """Return the seconds to wait before the next try, 0 if there is none."""
        # RFC 6585 section 4: with 429 the request has not been done. A 503 may come after some of it was.
        if status != 429 and not (status == 503 and self._method in _SAFE_TO_REPEAT):
            return 0.0
        now = self._binding.target.clock()
        told = parse_retry_after(retry_after, now)
        if told is None or self._waits >= _MOST_WAITS:
            return 0.0
        wait = max(told, _SHORTEST_WAIT)
        return wait if now + wait <= self._end else 0.0
