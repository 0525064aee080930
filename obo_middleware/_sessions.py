"""Long-running sessions: a user's work that outlives the request in which it began.

Facts: RFC 6749 sections 1.5 and 6 (refresh tokens), RFC 9700 section 4.14 (their rotation), Microsoft identity platform
"OAuth 2.0 On-Behalf-Of flow" (``offline_access``).

Rules of this file:

1. A refresh token is in the shared store, sealed, and nowhere else; it leaves it for the token endpoint only.
2. One worker at a time redeems it, and puts the new one in its place before anybody else may.
3. The id says nothing and cannot be made up. What it names is gone when the session is ended, revoked or forgotten, or
   its time is over.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from credentials import AccessTokenInfo, ConsentRequiredError, InvalidAssertionError
from credentials.kernel import (
    GROUP,
    Flow,
    Lead,
    Load,
    Name,
    Operation,
    Release,
    Remove,
    Save,
    StoreError,
    TokenQuery,
    UserAssertion,
    WouldDeadlockError,
    event,
    key_of,
    parse_object,
    sleep,
    use,
    wait_for,
)
from obo_middleware._shared_cache import LOOK_AGAIN, SharedTokenCache, expected_again
from obo_middleware._user import user_from_claims
from obo_middleware._validation import Validated
from obo_middleware.errors import ConfigurationError, SessionEndedError, SharedCacheUnavailableError

if TYPE_CHECKING:
    from obo_middleware._runtime import Runtime

_logger = logging.getLogger("obo_middleware")

LIFETIME = 7 * 86_400.0
"""Seconds that a session lives, if nothing else is said."""
LONGEST = 90 * 86_400.0
"""The most seconds that it may: so long are refresh tokens good."""
_LEAD = 60.0
"""Seconds for which one worker may redeem a refresh token: longer than the slowest token request with its retries."""
_PAUSES = (0.1, 0.4, 1.0)
"""Seconds before each further try of an operation that a session cannot do without."""
_ID = Name("session", "id")


class Session(NamedTuple):
    """Name a long-running session: ``id`` is for a job's arguments, ``expires_on`` in seconds since the epoch."""

    id: str
    expires_on: float

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"Session(id=<hidden>, expires_on={self.expires_on})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Hold what is kept of a session: the refresh token, whose it is, and its end in seconds since the epoch."""

    refresh_token: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    ends_on: float

    def encoded(self) -> bytes:
        """Return the record as the bytes to seal."""
        members = {"refresh_token": self.refresh_token, "claims": dict(self.claims), "ends_on": self.ends_on}
        return json.dumps(members, separators=(",", ":"), default=dict).encode()  # claims within claims are frozen

    @classmethod
    def decoded(cls, data: bytes) -> Record:
        """Return the record in opened bytes; raises ``ValueError``."""
        members = parse_object(data)
        token, claims, ends_on = (members.get(name) for name in ("refresh_token", "claims", "ends_on"))
        if not isinstance(token, str) or not isinstance(claims, dict) or not isinstance(ends_on, (int, float)):
            raise ValueError("no record of a session")
        return cls(refresh_token=token, claims=claims, ends_on=float(ends_on))


class Sessions:
    """Start, resume and end the long-running sessions of one application."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start_flow(self, valid: Validated, api: str | None, lifetime: float) -> Flow[Session]:
        """Start a session for a user whose request is at hand.

        Raises :class:`ConfigurationError` without a store or an API, the errors of an exchange, and
        :class:`SharedCacheUnavailableError`.
        """
        cache, runtime = self._cache(), self._runtime
        if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or not 0 < lifetime <= LONGEST:
            raise ConfigurationError(f"lifetime is {lifetime!r}: give seconds, at most {LONGEST:.0f}.")
        if valid.assertion.redeem is not None:
            raise ConfigurationError("start_session was called within a session: use the id of that one.")
        runtime.check_exchangeable(valid)
        name = api or next(iter(runtime.settings.downstream_apis), "")
        scopes = tuple(runtime.target(name).api.scopes)
        query = runtime.client.query(scopes, tenant_id=runtime.tenant_of(valid))
        granted = yield from runtime.client.begin_flow(query, valid.assertion)
        if not granted.refresh_token:
            raise ConsentRequiredError("the provider gave no refresh token: the scope offline_access needs consent")
        ends_on = runtime.settings.clock() + lifetime
        secret = valid.assertion.group + os.urandom(GROUP)
        record = Record(refresh_token=granted.refresh_token, claims=valid.user.claims, ends_on=ends_on)
        yield from _insist_flow(cache, self._saving(cache, _names(cache, secret)[0], record))
        return Session(_text(cache.sealer.seal(_ID, secret)), ends_on)

    def resume_flow(self, text: str) -> Flow[Validated]:
        """Return the user of a session, whose assertion gets tokens by its refresh token.

        Raises :class:`SessionEndedError` and :class:`SharedCacheUnavailableError`.
        """
        cache = self._cache()
        secret = _secret(cache, text)
        record = (yield from self._record_flow(cache, _names(cache, secret)))[1]
        user = replace(user_from_claims(record.claims), expires_on=int(record.ends_on))
        assertion = UserAssertion(
            token="",
            partition=key_of("long-running session", secret),
            object_id=user.object_id,
            tenant_id=user.tenant_id,
            group=secret[:GROUP],
            redeem=lambda query: self._redeem_flow(secret, query),
        )
        return Validated(user=user, assertion=assertion, good_until=record.ends_on)

    def end_flow(self, text: str) -> Flow[None]:
        """End a session; one that is over already is no error. Raises :class:`SharedCacheUnavailableError`."""
        cache = self._cache()
        try:
            secret = _secret(cache, text)
        except SessionEndedError:
            return
        for name in _names(cache, secret):
            yield from _insist_flow(cache, Remove(name))

    def _cache(self) -> SharedTokenCache:
        if self._runtime.shared is None:
            raise ConfigurationError(
                "token_store is missing: the refresh tokens of long-running sessions are kept in the shared store only."
            )
        return self._runtime.shared

    def _saving(self, cache: SharedTokenCache, name: Name, record: Record, owner: str = "") -> Save:
        seconds = max(1.0, record.ends_on - self._runtime.settings.clock())
        return Save(name, cache.sealer.seal(name, record.encoded()), seconds, owner)

    def _record_flow(self, cache: SharedTokenCache, names: tuple[Name, ...]) -> Flow[tuple[Name, Record]]:
        """Return a session's record and the name it was found under; raises :class:`SessionEndedError`."""
        for name in names:
            value = yield from _insist_flow(cache, Load(name))
            data = cache.sealer.open(name, value) if isinstance(value, bytes) else None
            if data is not None:
                record = _readable(data)
                if self._runtime.settings.clock() < record.ends_on:
                    return name, record
        raise SessionEndedError("there is no such session, or it is over")

    def _redeem_flow(self, secret: bytes, query: TokenQuery) -> Flow[AccessTokenInfo]:
        """Redeem the refresh token, as the only worker that does so, and keep the new one before anybody else may."""
        cache = self._cache()
        names = _names(cache, secret)
        owner = cache.new_owner()
        name = names[0]
        try:
            yield from _lead_flow(cache, name, owner)
            info = yield from self._rotate_flow(cache, names, owner, query)
        except BaseException:
            cache.store.later(Release(name, owner))
            raise
        return info

    def _rotate_flow(
        self, cache: SharedTokenCache, names: tuple[Name, ...], owner: str, query: TokenQuery
    ) -> Flow[AccessTokenInfo]:
        found, record = yield from self._record_flow(cache, names)
        user = user_from_claims(record.claims)
        whose = UserAssertion(token="", partition=b"", object_id=user.object_id, tenant_id=user.tenant_id)
        try:
            granted = yield from self._runtime.client.redeem_flow(query, record.refresh_token, whose)
        except InvalidAssertionError as error:
            for name in names:
                yield from _insist_flow(cache, Remove(name))
            raise SessionEndedError(f"the provider does not renew the session: {error}") from error
        newer = replace(record, refresh_token=granted.refresh_token or record.refresh_token)
        kept = yield from _insist_flow(cache, self._saving(cache, names[0], newer, owner))
        if not kept:
            extra = event("obo.session.ended_meanwhile")
            _logger.warning("a session was ended, or forgotten, while its refresh token was redeemed", extra=extra)
            raise SessionEndedError("the session was ended while it was renewed")
        if found != names[0]:
            yield from _insist_flow(cache, Remove(found))  # it was sealed with a former key
        return granted.info


def _lead_flow(cache: SharedTokenCache, name: Name, owner: str) -> Flow[None]:
    """Become the only one that redeems a session's refresh token; raises :class:`SharedCacheUnavailableError`."""
    end = cache.monotonic() + 2 * _LEAD
    flight = cache.store.expect(name.entry)
    try:
        while True:
            left = yield from _insist_flow(cache, Lead(name, owner, _LEAD, anew=True))
            if left == 0.0:
                return
            if cache.monotonic() >= end:
                raise SharedCacheUnavailableError("another worker has been renewing the session for too long")
            try:
                yield from wait_for(flight, timeout=LOOK_AGAIN)
            except WouldDeadlockError:
                yield from sleep(_PAUSES[0])
            except TimeoutError:
                pass
            flight = expected_again(cache.store, name.entry, flight)
    finally:
        cache.store.expect_no_more(name.entry, flight)


def _insist_flow(cache: SharedTokenCache, operation: Operation) -> Flow[Any]:
    """Return the store's answer, asking again a few times; raises :class:`SharedCacheUnavailableError`."""
    for pause in _PAUSES:
        try:
            return (yield from use(cache.store, operation))
        except StoreError:
            yield from sleep(pause)
    try:
        return (yield from use(cache.store, operation))
    except StoreError as error:
        raise SharedCacheUnavailableError(f"the session's store does not answer ({error})") from error


def _names(cache: SharedTokenCache, secret: bytes) -> tuple[Name, ...]:
    # A tilde, which no other entry's name begins with: what forgets tokens leaves sessions.
    key = secret[:GROUP] + key_of("long-running session", secret)
    return tuple(Name(name.group, f"~{name.entry}") for name in cache.sealer.names(key))


def _secret(cache: SharedTokenCache, text: str) -> bytes:
    """Return what an id names; raises :class:`SessionEndedError` for one that was not made with our keys."""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        sealed = b""
    secret = cache.sealer.open(_ID, sealed)
    if secret is None or len(secret) != 2 * GROUP:
        raise SessionEndedError("the text is not the id of a session of this application")
    return secret


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _readable(data: bytes) -> Record:
    try:
        return Record.decoded(data)
    except ValueError as error:
        raise SessionEndedError("the session's record cannot be read") from error
