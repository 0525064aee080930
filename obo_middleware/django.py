"""The Django middleware: ``request.obo``, in views that are plain functions and in ``async`` ones, by WSGI and ASGI.

Facts: the documents of Django 5.2, "Middleware" (asynchronous support, ``process_exception``) and "Request and response
objects" (``HttpResponse.close``); the ASGI specification 3.0 (Lifespan).

Rule of this file: a request's context lives until its response is closed, or its stream has ended. By ASGI Django does
not close a response whose stream fails.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

try:
    import django.conf
    import django.core.asgi
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.core.handlers.asgi import ASGIRequest
    from django.http import FileResponse, HttpRequest, HttpResponse
except ImportError as error:
    raise ImportError("obo_middleware.django needs Django: pip install 'obo-middleware[django]'") from error

from obo_middleware._challenge import Reply
from obo_middleware._context import AsyncContext, BlockingContext, Context
from obo_middleware._environ import AUTHORIZATION, key_of, trace_of, values_of
from obo_middleware._lifespan import live
from obo_middleware._on_behalf_of import OnBehalfOf
from obo_middleware._runtime import Runtime, answerable_in
from obo_middleware._settings import Settings
from obo_middleware._urls import wrong
from obo_middleware._validation import Validated
from obo_middleware.asgi import App, Receive, Scope, Send
from obo_middleware.errors import ConfigurationError

__all__ = ["OnBehalfOfMiddleware", "context_of", "get_asgi_application", "on_behalf_of", "require_scopes"]

P = ParamSpec("P")
R = TypeVar("R")


class OnBehalfOfMiddleware:
    """Validate the bearer token of every request, and give views the user's context as ``request.obo``.

    It is an :class:`AsyncContext` where the server speaks ASGI, whose views may be of both kinds, and a
    :class:`BlockingContext` where it speaks WSGI. Put it before every middleware that answers requests itself. The
    settings are ``OBO`` in the project's, a :class:`Settings` or an :class:`obo_middleware.OnBehalfOf`, or else what
    stands there under names with ``OBO_`` before them, and in the environment. Raises :class:`ConfigurationError`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._runtime = on_behalf_of().runtime
        self._awaits = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Run the rest of the project for one request, or answer in its place."""
        return self._handle_async(request) if self._awaits else self._handle(request)

    # The twins: the same steps, once blocking and once awaitable.

    def _handle(self, request: HttpRequest) -> HttpResponse:
        runtime, asked = self._runtime, _Asked(request, self._runtime.proxy_header)
        published = runtime.published(asked.path, asked.method)
        if published is not None:
            return _response(published, request)
        try:
            valid = runtime.known(*asked.known) or runtime.blocking_driver.run(runtime.admit_flow(*asked.known))
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, nobody must get past it
            return _response(runtime.reply(error, None, trace_of(request.META)), request)
        context = request.obo = asked.context(runtime, valid)
        try:
            return _ending(context.run(self._get_response, request), context)
        except BaseException:
            context.end()
            raise

    async def _handle_async(self, request: HttpRequest) -> HttpResponse:
        runtime, asked = self._runtime, _Asked(request, self._runtime.proxy_header)
        published = runtime.published(asked.path, asked.method)
        if published is not None:
            return _response(published, request)
        try:
            valid = runtime.known(*asked.known) or await asked.admitted(runtime)
        except Exception as error:  # noqa: BLE001  # see above
            return _response(runtime.reply(error, None, trace_of(request.META)), request)
        context = request.obo = asked.context(runtime, valid)
        context.begin()
        try:
            return _ending(await self._get_response(request), context)
        except BaseException:
            context.end()
            raise

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer an error of this package that a view lets through; any other is Django's."""
        answer = answerable_in(exception)
        return None if answer is None else _response(request.obo.answer_to(answer), request)


class _Asked:
    """What the runtime wants to know of a request; of headers that came twice Django joins the values with a comma."""

    def __init__(self, request: HttpRequest, proxy_header: str) -> None:
        self._meta = request.META
        # By the server, not by the colour of the code here: one middleware behind this one can change that.
        self._by_asgi = isinstance(request, ASGIRequest)
        # As the project's URLs are matched: decoded, with the prefix under which the server has the project.
        self.path: str = request.path
        self.method = str(request.method)
        proxied = values_of(self._meta, key_of(proxy_header)) if proxy_header else []
        self.known = (values_of(self._meta, AUTHORIZATION), self.path, self.method, proxied)

    async def admitted(self, runtime: Runtime) -> Validated | None:
        # By WSGI, `async` code has a loop for one request alone, whose connections nobody would close.
        return (
            await runtime.async_driver.run(runtime.admit_flow(*self.known))
            if self._by_asgi
            else runtime.blocking_driver.run(runtime.admit_flow(*self.known))
        )

    def context(self, runtime: Runtime, valid: Validated | None) -> Context:
        kind = AsyncContext if self._by_asgi else BlockingContext
        return kind(runtime, valid, trace=trace_of(self._meta))


def _ending(response: HttpResponse, context: Context) -> HttpResponse:
    """Have the context end with its response, which servers close when they have sent all of it, or give up."""
    if response.streaming and not isinstance(response, FileResponse):  # which some servers send without reading it
        parts = response.streaming_content
        response.streaming_content = (_parts_async if response.is_async else _parts)(parts, context)
    close = response.close

    def close_and_end() -> None:
        try:
            close()
        finally:
            context.end()
            vars(response).pop("close", None)  # else the response would hold itself, and so wait for the collector

    response.close = close_and_end
    return response


def _parts(parts: Iterable[bytes], context: Context) -> Iterator[bytes]:
    try:
        yield from context.steps(parts)
    finally:
        context.end()


async def _parts_async(parts: AsyncIterable[bytes], context: Context) -> AsyncIterator[bytes]:
    context.begin()  # here too: a middleware may have the request handled elsewhere than its answer is sent
    try:
        async for part in parts:
            yield part
    finally:
        context.end()


def _response(reply: Reply, request: HttpRequest) -> HttpResponse:
    # RFC 9110 section 9.3.2: an answer to HEAD has no content, and not every server sees to that.
    body = b"" if request.method == "HEAD" else reply.body
    return HttpResponse(body, status=reply.status, headers=dict(reply.headers))


# The project's one runtime


_lock = threading.Lock()
_made: list[tuple[object, OnBehalfOf]] = []


def on_behalf_of() -> OnBehalfOf:
    """Return the project's :class:`obo_middleware.OnBehalfOf`, for calls as the application and for forgetting users.

    Raises :class:`ConfigurationError` for settings that cannot work.
    """
    project = django.conf.settings
    given = getattr(project, "OBO", None)
    if isinstance(given, OnBehalfOf):
        return given
    if given is not None and not isinstance(given, Settings):
        raise wrong("OBO", f"is a {type(given).__name__}", "give obo_middleware.Settings, or an OnBehalfOf")
    named = {name: getattr(project, name) for name in dir(project) if name.startswith("OBO_")}
    # Django hides settings in its pages and mails about errors by their names, and this one is not among them.
    if isinstance(named.get("OBO_CLIENT_CREDENTIAL"), str):
        raise wrong(
            "OBO_CLIENT_CREDENTIAL",
            "is a plain text, which Django shows in its pages and mails about errors",
            "give obo_middleware.ClientSecret(...), or leave it out and set AZURE_CLIENT_SECRET in the environment",
        )
    source = named if given is None else given
    with _lock:
        # Django makes the middleware anew for each handler, and each client of its tests has one.
        if not _made or not (_made[0][0] is source or (given is None and _made[0][0] == named)):
            _made[:] = [(source, OnBehalfOf(Settings.from_config(named) if given is None else given))]
        return _made[0][1]


def get_asgi_application() -> App:
    """Return the project as an ASGI app that begins and ends with its server; use it in place of Django's own.

    Django's does not know the Lifespan protocol, by which keys are fetched before the first request, and connections
    are closed after the last one.
    """
    project_app: Any = django.core.asgi.get_asgi_application()
    runtime = on_behalf_of().runtime

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(runtime, _ready, scope, receive, send)
        else:
            await project_app(scope, receive, send)

    return app


async def _ready(_scope: Scope, receive: Receive, send: Send) -> None:
    """Be the lifespan of an app that has nothing to do at its start and at its end."""
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})


def context_of(request: Any) -> Context:
    """Return a request's context; raises :class:`ConfigurationError` if the middleware is not in the project."""
    context: Context | None = getattr(request, "obo", None)
    if context is None:
        raise ConfigurationError(
            "the project is not protected: add 'obo_middleware.django.OnBehalfOfMiddleware' to MIDDLEWARE."
        )
    return context


def require_scopes(*scopes: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for views, plain or ``async``, that only users whose token has every scope may call.

    Of a class it decorates ``dispatch``, with Django's ``method_decorator``. The view raises :class:`MissingTokenError`
    and :class:`InsufficientScopeError`, which the middleware answers.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                context_of(args[0]).require(*scopes)
                awaited: Awaitable[Any] = view(*args, **kwargs)
                return await awaited

            return guarded_async  # type: ignore[return-value]  # a coroutine function, as the view is

        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            context_of(args[0]).require(*scopes)
            return view(*args, **kwargs)

        return guarded

    return decorate
