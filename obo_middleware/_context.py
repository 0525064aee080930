"""What a handler finds in its request: the user, and clients and credentials that act as that user.

Rules of this file: a context belongs to one request; everything made from it stops working when that request
ends; nothing is made before it is asked for; and it knows nothing that knows it, such as its request, so that it goes
from memory with its request and waits for no collector.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

import httpx

from credentials import AsyncTokenCredential, ClientAuthenticationError, TokenCredential
from credentials.kernel import AsyncOnBehalfOfCredential, Flow, OnBehalfOfCredential
from obo_middleware._auth import async_client, blocking_client
from obo_middleware._calls import Binding
from obo_middleware._challenge import Reply
from obo_middleware._lease import Lease
from obo_middleware._sessions import LIFETIME, Session
from obo_middleware._step_up import age_of_sign_in, check_authentication_context, checked_step_up
from obo_middleware._user import User
from obo_middleware._validation import Validated
from obo_middleware.errors import (
    AuthenticationContextError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    MissingTokenError,
    OboError,
    answer_for,
)

if TYPE_CHECKING:
    from obo_middleware._runtime import Runtime

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", OnBehalfOfCredential, AsyncOnBehalfOfCredential)


class Context:
    """Hold what one request may do in the name of its user. ``user`` is None for a request without a token.

    A context that outlives its request, detached or resumed, may be used in a ``with`` statement, which ends it.
    """

    __slots__ = ("_clients", "_lease", "_runtime", "_trace", "_valid", "refusal", "user")

    def __init__(
        self,
        runtime: Runtime,
        valid: Validated | None,
        *,
        until: float | None = None,
        trace: str | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.refusal: Exception | None = None
        self.user: User | None = None if valid is None else valid.user
        self._runtime = runtime
        self._valid = valid
        self._lease = lease or Lease(runtime.settings.clock, until)
        self._trace = trace
        self._clients: dict[tuple[str, bool, bool], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def require(self, *scopes: str) -> User:
        """Return the user if their token grants every one of the scopes.

        Raises :class:`MissingTokenError` if there is no user, :class:`InsufficientScopeError` if a scope is
        missing.
        """
        user = self._signed_in().user
        if not user.scopes.issuperset(scopes):
            raise InsufficientScopeError("the token lacks a scope that the route needs", scopes=scopes)
        return user

    def require_authentication(self, *, acr_values: Sequence[str] = (), max_age: int | None = None) -> User:
        """Return the user if their sign-in is strong and recent enough (RFC 9470); ``max_age`` is in seconds.

        Raises :class:`InsufficientUserAuthenticationError` otherwise, :class:`MissingTokenError` if there is
        no user, :class:`ConfigurationError` for a call that would check nothing.
        """
        acr_values = checked_step_up(acr_values, max_age)
        user = self._signed_in().user
        strong = not acr_values or user.claims.get("acr") in acr_values
        recent = max_age is None or age_of_sign_in(user, self._runtime.settings.clock()) <= max_age
        if not (strong and recent):
            raise InsufficientUserAuthenticationError(
                "the sign-in is too weak or too old for the route", acr_values=acr_values, max_age=max_age
            )
        return user

    def require_authentication_context(self, value: str) -> User:
        """Return the user if their sign-in satisfied an authentication context of Entra, such as ``c1``.

        Raises :class:`AuthenticationContextError` otherwise, which asks the client for it in a claims challenge,
        :class:`InsufficientScopeError` for a user of another issuer, and :class:`MissingTokenError` if there is no
        user.
        """
        check_authentication_context(value)
        valid = self._signed_in()
        user = valid.user
        if not valid.exchangeable:
            # The claim of that name says something else there, or the issuer lets its users write it.
            raise InsufficientScopeError(
                f"the user signed in at {user.issuer}, which knows no authentication context of Entra"
            )
        held = user.claims.get("acrs")
        if value not in (held if isinstance(held, list | tuple) else [held]):
            claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": value}}})
            raise AuthenticationContextError(
                "the sign-in has not the authentication context of the route", claims=claims
            )
        return user

    def detach(self) -> Self:
        """Return a context of the same user that goes on after the request, for work in the background.

        It ends with :meth:`end`, at the end of a ``with`` statement, or with the access token that came with the
        request; ``start_session`` is for what takes longer. Raises :class:`RequestEndedError` if the request is over.
        """
        lease = self._lease.detached(None if self.user is None else self.user.expires_on)
        return type(self)(self._runtime, self._valid, trace=self._trace, lease=lease)

    def answer_to(self, error: Exception) -> Reply:
        """Return the answer that the middleware gives to an error: ``status``, ``headers`` as pairs, ``body`` in bytes.

        For frameworks that answer every error themselves: their handler of :class:`OboError` answers with this.
        """
        return self._runtime.reply(error, self.user, self._trace)

    def binding(self, name: str, *, as_user: bool) -> Binding:
        """Return what a client for an API is made of, for adapters to other HTTP libraries.

        Raises :class:`ConfigurationError` if there is no such API, :class:`MissingTokenError` if there is no user.
        """
        runtime = self._runtime
        valid = self._signed_in() if as_user else None
        return Binding(runtime.source(name, valid), self._lease, runtime.target(name), self._trace)

    def begin(self) -> None:
        """Begin the request: from now on its task or thread can use no other request's clients."""
        self._lease.begin()

    def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do one step of a request that is not handled in one go: only within it is this the request at hand."""
        return self._lease.run(step, *args, **kwargs)

    def steps(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the parts of an answer, each in a step: servers may ask for those of several by turns (PEP 3333)."""
        try:
            source = self.run(iter, parts)
            while True:
                yield self.run(next, source)
        except StopIteration:
            return

    def end(self) -> None:
        """End the request: every client and credential made from this context refuses from now on."""
        self._lease.end()

    def _start_flow(self, api: str | None, lifetime: float) -> Flow[Session]:
        self._lease.check()
        return (yield from self._runtime.sessions.start_flow(self._signed_in(), api, lifetime))

    def _signed_in(self) -> Validated:
        if self._valid is None:
            raise MissingTokenError
        return self._valid

    def _client(self, name: str, *, as_user: bool, blocking: bool) -> Any:
        key = (name, as_user, blocking)
        client = self._clients.get(key)
        if client is None:
            make = blocking_client if blocking else async_client
            client = self._clients[key] = make(self.binding(name, as_user=as_user))
        return client

    def _credential(self, kind: type[C]) -> C:
        runtime, valid = self._runtime, self._signed_in()
        runtime.check_exchangeable(valid)
        return kind.of(
            runtime.client,
            runtime.pool,
            valid.assertion,
            tenant_id=runtime.tenant_of(valid),
            check=self._lease.check,
        )


class AsyncContext(Context):
    """Hold what one request to an ASGI app may do in the name of its user.

    Every method that takes an API's name raises :class:`ConfigurationError` if there is no such API; what
    acts as the user raises :class:`MissingTokenError` if there is none.
    """

    __slots__ = ()

    def answer_with(self, error: Exception) -> None:
        """Have the middleware answer the request with an error, in place of whatever the app sends from now on.

        For code that cannot let the error through, and whose framework answers the request for it, such as the tools of
        an MCP server. An answer that has begun stays as it is.
        """
        self.refusal = error

    @contextlib.contextmanager
    def answering(self) -> Iterator[Self]:
        """Have the middleware answer the request with an error of this package that leaves the ``with`` block.

        The block raises an :class:`OboError` in its place, whose text is what clients may read.
        """
        try:
            yield self
        except (OboError, ClientAuthenticationError) as error:
            self.answer_with(error)
            answer = answer_for(error) if isinstance(error, ClientAuthenticationError) else error
            raise OboError(answer.title) from error

    def client(self, name: str) -> httpx.AsyncClient:
        """Return the ``httpx.AsyncClient`` that calls an API as the user."""
        return cast(httpx.AsyncClient, self._client(name, as_user=True, blocking=False))

    def blocking_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the user, for endpoints that are plain functions."""
        return cast(httpx.Client, self._client(name, as_user=True, blocking=True))

    def app_client(self, name: str) -> httpx.AsyncClient:
        """Return the ``httpx.AsyncClient`` that calls an API as the application itself."""
        return cast(httpx.AsyncClient, self._client(name, as_user=False, blocking=False))

    def blocking_app_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the application itself, for plain functions."""
        return cast(httpx.Client, self._client(name, as_user=False, blocking=True))

    async def start_session(self, api: str | None = None, *, lifetime: float = LIFETIME) -> Session:
        """Start a session in which a worker goes on for the user when this request and its token are gone.

        ``api`` is the API to ask consent for, by default the first one; ``lifetime`` is in seconds, at most 90 days.
        Needs ``Settings(token_store=...)``. Raises :class:`SharedCacheUnavailableError` and the errors of an exchange.
        """
        return await self._runtime.async_driver.run(self._start_flow(api, lifetime))

    def start_session_blocking(self, api: str | None = None, *, lifetime: float = LIFETIME) -> Session:
        """Start a session, as :meth:`start_session` does, in an endpoint that is a plain function."""
        return self._runtime.blocking_driver.run(self._start_flow(api, lifetime))

    @property
    def credential(self) -> AsyncOnBehalfOfCredential:
        """The user's credential, for the awaitable clients of the Azure SDK."""
        return self._credential(AsyncOnBehalfOfCredential)

    @property
    def blocking_credential(self) -> OnBehalfOfCredential:
        """The user's credential, for the blocking clients of the Azure SDK."""
        return self._credential(OnBehalfOfCredential)

    @property
    def app_credential(self) -> TokenCredential | AsyncTokenCredential:
        """The application's own credential: ``Settings.app_credential``, or an awaitable client credential."""
        return self._runtime.app_credential(blocking=False)


class BlockingContext(Context):
    """Hold what one request to a WSGI app may do in the name of its user; errors as in :class:`AsyncContext`."""

    __slots__ = ()

    def client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the user."""
        return cast(httpx.Client, self._client(name, as_user=True, blocking=True))

    def app_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the application itself."""
        return cast(httpx.Client, self._client(name, as_user=False, blocking=True))

    def start_session(self, api: str | None = None, *, lifetime: float = LIFETIME) -> Session:
        """Start a session in which a worker goes on for the user, as :meth:`AsyncContext.start_session` does."""
        return self._runtime.blocking_driver.run(self._start_flow(api, lifetime))

    @property
    def credential(self) -> OnBehalfOfCredential:
        """The user's credential, for the clients of the Azure SDK."""
        return self._credential(OnBehalfOfCredential)

    @property
    def app_credential(self) -> TokenCredential | AsyncTokenCredential:
        """The application's own credential: ``Settings.app_credential``, or a blocking client credential."""
        return self._runtime.app_credential(blocking=True)
