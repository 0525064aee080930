"""What an application does beside its requests: call APIs as itself, forget users, go on with their sessions.

Rule of this file: each method has an awaitable and a blocking form over the same flow.
"""

from __future__ import annotations

from typing import Self, cast

import httpx

from credentials.kernel import user_group
from obo_middleware._auth import async_client, blocking_client
from obo_middleware._calls import Binding
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware._lease import NoLease
from obo_middleware._runtime import Runtime
from obo_middleware._settings import Settings
from obo_middleware._user import User
from obo_middleware.errors import ConfigurationError


class OnBehalfOf:
    """Act for an application outside of requests, in the web app's own process or in a worker elsewhere.

    In the web app give it to the middleware, so that both share one cache: ``OnBehalfOfMiddleware(app, obo=obo)``.
    Raises :class:`ConfigurationError` unless ``settings`` is a :class:`Settings`.
    """

    def __init__(self, settings: Settings) -> None:
        self.runtime = Runtime(settings)

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        """Return the same over the runtime of a middleware."""
        obo = cls.__new__(cls)
        obo.runtime = runtime
        return obo

    # The application itself

    def app_client(self, name: str) -> httpx.AsyncClient:
        """Return an ``httpx.AsyncClient`` that calls an API as the application itself, at start-up or from a timer.

        It may be kept for as long as this object is open. Raises :class:`ConfigurationError` if there is no such API.
        """
        return cast(httpx.AsyncClient, async_client(self._binding(name)))

    def blocking_app_client(self, name: str) -> httpx.Client:
        """Return an ``httpx.Client``, as :meth:`app_client` does."""
        return cast(httpx.Client, blocking_client(self._binding(name)))

    def _binding(self, name: str) -> Binding:
        return Binding(self.runtime.source(name, None), NoLease(), self.runtime.target(name))

    # Users

    async def forget(self, user: User | None = None, *, tenant_id: str = "", object_id: str = "") -> None:
        """Forget a user: every token and session of theirs, in this process, in the shared cache and in all workers.

        The user is a :class:`User`, or named by ``tenant_id`` and ``object_id``; their next request is exchanged anew.
        Raises :class:`ConfigurationError` if nobody is named, :class:`SharedCacheUnavailableError` if the others could
        not be told.
        """
        await self.runtime.async_driver.run(self.runtime.forget_flow(_group(user, tenant_id, object_id)))

    def forget_blocking(self, user: User | None = None, *, tenant_id: str = "", object_id: str = "") -> None:
        """Forget a user, as :meth:`forget` does."""
        self.runtime.blocking_driver.run(self.runtime.forget_flow(_group(user, tenant_id, object_id)))

    async def forget_all(self) -> None:
        """Forget every token, as after the application's credential was rotated; sessions stay.

        Raises :class:`SharedCacheUnavailableError` if the shared cache could not be emptied.
        """
        await self.runtime.async_driver.run(self.runtime.forget_flow(b""))

    def forget_all_blocking(self) -> None:
        """Forget every token, as :meth:`forget_all` does."""
        self.runtime.blocking_driver.run(self.runtime.forget_flow(b""))

    # Sessions

    async def resume_session(self, session_id: str) -> AsyncContext:
        """Return the context of a session that a request started: the user, clients and a credential.

        Raises :class:`SessionEndedError` for an id that is not, or no longer, a session's, and
        :class:`SharedCacheUnavailableError`.
        """
        valid = await self.runtime.async_driver.run(self.runtime.sessions.resume_flow(str(session_id)))
        return AsyncContext(self.runtime, valid, until=valid.good_until)

    def resume_session_blocking(self, session_id: str) -> BlockingContext:
        """Return the context of a session, as :meth:`resume_session` does."""
        valid = self.runtime.blocking_driver.run(self.runtime.sessions.resume_flow(str(session_id)))
        return BlockingContext(self.runtime, valid, until=valid.good_until)

    async def end_session(self, session_id: str) -> None:
        """End a session, for every worker; one that is over already is no error."""
        await self.runtime.async_driver.run(self.runtime.sessions.end_flow(str(session_id)))

    def end_session_blocking(self, session_id: str) -> None:
        """End a session, as :meth:`end_session` does."""
        self.runtime.blocking_driver.run(self.runtime.sessions.end_flow(str(session_id)))

    # The end

    def close(self) -> None:
        """Close the blocking connections."""
        self.runtime.close()

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the blocking ones."""
        await self.runtime.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


def runtime_of(settings: Settings | None, obo: OnBehalfOf | None) -> Runtime:
    """Return the runtime of a middleware, made anew or that of the application; raises :class:`ConfigurationError`."""
    if obo is None:
        return Runtime(settings)  # type: ignore[arg-type]  # says itself what is wrong with None
    if settings is not None or not isinstance(obo, OnBehalfOf):
        raise ConfigurationError("settings and obo: give one of them, Settings or an obo_middleware.OnBehalfOf.")
    return obo.runtime


def _group(user: User | None, tenant_id: str, object_id: str) -> bytes:
    if isinstance(user, User):
        tenant_id, object_id = user.tenant_id, user.object_id
    if not all(isinstance(text, str) and text for text in (tenant_id, object_id)):
        raise ConfigurationError("forget needs a User, or tenant_id and object_id: without both nobody is named.")
    return user_group(tenant_id, object_id)
