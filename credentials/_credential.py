"""The life of a token: cache → single flight → exchange → cache.

Rules of this file:

1. Fresh: returned by a plain function, no flow, no wait.
2. Ageing: one caller refreshes, everybody else gets the old token at once. A failed refresh costs nobody
   anything: the old token is served to its end, and the key is left alone for ``BACK_OFF`` seconds.
3. Absent: one flight for each key; its error goes to everybody who waits.
4. ``claims`` skip the read and replace the entry: what is in the cache is what the API has just refused.
5. With a shared cache the exchange is preceded by a look at what other processes have got, and one of them makes it.
6. A user who is forgotten is gone from here at once, and what was asked for before does not come back.
7. Refusals are kept shortly, under the key and the very assertion they are about, so that they touch nobody
   else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from credentials._cache import SKEW, Entry, ExpiringCache, group_of, key_of, token_cache
from credentials._errors import AuthenticationError, InteractionRequiredError, told
from credentials._flow import Flow
from credentials._forgotten import ForgottenGroups
from credentials._log import event
from credentials._observer import Event, Observer, SafeObserver, Work, observed_flow
from credentials._single_flight import FlightTable, LeaderGoneError
from credentials._store import Found, SharedCache, Visit
from credentials._types import AccessTokenInfo, Clock
from credentials._wants import TokenQuery as TokenQuery
from credentials._wants import Want as Want

_logger = logging.getLogger("credentials")

BACK_OFF = 30.0
"""Seconds after a failed refresh before the next one is tried."""
REFUSAL_KEPT = 60.0
"""Seconds for which it is remembered that a user must consent or act."""
LONGEST_WAIT = 300.0
"""The most seconds that a provider's ``Retry-After`` is obeyed."""
BUSY_ELSEWHERE = 2.0
"""Seconds before it is looked again for the token that another process is refreshing."""
CLAIMS_SHARED = 30.0
"""Seconds in which callers with the same claims challenge share the token that answered it."""
_NOTES = 10_000

Exchange = Callable[[], Flow[AccessTokenInfo]]


class _Refusal(NamedTuple):
    error: AuthenticationError | None
    until: float


class _Answer(NamedTuple):
    info: AccessTokenInfo
    until: float


class _BusyElsewhereError(LeaderGoneError):
    """Say that another process is refreshing the token; who needs one by now has to see to it."""


class TokenEngine:
    """Keep and renew tokens, for any number of users and scopes; safe for threads and tasks at once.

    ``cache_size`` is in entries. ``shared`` is what several processes have in common. ``observer`` is told what
    happens.
    """

    def __init__(
        self,
        *,
        cache_size: int = 100_000,
        clock: Clock = time.time,
        shared: SharedCache | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.clock = clock
        self.observer = None if observer is None else SafeObserver(observer)
        self._shared = shared
        self._cache = token_cache(size=cache_size, clock=clock)
        self._flights: FlightTable[AccessTokenInfo] = FlightTable()
        self._refusals: ExpiringCache[bytes, _Refusal] = ExpiringCache(size=_NOTES, until=_until, clock=clock)
        self._answers: ExpiringCache[bytes, _Answer] = ExpiringCache(size=_NOTES, until=_until, clock=clock)
        self._forgotten = ForgottenGroups(clock)

    def __len__(self) -> int:
        return len(self._cache)

    def fresh(self, key: bytes, label: str = "") -> AccessTokenInfo | None:
        """Return the token kept under the key if nothing needs to be done about it, or None.

        ``label`` is what the application calls the token's use, for the observer.
        """
        info = self._fresh(key)
        if info is not None and self.observer is not None:
            self.observer.count(Event("lookup", label, "memory"))
        return info

    def _fresh(self, key: bytes) -> AccessTokenInfo | None:
        entry = self._cache.get(key)
        return None if entry is None or self.clock() >= _refresh_on(entry) else AccessTokenInfo._make(entry)

    def kept(self, key: bytes) -> AccessTokenInfo | None:
        """Return the token kept under the key, fresh or not, or None."""
        entry = self._cache.get(key)
        return None if entry is None else AccessTokenInfo._make(entry)

    def forget(self, group: bytes, at: float | None = None) -> None:
        """Forget all that is a user's; without a group, everything.

        ``at`` is when somebody said so, in seconds since the epoch, if not now.
        """
        # First the note, so that an exchange under way does not put back what is taken out here.
        self._forgotten.add(group, at)
        self._cache.discard_where(lambda key, _: not group or group_of(key) == group)
        # Short notes, under keys that do not tell whose they are.
        self._answers.clear()
        self._refusals.clear()

    def token_flow(self, want: Want, exchange: Exchange) -> Flow[AccessTokenInfo]:
        """Return the wanted token: from the cache, from a flight under way, or from the exchange.

        Raises what the exchange raises, or an equal error when a like request was refused a moment ago.
        """
        work = Work("token", want.label)
        return (yield from observed_flow(self.observer, work, lambda: self._wanted_flow(want, exchange)))

    def _wanted_flow(self, want: Want, exchange: Exchange) -> Flow[AccessTokenInfo]:
        if want.claims:
            return (yield from self._claims_flow(want, exchange))
        info = self.kept(want.key)
        if info is None:
            return (yield from self._fly_flow(want, want.key, lambda: self.kept(want.key), exchange))
        if self.clock() < _refresh_on(info) or self._refusals.get(want.key):
            return self._hit(want, info)
        return (yield from self._refresh_flow(want, info, exchange))

    def _hit(self, want: Want, info: AccessTokenInfo) -> AccessTokenInfo:
        self._looked_up(want, "memory")
        return info

    def _looked_up(self, want: Want, level: str) -> None:
        if self.observer is not None:
            self.observer.count(Event("lookup", want.label, level))

    def _refresh_flow(self, want: Want, old: AccessTokenInfo, exchange: Exchange) -> Flow[AccessTokenInfo]:
        flight = self._flights.lead(want.key)
        if flight is None:
            return self._hit(want, old)
        # Looked up again now that nobody else can be refreshing: somebody may just have done so.
        newer = self._fresh(want.key)
        try:
            return (
                yield from self._flights.lead_flow(want.key, flight, lambda: self._renew_flow(want, newer, exchange))
            )
        except _BusyElsewhereError:
            self._refusals.put(want.key, _Refusal(error=None, until=self.clock() + BUSY_ELSEWHERE))
            return self._hit(want, old)
        except Exception as error:  # noqa: BLE001  # whatever went wrong, the old token is as good as it was
            extra = event("obo.token.refresh_failed", error)
            _logger.warning("a token could not be refreshed and is used to its end: %s", told(error), extra=extra)
            self._refusals.put(want.key, _Refusal(error=None, until=self.clock() + BACK_OFF))
            return old

    def _renew_flow(self, want: Want, newer: AccessTokenInfo | None, exchange: Exchange) -> Flow[AccessTokenInfo]:
        if newer is not None:
            return self._hit(want, newer)
        return (yield from self._exchange_flow(want, exchange, refresh=True))

    def _claims_flow(self, want: Want, exchange: Exchange) -> Flow[AccessTokenInfo]:
        """Exchange with claims; callers whose like tokens were refused at the same time share the answer."""
        key = key_of(want.key, want.claims or "")

        def answered() -> AccessTokenInfo | None:
            answer = self._answers.get(key) if want.refused else None
            return answer.info if answer is not None and answer.info.token != want.refused else None

        def replacing_flow() -> Flow[AccessTokenInfo]:
            info = yield from exchange()
            self._answers.put(key, _Answer(info=info, until=self.clock() + CLAIMS_SHARED))
            return info

        return (yield from self._fly_flow(want, key, answered, replacing_flow))

    def _fly_flow(
        self, want: Want, key: bytes, lookup: Callable[[], AccessTokenInfo | None], exchange: Exchange
    ) -> Flow[AccessTokenInfo]:
        if len(self._refusals):
            self._raise_if_refused(key_of(key, want.asker))

        def found() -> AccessTokenInfo | None:
            info = lookup()
            return None if info is None else self._hit(want, info)

        def joined() -> None:
            if self.observer is not None:
                self.observer.count(Event("joined", want.label))

        def leading_flow() -> Flow[AccessTokenInfo]:
            # Here, and not where followers pass too: the refusal is about the leader's assertion.
            try:
                return (yield from self._exchange_flow(want, exchange))
            except AuthenticationError as error:
                self._remember(key_of(key, want.asker), error)
                raise

        return (yield from self._flights.fly_flow(key, found, leading_flow, joined))

    def _exchange_flow(self, want: Want, exchange: Exchange, *, refresh: bool = False) -> Flow[AccessTokenInfo]:
        before, turn = self._cache.get(want.key), self._forgotten.turn
        info = yield from self._made_flow(want, exchange, refresh=refresh)
        entry = (info.token, info.expires_on, info.token_type, info.refresh_on)
        if want.claims:
            self._cache.put(want.key, entry)
        else:
            # An answer to a claims challenge that came meanwhile is the better token: the API has asked for it.
            self._cache.put_unless_changed(want.key, entry, before)
        # Looked at last: whoever forgets the user after this finds the entry.
        if self._forgotten.last(want.key).turn > turn:
            self._cache.discard(want.key)
        return info

    def _made_flow(self, want: Want, exchange: Exchange, *, refresh: bool) -> Flow[AccessTokenInfo]:
        """Return the token from the shared cache, or else from the exchange, which then is shared."""
        if self._shared is None or not want.shared:
            self._looked_up(want, "miss")
            return (yield from exchange())
        visit = self._shared.visit(want.key)
        # What is there is what the API has refused, where there are claims.
        found = None if want.claims else (yield from self._found_flow(visit, want.key, refresh=refresh))
        if found is not None:
            self._looked_up(want, "shared")
            return found.info
        if visit.busy:
            raise _BusyElsewhereError
        self._looked_up(want, "miss")
        asked_at = self.clock()
        try:
            info = yield from exchange()
        except BaseException:
            visit.abandon()
            raise
        if asked_at <= self._forgotten.last(want.key).at:
            visit.abandon()
        else:
            visit.save(info, asked_at)
        return info

    def _found_flow(self, visit: Visit, key: bytes, *, refresh: bool) -> Flow[Found | None]:
        found = yield from visit.load_flow()
        if self._is_good(found, key, refresh=refresh):
            return found
        found = yield from visit.lead_flow(wait=not refresh, anew=found is not None)
        return found if self._is_good(found, key, refresh=refresh) else None

    def _is_good(self, found: Found | None, key: bytes, *, refresh: bool) -> bool:
        """Tell whether a shared token may be used: asked for after its user was last forgotten, and with life left."""
        if found is None or found.asked_at < self._forgotten.last(key).at:
            return False
        info = found.info
        return self.clock() < (_refresh_on(info) if refresh else info.expires_on - SKEW)

    def _raise_if_refused(self, key: bytes) -> None:
        refusal = self._refusals.get(key)
        # A clock that was set back must not make a refusal last.
        left = refusal.until - self.clock() if refusal is not None else 0.0
        if refusal is not None and refusal.error is not None and left <= LONGEST_WAIT:
            wait = left if refusal.error.retry_after else None
            raise refusal.error.told_to_wait(wait) from refusal.error

    def _remember(self, key: bytes, error: AuthenticationError) -> None:
        seconds = REFUSAL_KEPT if isinstance(error, InteractionRequiredError) else error.retry_after or 0.0
        if seconds > 0:
            until = self.clock() + min(seconds, LONGEST_WAIT)
            # A copy: the error's traceback would keep the frames, and the tokens in them, in memory.
            self._refusals.put(key, _Refusal(error=error.told_to_wait(error.retry_after), until=until))


def _until(note: _Refusal | _Answer) -> float:
    return note.until


def _refresh_on(entry: Entry | AccessTokenInfo) -> float:
    _, expires_on, _, refresh_on = entry
    return expires_on - 300 if refresh_on is None else refresh_on
