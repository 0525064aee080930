"""Middleware and views for the tests of Django: of one colour, of the other, and of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware

from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware.errors import RefusedRequestError
from tests.adapters.django_project import Urls


def passing(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Do nothing, in the colour that is wanted."""

    async def middleware_async(request: HttpRequest) -> Any:
        return await get_response(request)

    def middleware(request: HttpRequest) -> Any:
        return get_response(request)

    return middleware_async if iscoroutinefunction(get_response) else middleware


def passing_sync(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    return passing(get_response)


def passing_async(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    return passing(get_response)


sync_and_async_middleware(passing)
sync_only_middleware(passing_sync)
async_only_middleware(passing_async)


async def me_awaitable(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.obo, AsyncContext)
    return JsonResponse((await request.obo.client("graph").get("/me")).raise_for_status().json())


def me_plain(request: HttpRequest) -> HttpResponse:
    by_asgi = isinstance(request.obo, AsyncContext)
    client = request.obo.blocking_client("graph") if by_asgi else request.obo.client("graph")
    return JsonResponse(client.get("/me").raise_for_status().json())


async def me_behind_wsgi(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.obo, BlockingContext)
    return JsonResponse(request.obo.client("graph").get("/me").raise_for_status().json())


def using(kept: list[Any]) -> Urls:
    """Return routes of which one keeps its client and its stream open, and the other one's stream uses that client."""

    def keep(request: HttpRequest) -> HttpResponse:
        kept.append(request.obo.client("graph"))
        return StreamingHttpResponse(iter([b"begin", b"end"]))

    def steal(request: HttpRequest) -> HttpResponse:
        def parts() -> Iterator[bytes]:
            with pytest.raises(RefusedRequestError):
                kept[-1].get("/me")
            yield b"refused"

        return StreamingHttpResponse(parts())

    async def keep_async(request: HttpRequest) -> HttpResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begin"
            yield b"end"

        kept.append(request.obo.client("graph"))
        return StreamingHttpResponse(parts())

    async def steal_async(request: HttpRequest) -> HttpResponse:
        async def parts() -> AsyncIterator[bytes]:
            with pytest.raises(RefusedRequestError):
                await kept[-1].get("/me")
            yield b"refused"

        return StreamingHttpResponse(parts())

    return Urls(keep=keep, steal=steal, keep_async=keep_async, steal_async=steal_async)
