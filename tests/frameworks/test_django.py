"""Django beside other middleware, under its error pages, and in streams: what is not the same in every project."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings as project
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings

from obo_middleware import ClientSecret, ConfigurationError, DownstreamApi, asgi, wsgi
from obo_middleware._runtime import Runtime
from obo_middleware.django import _made, get_asgi_application, on_behalf_of
from obo_middleware.errors import RequestEndedError
from tests.adapters import test_who_may_pass
from tests.adapters.conftest import Start
from tests.adapters.django_project import Urls
from tests.adapters.harness import DJANGO, LEAK, Served, bearer, serve
from tests.adapters.servers import Server, UvicornServer, WsgiServer
from tests.adapters.world import SECRET, World
from tests.frameworks import django_views
from tests.frameworks.django_views import me_awaitable, me_behind_wsgi, me_plain, using

TAKEN_OVER = (
    "test_a_path_outside_ascii_can_be_public",
    "test_a_percent_encoded_public_path_is_the_one_that_the_server_decodes",
    "test_a_public_path_needs_no_token_and_has_no_user",
    "test_a_refused_head_request_gets_no_body",
    "test_a_token_on_a_public_path_is_not_looked_at",
    "test_an_error_let_through_by_a_head_request_gets_no_body",
    "test_optional_authentication_answers_401_where_a_user_is_needed",
    "test_optional_authentication_lets_requests_without_a_token_through",
    "test_optional_authentication_refuses_an_invalid_token",
)
globals().update({name: getattr(test_who_may_pass, name) for name in TAKEN_OVER})


@pytest.fixture(params=DJANGO)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=DJANGO)
def shared_adapter(request: pytest.FixtureRequest, everybody: World) -> Iterator[Served]:
    served = serve(request.param, everybody.settings())
    yield served
    served.stop()


@pytest.fixture
def adapter(shared_adapter: Served, world: World) -> Served:
    return shared_adapter


@pytest.fixture
def start(world: World) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda kind, **changes: stack.enter_context(serve(kind, world.settings(**changes)))


@contextmanager
def running(world: World, urls: Urls, **changes: Any) -> Iterator[None]:
    """Have the project run with these routes; ``changes`` are to Django's settings."""
    with override_settings(**({"OBO": world.settings(), "TEST_URLS": urls} | changes)):
        yield
        on_behalf_of().close()


def let_go() -> None:
    """Let go of the last application; pytest fails for what is found open."""
    _made.clear()
    gc.collect()


# Which requests need a token: of the tests that carry marks of attacks, the rules once more


@pytest.mark.parametrize(
    "path",
    [
        *(b"/public/../whoami", b"/public/", b"/public/whoami", b"/Public", b"/public%2f..%2fwhoami", b"/public;x"),
        *(b"/public%00", b"/whoami?path=/public", b"/./public", b"/%2fpublic", b"/public%20", b"/public.json"),
    ],
)
def test_no_spelling_opens_another_path_than_the_public_one(adapter: Served, world: World, path: bytes) -> None:
    test_who_may_pass.test_no_spelling_opens_another_path_than_the_public_one(adapter, world, path)


def test_a_token_anywhere_but_in_its_header_is_no_credential(adapter: Served, world: World) -> None:
    test_who_may_pass.test_a_token_in_the_query_a_cookie_or_a_form_is_no_credential(adapter, world)
    for name in (b"Authorization_", b"Proxy-Authorization", b"X-MS-TOKEN-AAD-ACCESS-TOKEN"):
        test_who_may_pass.test_another_header_is_no_credential(adapter, world, name)


# Middleware that can be of one colour only


COLOURS = pytest.mark.parametrize("behind", ["passing", "passing_sync", "passing_async"])


def stack(behind: str) -> list[str]:
    return [*project.MIDDLEWARE, f"{django_views.__name__}.{behind}"]


@COLOURS
def test_by_asgi_every_view_has_the_awaitable_context_whatever_other_middleware_can_do(
    world: World, behind: str
) -> None:
    urls = Urls(awaitable=me_awaitable, plain=me_plain)
    with running(world, urls, MIDDLEWARE=stack(behind)), serving(UvicornServer, get_asgi_application) as served:
        check_users(served, world, "/awaitable", "/plain")


@COLOURS
def test_by_wsgi_every_view_has_the_blocking_context_whatever_other_middleware_can_do(
    world: World, behind: str
) -> None:
    urls = Urls(awaitable=me_behind_wsgi, plain=me_plain)
    with running(world, urls, MIDDLEWARE=stack(behind)), serving(WsgiServer, WSGIHandler) as served:
        check_users(served, world, "/awaitable", "/plain")
    let_go()


def serving(server: Callable[[Any], Server], app: Callable[[], Any]) -> Served:
    return Served("django", server(app()))


def check_users(served: Served, world: World, *paths: str) -> None:
    """Have two users and nobody ask."""
    for path in paths:
        for name in ("alice", "bob", "alice"):
            assert served.get(path, world.token(name)).json()["id"] == world.object_id(name)
        assert served.get(path).status_code == 401


# Streams


def test_a_stream_cannot_use_the_client_of_another_request_that_still_runs(world: World) -> None:
    kept: list[Any] = []
    with running(world, using(kept)):
        open_one = Client().get("/keep", headers=bearer(world.token("alice")))
        other = Client().get("/steal", headers=bearer(world.token("bob")))
        assert b"".join(other.streaming_content) == b"refused"
        assert kept[0].get("/me").json()["id"] == world.object_id("alice"), "nobody's request is at hand here"
        assert b"".join(open_one.streaming_content) == b"beginend"
        with pytest.raises(RequestEndedError):
            kept[0].get("/me")


@COLOURS
def test_an_async_stream_cannot_either_wherever_its_request_was_handled(world: World, behind: str) -> None:
    kept: list[Any] = []

    async def main() -> None:
        open_one = await AsyncClient().get("/keep_async", headers=bearer(world.token("alice")))
        other = await AsyncClient().get("/steal_async", headers=bearer(world.token("bob")))
        assert [part async for part in other.streaming_content] == [b"refused"]
        assert [part async for part in open_one.streaming_content] == [b"begin", b"end"]
        with pytest.raises(RequestEndedError):
            await kept[0].get("/me")
        await on_behalf_of().aclose()

    with running(world, using(kept), MIDDLEWARE=stack(behind)):
        asyncio.run(main())


def test_work_that_goes_on_after_the_request_has_a_context_of_its_own(world: World) -> None:
    kept: list[Any] = []

    def begin(request: HttpRequest) -> HttpResponse:
        kept.extend((request.obo.detach(), request.obo.client("graph")))
        return HttpResponse(status=202)

    with running(world, Urls(begin=begin)):
        assert Client().get("/begin", headers=bearer(world.token("alice"))).status_code == 202
        detached, client = kept
        with pytest.raises(RequestEndedError):
            client.get("/me")
        with detached:
            assert detached.client("graph").get("/me").json()["id"] == world.object_id("alice")
        with pytest.raises(RequestEndedError):
            detached.client("graph").get("/me")


# Both middlewares at once


def test_behind_the_plain_middleware_a_request_has_a_context_from_each(world: World) -> None:
    def both(request: HttpRequest) -> HttpResponse:
        other = request.scope["state"]["obo"] if hasattr(request, "scope") else request.environ[wsgi.ENVIRON_KEY]
        assert other is not request.obo
        return JsonResponse({"id": request.obo.user.object_id, "other": other.user.object_id})

    with running(world, Urls(both=both)):
        obo = on_behalf_of()
        outer = wsgi.OnBehalfOfMiddleware(WSGIHandler(), obo=obo)
        for server in (WsgiServer(outer), UvicornServer(asgi.OnBehalfOfMiddleware(get_asgi_application(), obo=obo))):
            with Served("django-wsgi", server) as served:
                id_ = world.object_id("bob")
                assert served.get("/both", world.token("bob")).json() == {"id": id_, "other": id_}
                assert served.get("/both").status_code == 401


# Pages about errors, and settings


def names_of(world: World, credential: object) -> dict[str, Any]:
    """Return the settings under their names."""
    return {
        "OBO": None,
        "OBO_TENANT_ID": world.entra.tenant_id,
        "OBO_CLIENT_ID": world.client_id,
        "OBO_CLIENT_CREDENTIAL": credential,
        "OBO_AUTHORITY": world.entra.authority,
        "OBO_ALLOW_LOCAL_ISSUER": True,
        "OBO_DOWNSTREAM_APIS": {
            "graph": DownstreamApi(world.graph.base_url, scopes=["User.Read"]),
            "nowhere": DownstreamApi("http://127.0.0.1:9", scopes=["User.Read"]),
        },
    }


def test_a_secret_that_django_would_show_is_refused(world: World) -> None:
    with override_settings(**names_of(world, SECRET)), pytest.raises(ConfigurationError) as refused:
        on_behalf_of()
    assert str(refused.value).startswith("OBO_CLIENT_CREDENTIAL is a plain text, which Django shows")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("api", ["graph", "nowhere"])
def test_djangos_page_about_an_error_shows_no_token_and_no_secret(world: World, api: str) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        request.obo.client(api).get("/me").raise_for_status()
        raise ValueError("a bug after the call")

    changes = names_of(world, ClientSecret(SECRET)) | {"DEBUG": True, "SECRET_KEY": "another"}
    with running(world, Urls(broken=broken), **changes):
        for accept in ("text/html", "text/plain"):
            headers = bearer(world.token("alice")) | {"Accept": accept}
            answer = Client(raise_request_exception=False).get("/broken", headers=headers)
            page = answer.content.decode()
            assert (answer.status_code, "OBO_CLIENT_CREDENTIAL" in page) == (500, True)
            assert not LEAK.search(page)


def test_a_start_that_fails_leaves_no_connection_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    warm_up_flow = Runtime.warm_up_flow

    def failing(runtime: Runtime) -> Any:
        yield from warm_up_flow(runtime)
        raise ConfigurationError("the store refuses our password")

    monkeypatch.setattr(Runtime, "warm_up_flow", failing)
    with running(world, Urls()):
        assert not UvicornServer(get_asgi_application()).started
    let_go()
