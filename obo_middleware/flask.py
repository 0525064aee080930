"""The Flask extension: clients, user and credential of the request at hand, and scopes for each route."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

try:
    import flask
except ImportError as error:
    raise ImportError("obo_middleware.flask needs Flask: pip install 'obo-middleware[flask]'") from error

import httpx

from credentials import AsyncTokenCredential, TokenCredential
from credentials.kernel import OnBehalfOfCredential
from obo_middleware import _on_behalf_of as application
from obo_middleware import wsgi
from obo_middleware._context import BlockingContext
from obo_middleware._runtime import Answerable
from obo_middleware._settings import Settings
from obo_middleware._step_up import check_authentication_context, checked_step_up
from obo_middleware._user import User
from obo_middleware.errors import ConfigurationError

__all__ = ["OnBehalfOf"]

P = ParamSpec("P")
R = TypeVar("R")
_KEY = "obo_middleware"


class OnBehalfOf:
    """Make a Flask app act on behalf of its signed-in users.

    Create one beside the app, or call :meth:`init_app` from an application factory; one object may serve
    several apps. The properties and methods are for use inside a request.
    """

    def __init__(self, app: flask.Flask | None = None, settings: Settings | None = None) -> None:
        if app is not None:
            self.init_app(app, settings)

    def init_app(self, app: flask.Flask, settings: Settings | None = None) -> None:
        """Protect an app.

        Without ``settings`` they are taken from ``app.config``: ``OBO_TENANT_ID`` is ``Settings.tenant_id``
        and so on, and what is not there comes from the environment as with :meth:`Settings.from_env`. Raises
        :class:`ConfigurationError` for settings that cannot work, and for a second call.
        """
        if _KEY in app.extensions:
            raise ConfigurationError("init_app was called twice for this app: call it once, where the app is made.")
        middleware = wsgi.OnBehalfOfMiddleware(app.wsgi_app, settings or Settings.from_config(app.config))
        app.extensions[_KEY] = middleware.runtime
        app.wsgi_app = middleware  # type: ignore[method-assign]  # Flask's documented way to add middleware
        for kind in Answerable:
            app.register_error_handler(kind, _answer)

    @property
    def context(self) -> BlockingContext:
        """The context of the request at hand."""
        context: BlockingContext | None = flask.request.environ.get(wsgi.ENVIRON_KEY)
        if context is None:
            raise ConfigurationError("the app is not protected: call init_app(app, settings) where the app is made.")
        return context

    @property
    def user(self) -> User | None:
        """The signed-in user, or None."""
        return self.context.user

    @property
    def credential(self) -> OnBehalfOfCredential:
        """The user's credential, for the clients of the Azure SDK."""
        return self.context.credential

    @property
    def app_credential(self) -> TokenCredential | AsyncTokenCredential:
        """The application's own credential."""
        return self.context.app_credential

    def client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the user."""
        return self.context.client(name)

    def app_client(self, name: str) -> httpx.Client:
        """Return the ``httpx.Client`` that calls an API as the application itself; outside of requests too.

        There it needs an app context, as Flask's commands have one.
        """
        if flask.has_request_context():
            return self.context.app_client(name)
        return self._whole.blocking_app_client(name)

    def forget_blocking(self, user: User | None = None, *, tenant_id: str = "", object_id: str = "") -> None:
        """Forget a user in every worker, as :meth:`obo_middleware.OnBehalfOf.forget` does; needs an app context."""
        self._whole.forget_blocking(user, tenant_id=tenant_id, object_id=object_id)

    def forget_all_blocking(self) -> None:
        """Forget every token, as :meth:`obo_middleware.OnBehalfOf.forget_all` does; needs an app context."""
        self._whole.forget_all_blocking()

    def resume_session_blocking(self, session_id: str) -> BlockingContext:
        """Return the context of a long-running session; needs an app context."""
        return self._whole.resume_session_blocking(session_id)

    def end_session_blocking(self, session_id: str) -> None:
        """End a long-running session; needs an app context."""
        self._whole.end_session_blocking(session_id)

    @property
    def _whole(self) -> application.OnBehalfOf:
        return application.OnBehalfOf.of(flask.current_app.extensions[_KEY])

    def require_scopes(self, *scopes: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator for views that only users whose token has every one of the scopes may call."""
        return _guarding(lambda: self.context.require(*scopes))

    def require_authentication(
        self, *, acr_values: Sequence[str] = (), max_age: int | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator for views that need a sign-in as strong as one of ``acr_values``, or as recent (RFC 9470).

        ``max_age`` is in seconds. Raises :class:`ConfigurationError` for values that would check nothing.
        """
        values = checked_step_up(acr_values, max_age)
        return _guarding(lambda: self.context.require_authentication(acr_values=values, max_age=max_age))

    def require_authentication_context(self, value: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator for views that need an authentication context of Entra, such as ``c1``.

        Raises :class:`ConfigurationError` for a text that is no such id.
        """
        check_authentication_context(value)
        return _guarding(lambda: self.context.require_authentication_context(value))


def _guarding(check: Callable[[], User]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for views before each of which the check is made."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            check()
            # Flask takes this for a plain function, and would answer with the coroutine of an `async def` view.
            result: R = flask.current_app.ensure_sync(view)(*args, **kwargs)
            return result

        return guarded

    return decorate


def _answer(error: Exception) -> flask.Response:
    context = flask.request.environ[wsgi.ENVIRON_KEY]
    reply = context.answer_to(error)
    return flask.Response(reply.body, status=reply.status, headers=list(reply.headers))
