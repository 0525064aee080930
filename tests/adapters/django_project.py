"""One Django project: the routes of ``actions``, by WSGI and by ASGI, each app with settings of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings as project
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from obo_middleware import OnBehalfOf, Settings
from obo_middleware._context import AsyncContext
from obo_middleware.django import get_asgi_application, on_behalf_of
from tests.adapters import actions

if not project.configured:
    project.configure(
        SECRET_KEY="local-secret-not-for-production",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(),
        MIDDLEWARE=["obo_middleware.django.OnBehalfOfMiddleware", "tests.adapters.django_project.routed"],
        LOGGING_CONFIG=None,
        INSTALLED_APPS=["rest_framework"],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
    )
    django.setup()

View = Callable[[HttpRequest], Any]


def blocking(action: actions.BlockingAction) -> View:
    """Return a view for a plain function."""
    return lambda request: JsonResponse(action(request.obo), safe=False)


def awaitable(action: actions.AsyncAction) -> View:
    """Return a view for an ``async`` function."""

    async def view(request: HttpRequest) -> HttpResponse:
        return JsonResponse(await action(request.obo), safe=False)

    return view


def streamed(stream: Callable[[Any], Any]) -> View:
    """Return a view for an answer in parts, of which Django finds out itself how they are to be had."""
    return lambda request: StreamingHttpResponse(stream(request.obo), content_type="text/plain")


class Urls:
    """Routes: what Django wants of a module with them."""

    def __init__(self, **views: View) -> None:
        self.urlpatterns = [path(name.removeprefix("/"), view) for name, view in views.items()]


BLOCKING = Urls(
    **{name: blocking(action) for name, action in actions.BLOCKING.items()},
    **{name: streamed(stream) for name, stream in actions.BLOCKING_STREAMS.items()},
)
AWAITABLE = Urls(
    **{name: awaitable(action) for name, action in actions.ASYNC.items()},
    **{name: streamed(stream) for name, stream in actions.ASYNC_STREAMS.items()},
)


@sync_and_async_middleware
def routed(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Count the requests that come past the middleware, and choose the routes of their colour, or those of a test."""

    def choose(request: HttpRequest) -> HttpRequest:
        actions.reached.add()
        own = getattr(project, "TEST_URLS", None)
        request.urlconf = own or (AWAITABLE if isinstance(request.obo, AsyncContext) else BLOCKING)
        return request

    async def middleware_async(request: HttpRequest) -> Any:
        return await get_response(choose(request))

    def middleware(request: HttpRequest) -> Any:
        return get_response(choose(request))

    return middleware_async if iscoroutinefunction(get_response) else middleware


def wsgi_app(settings: Settings) -> tuple[Any, OnBehalfOf]:
    """Return the project as a WSGI app, whose middleware keeps the settings of that moment, and its application."""
    with override_settings(OBO=settings):
        return WSGIHandler(), on_behalf_of()


def asgi_app(settings: Settings) -> Any:
    """Return the project as an ASGI app."""
    with override_settings(OBO=settings):
        return get_asgi_application()
