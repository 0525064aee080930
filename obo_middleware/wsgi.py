"""Middleware for any WSGI app: Flask, Django, Bottle, Pyramid and plain ones. It needs no framework.

Facts: PEP 3333. The Flask extension in :mod:`obo_middleware.flask` uses this middleware.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from obo_middleware._challenge import Reply
from obo_middleware._context import BlockingContext
from obo_middleware._environ import AUTHORIZATION, key_of, trace_of, values_of
from obo_middleware._on_behalf_of import OnBehalfOf, runtime_of
from obo_middleware._runtime import Answerable
from obo_middleware._settings import Settings

__all__ = ["ENVIRON_KEY", "OnBehalfOfMiddleware"]

ENVIRON_KEY = "obo_middleware.context"
"""The key of the request's context in the WSGI environment."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class OnBehalfOfMiddleware:
    """Validate the bearer token of every request and give the app the user's context.

    The context is at ``environ["obo_middleware.context"]``. ``obo`` takes the place of ``settings`` where the
    application has an :class:`OnBehalfOf`. Raises :class:`ConfigurationError` unless it is given one of them.
    """

    def __init__(self, app: App, settings: Settings | None = None, *, obo: OnBehalfOf | None = None) -> None:
        self._app = app
        self.runtime = runtime_of(settings, obo)
        self._proxy_key = key_of(self.runtime.proxy_header)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app for one request, or answer in its place."""
        environ.pop(ENVIRON_KEY, None)
        published = self.runtime.published(_path_of(environ), environ["REQUEST_METHOD"])
        if published is not None:
            return _answer(published, environ, start_response)
        try:
            context = self._context(environ)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, nobody must get past it
            return _answer(self.runtime.reply(error, None, trace_of(environ)), environ, start_response)
        environ[ENVIRON_KEY] = context
        late = functools.partial(self._answer_late, context, environ, start_response)
        try:
            return _Body(context.run(self._app, environ, start_response), context, late)
        except Answerable as error:
            context.end()
            return late(error)
        except BaseException:
            context.end()
            raise

    def _context(self, environ: Environ) -> BlockingContext:
        runtime = self.runtime
        values = values_of(environ, AUTHORIZATION)
        proxied = values_of(environ, self._proxy_key) if runtime.proxy_header else []
        path, method = _path_of(environ), environ["REQUEST_METHOD"]
        valid = runtime.known(values, path, method, proxied)
        if valid is None:
            valid = runtime.blocking_driver.run(runtime.admit_flow(values, path, method, proxied))
        return BlockingContext(runtime, valid, trace=trace_of(environ))

    def _answer_late(
        self, context: BlockingContext, environ: Environ, start_response: StartResponse, error: Exception
    ) -> Iterable[bytes]:
        exc_info = (type(error), error, error.__traceback__)
        return _answer(context.answer_to(error), environ, start_response, exc_info)


def _path_of(environ: Environ) -> str:
    """Return the request's path, decoded as ASGI servers do (PEP 3333 carries its bytes as latin-1)."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


class _Body:
    """The app's answer; its end is the end of the request. An app that is a generator fails here first, if it fails.

    PEP 3333 lets a server close it in another thread than the one that asked for its parts.
    """

    def __init__(
        self, body: Iterable[bytes], context: BlockingContext, late: Callable[[Exception], Iterable[bytes]]
    ) -> None:
        self._body = body
        self._context = context
        self._late = late

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._context.steps(self._body)
        except Answerable as error:
            yield from self._late(error)

    def close(self) -> None:
        """End the request, and close the app's answer as PEP 3333 wants."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._context.end()


def _answer(reply: Reply, environ: Environ, start_response: StartResponse, exc_info: Any = None) -> Iterable[bytes]:
    status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
    # PEP 3333: with exc_info, a server that has sent headers already raises the error instead of mixing two
    # answers.
    start_response(status, list(reply.headers), *([exc_info] if exc_info else []))
    # RFC 9110 section 9.3.2: an answer to HEAD has no content, and servers leave that to the app (PEP 3333).
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]
