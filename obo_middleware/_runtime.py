"""The composition root: from settings to everything that runs, and to its end.

Rule of this file: what is shared by all requests is made here, once, when the application starts; nothing
here belongs to one user.
"""

from __future__ import annotations

import atexit
import logging
import threading
import weakref

from credentials import AsyncTokenCredential, ClientAuthenticationError, TokenCredential
from credentials.kernel import (
    ApplicationCredential,
    AsyncApplicationCredential,
    AsyncDriver,
    BlockingDriver,
    ConfidentialClient,
    ConnectionPool,
    Flow,
    StoreError,
    TokenEngine,
    call,
    event,
    scrub,
    use,
    with_advice,
)
from obo_middleware._admission import Admission
from obo_middleware._calls import Target, TokenSource
from obo_middleware._challenge import Reply, metadata_reply, reply_to
from obo_middleware._downstream_api import DownstreamApi
from obo_middleware._sessions import Sessions
from obo_middleware._settings import Settings
from obo_middleware._shared_cache import SharedTokenCache
from obo_middleware._sources import ClientSource, ForeignSource
from obo_middleware._started import say_started
from obo_middleware._trace import request_event
from obo_middleware._user import User
from obo_middleware._validation import TokenValidator, Validated
from obo_middleware.errors import (
    ConfigurationError,
    InsufficientScopeError,
    OboError,
    RefusedRequestError,
    SharedCacheUnavailableError,
    UnusableUpstreamError,
    UpstreamUnavailableError,
    answer_for,
)

_logger = logging.getLogger("obo_middleware")

Answerable = (OboError, ClientAuthenticationError)
"""The errors that the middleware answers when a handler lets them through."""


def answerable_in(raised: BaseException) -> Exception | None:
    """Return the error to answer: the one raised, or the first of a group that has none of another kind."""
    if not isinstance(raised, BaseExceptionGroup):
        return raised if isinstance(raised, Answerable) else None
    answers = [answerable_in(error) for error in raised.exceptions]
    return None if None in answers else answers[0]


_open: weakref.WeakSet[Runtime] = weakref.WeakSet()


@atexit.register
def close_at_exit() -> None:
    """Close the blocking connections of all applications: servers of WSGI do not tell an app that it ends."""
    for runtime in list(_open):
        runtime.close()


class Runtime:
    """Hold what an application shares between its requests: pool, token engine, validator, and the APIs to call."""

    def __init__(self, settings: Settings) -> None:
        if not isinstance(settings, Settings):
            raise ConfigurationError(f"settings is a {type(settings).__name__}: give an obo_middleware.Settings.")
        self.settings = settings
        self.pool = ConnectionPool(library=settings.http, ssl_context=settings.ssl_context, http2=settings.http2)
        self.blocking_driver = BlockingDriver(self.pool)
        self.async_driver = AsyncDriver(self.pool)
        self.store = settings.store
        self.shared = None if self.store is None else SharedTokenCache(self.store, clock=settings.clock)
        self.engine = TokenEngine(
            cache_size=settings.cache_size, clock=settings.clock, shared=self.shared, observer=settings.telemetry
        )
        self.validator = TokenValidator(settings, self.engine.observer)
        self.sessions = Sessions(self)
        if self.store is not None:
            self.store.listen(self._heard)
        self.client = ConfidentialClient(
            authority=settings.parsed_authority,
            tenant_id=settings.tenant_id,
            client_id=settings.client_id,
            authentication=settings.authentication,
            engine=self.engine,
            additionally_allowed_tenants=settings.allowed_tenants,
        )
        resource = settings.protected_resource
        self._metadata_path = None if resource is None else resource.metadata_path
        self.proxy_header = (settings.proxy_token_header or "").lower()
        apis, watching = settings.downstream_apis.items(), self.engine.observer
        self._targets = {name: Target(self.pool, api, settings.clock, name, watching) for name, api in apis}
        self._app_sources = {name: self._app_source(name, api) for name, api in apis}
        self._said = threading.Lock()  # taken by the one that says with which settings this runs
        admission = Admission(settings, self.validator, watching, self.start)
        self.known, self.admit_flow = admission.known, admission.admit_flow
        _open.add(self)

    # What a request needs before its handler runs.

    def published(self, path: str, method: str) -> Reply | None:
        """Return the answer to a request for the API's own metadata (RFC 9728), or None for any other request."""
        resource = self.settings.protected_resource
        if resource is None or path != self._metadata_path:
            return None
        return metadata_reply(resource, self.settings, method)

    def start(self) -> None:
        """Say in the log, once, with which settings this runs."""
        if self._said.acquire(blocking=False):
            say_started(self.settings)

    def warm_up_flow(self) -> Flow[None]:
        """Fetch metadata and keys, so that no user waits for them; a provider that is down now may be up later.

        Raises :class:`ConfigurationError` for a shared cache that refuses our password or keys.
        """
        self.start()
        if self.store is not None:
            yield from call(self.store.check)
        for issuer in self.validator.issuers.values():
            try:
                yield from issuer.metadata_flow()
            except UpstreamUnavailableError as error:
                extra = event("obo.metadata.unavailable_at_start", error)
                _logger.warning(
                    "the provider is not available at start, requests will try again: %s", error, extra=extra
                )

    # Who is forgotten.

    def forget_flow(self, group: bytes) -> Flow[None]:
        """Forget a user in this process and in all others, without a group everybody.

        Raises :class:`SharedCacheUnavailableError` if the others could not be told.
        """
        self._forget_here(group)
        if self.shared is not None:
            try:
                yield from use(self.shared.store, self.shared.told(group))
            except StoreError as error:
                raise SharedCacheUnavailableError(
                    f"the other processes could not be told to forget ({error}): do it again"
                ) from error

    def _heard(self, news: bytes) -> None:
        heard = None if self.shared is None else self.shared.heard(news)
        if heard is not None:
            self._forget_here(*heard)

    def _forget_here(self, group: bytes, at: float | None = None) -> None:
        self.engine.forget(group, at)
        self.validator.forget(group)

    # What a context makes its clients from.

    def target(self, name: str) -> Target:
        """Return the API of that name; raises :class:`ConfigurationError` if there is none."""
        target = self._targets.get(name)
        if target is None:
            known = ", ".join(self._targets) or "none"
            raise ConfigurationError(
                f"downstream_apis has no API {name!r}, it has {known}: correct the name or add it."
            )
        return target

    def source(self, name: str, valid: Validated | None) -> TokenSource:
        """Return where the tokens for an API come from: a user's exchange, or without a user the application."""
        target = self.target(name)
        if valid is None:
            self.start()
            self._check_app()
            return self._app_sources[name]
        self.check_exchangeable(valid)
        scopes, cae = tuple(target.api.scopes), self.settings.enable_cae
        query = self.client.query(scopes, tenant_id=self.tenant_of(valid), enable_cae=cae, label=name)
        return ClientSource(self.client, query, valid.assertion)

    def check_exchangeable(self, valid: Validated) -> None:
        """Raise :class:`InsufficientScopeError` for another issuer's user, whose token the provider must not see."""
        if not valid.exchangeable:
            raise InsufficientScopeError(
                f"the user signed in at {valid.user.issuer}, whose tokens cannot be exchanged at the authority"
            )

    def tenant_of(self, valid: Validated) -> str | None:
        """Return the tenant to ask for a user's tokens, or None for the application's only tenant."""
        return valid.user.tenant_id if self.settings.many_tenants else None

    def app_credential(self, *, blocking: bool) -> TokenCredential | AsyncTokenCredential:
        """Return the credential for calls as the application itself."""
        own = self.settings.app_credential
        if own is not None:
            return own
        self._check_app()
        kind = ApplicationCredential if blocking else AsyncApplicationCredential
        return kind.of(self.client, self.pool)

    def _check_app(self) -> None:
        if self.settings.many_tenants and self.settings.app_credential is None:
            raise ConfigurationError(
                f"app_credential is missing, but tenant_id {self.settings.tenant_id!r} names no tenant to call as the "
                "application in: give Settings(app_credential=ClientSecretCredential(tenant_id, client_id, secret))."
            )

    # How errors end.

    def reply(self, error: Exception, user: User | None, trace: str | None = None) -> Reply:
        """Return the answer to an error that a handler let through, and log what the client is not told.

        ``trace`` is the request's ``traceparent``, whose id the log record has.
        """
        answer = answer_for(error) if isinstance(error, ClientAuthenticationError) else error
        if not isinstance(answer, OboError):
            answer = OboError(type(error).__name__)
        name = type(answer).__name__
        text = with_advice(scrub(str(answer)), error)  # scrubbed: a handler may have put anything into its error
        serious = isinstance(answer, (ConfigurationError, RefusedRequestError)) or type(answer) is OboError
        if serious and not answer.logged:
            extra = request_event("obo.request.failed", error, trace)
            _logger.error("%s: %s", name, text, exc_info=error, extra=extra)
        elif isinstance(answer, (UpstreamUnavailableError, UnusableUpstreamError)):
            _logger.warning("%s: %s", name, text, extra=request_event("obo.request.upstream_failed", error, trace))
        else:
            _logger.info("%s: %s", name, text, extra=request_event("obo.request.refused", error, trace))
        return reply_to(answer, self.settings, user)

    def close(self) -> None:
        """Close the blocking connections."""
        for pool in self._pools():
            pool.close()
        if self.store is not None:
            self.store.close()

    async def aclose(self) -> None:
        """Close all connections of this event loop, and the blocking ones."""
        for pool in self._pools():
            await pool.aclose()
        if self.store is not None:
            await self.store.aclose()
        self.close()

    def _pools(self) -> tuple[ConnectionPool, ...]:
        return (self.pool, *self.client.pools)

    def _app_source(self, name: str, api: DownstreamApi) -> TokenSource:
        cae = self.settings.enable_cae
        own = self.settings.app_credential
        if own is not None:
            return ForeignSource.of(self.engine, own, api.app_scopes, enable_cae=cae, label=name)
        return ClientSource(self.client, self.client.query(tuple(api.app_scopes), enable_cae=cae, label=name))
