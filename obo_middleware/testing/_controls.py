"""What a test tells the provider: consent, conditional access, revocation, keys, faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ._errors import EntraError
from ._faults import CannedAnswer, Faults, outage_headers
from ._grant import DEFAULT
from ._jws import POOL
from ._provider import Provider
from ._records import TokenRequest
from ._registrations import Application, User
from ._state import State

ENDPOINTS = ("token", "metadata", "jwks", "instance", "authorize", "login", "logout")
"""Names of LocalEntra's endpoints, for faults and counters."""


class Controls:
    """The part of LocalEntra that changes how it behaves."""

    _state: State
    _faults: Faults
    _provider: Provider

    # Policies

    def require_consent(self, user: str | User, app: Application, scopes: Iterable[str]) -> None:
        """Take back the consent of a user to an app's scopes (`User.Read`, `api://…/name`): AADSTS65001."""
        self._consent(user, app, scopes, given=False)

    def grant_consent(self, user: str | User, app: Application, scopes: Iterable[str]) -> None:
        """Let a user consent to an app's scopes."""
        self._consent(user, app, scopes, given=True)

    def _consent(self, user: str | User, app: Application, scopes: Iterable[str], *, given: bool) -> None:
        with self._provider.lock:
            who = self._state.user(user).object_id
            for scope in scopes:
                wanted = self._provider.scopes(scope)
                resource, names = wanted.resource.client_id, wanted.names
                if names == (DEFAULT,):
                    names = app.delegated.get(resource, ())
                for name in names:
                    self._state.consents[who, app.client_id, resource, name] = given

    def require_mfa(self, user: str | User | None = None, resource: Application | None = None) -> None:
        """Ask a user (None: everybody) for more than one factor at a resource (None: any): AADSTS50076.

        An incoming token whose `amr` has `mfa` satisfies the rule.
        """
        with self._provider.lock:
            self._state.mfa_rules.add(self._rule(user, resource))

    def forgive_mfa(self, user: str | User | None = None, resource: Application | None = None) -> None:
        """Take a rule of `require_mfa` back."""
        with self._provider.lock:
            self._state.mfa_rules.discard(self._rule(user, resource))

    def _rule(self, user: str | User | None, resource: Application | None) -> tuple[str | None, str | None]:
        who = None if user is None else self._state.user(user).object_id
        return who, None if resource is None else resource.client_id

    def revoke(self, user: str | User, *, end_session: bool = False) -> int:
        """Make all tokens a user has so far worthless at LocalGraph; return the epoch second of it.

        A client that then sends the claims of LocalGraph's challenge gets a token that works, unless the
        session ended too: then every exchange of an older token is answered with AADSTS50173.
        """
        with self._provider.lock:
            return self._state.revoke(self._state.user(user), self._provider.clock(), ended=end_session)

    def rotate_keys(self, *, withdraw_old: bool = False) -> None:
        """Sign with a new key; the old ones stay published unless they are withdrawn."""
        key = POOL.borrow()
        with self._provider.lock:
            self._state.rotate(key, withdraw_old=withdraw_old)

    # Faults

    @property
    def think_time(self) -> float:
        """Return how long the token endpoint thinks before it answers, in seconds; can be set."""
        return self._faults.think_time

    @think_time.setter
    def think_time(self, seconds: float) -> None:
        self._faults.think_time = seconds

    def throttle(self, retry_after: float | str | None = None, *, times: int | None = None) -> None:
        """Answer token requests with 429, so many `times` or for ever; `retry_after` is seconds or a date."""
        self._refuse(EntraError(90055, "The request has been throttled."), 429, retry_after, ("token",), times)

    def outage(
        self,
        status: int = 503,
        retry_after: float | str | None = None,
        *,
        endpoints: tuple[str, ...] = ("token",),
        times: int | None = None,
    ) -> None:
        """Answer with an error of the service; `endpoints` are names of `ENDPOINTS`."""
        error = EntraError(90033, "A transient error has occurred. Please try again.")
        self._refuse(error, status, retry_after, endpoints, times)

    def _refuse(
        self,
        error: EntraError,
        status: int,
        retry_after: float | str | None,
        endpoints: tuple[str, ...],
        times: int | None,
    ) -> None:
        body = error.body(self._state.authority, self._provider.clock())
        self._faults.add(endpoints, CannedAnswer(status, outage_headers(retry_after), body), times)

    def drop_connections(self, *, endpoints: tuple[str, ...] = ("token",), times: int | None = None) -> None:
        """Cut the connection of requests without an answer."""
        self._faults.add(endpoints, None, times)

    def answer_once(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        endpoint: str = "token",
    ) -> None:
        """Answer the next request to an endpoint with arbitrary bytes."""
        self._faults.add((endpoint,), CannedAnswer(status, headers or {}, body), 1)

    def forget_faults(self) -> None:
        """Forget all faults and the think time; policies stay."""
        self._faults.forget()

    # Records

    @property
    def token_requests(self) -> list[TokenRequest]:
        """Return the latest requests to the token endpoint, oldest first (10 000 are kept)."""
        return self._provider.records.latest()

    @property
    def exchanges(self) -> int:
        """Return how many on-behalf-of requests succeeded since the last reset."""
        return self._provider.records.counted("exchanges")

    def requests_to(self, endpoint: str) -> int:
        """Return how many requests an endpoint of `ENDPOINTS` got since the last reset."""
        if endpoint not in ENDPOINTS:
            raise ValueError(f"no endpoint {endpoint!r}; there are {', '.join(ENDPOINTS)}")
        return self._provider.records.counted(endpoint)
