"""Django, by WSGI and by ASGI: the rules of the four adapters once more, and what is Django's own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.utils.decorators import method_decorator
from django.views import View

from obo_middleware import ConfigurationError, DownstreamApi, OnBehalfOf, ProtectedResource, Settings
from obo_middleware.django import OnBehalfOfMiddleware, get_asgi_application, on_behalf_of, require_scopes
from obo_middleware.errors import RequestEndedError
from tests.adapters import test_answers, test_answers_of_providers, test_errors_of_handlers
from tests.adapters.django_project import Urls
from tests.adapters.harness import DJANGO, Served, bearer, serve, wait_for_the_end_of
from tests.adapters.outcomes import NO_SCOPE
from tests.adapters.world import SECRET, World

# Where a stream fails Django leaves the body of the request to the collector, by ASGI.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)

for overtaken in (test_answers, test_answers_of_providers, test_errors_of_handlers):
    globals().update({name: value for name, value in vars(overtaken).items() if name.startswith("test_")})


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Have such bodies collected here, where they are no surprise."""
    yield
    gc.collect()


@pytest.fixture(scope="module", params=DJANGO)
def django_adapter(request: pytest.FixtureRequest, shared_world: World) -> Iterator[Served]:
    served = serve(request.param, shared_world.settings())
    yield served
    served.stop()


@pytest.fixture
def adapter(django_adapter: Served, world: World) -> Served:
    """Take the place of the four adapters."""
    return django_adapter


@pytest.fixture(params=DJANGO)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Django's own clients for tests


@contextmanager
def project(world: World, urls: Urls, **changes: Any) -> Iterator[None]:
    """Have the project run with these routes."""
    with override_settings(OBO=world.settings(**changes), TEST_URLS=urls):
        yield
        on_behalf_of().close()


Get = Callable[[str, str | None], Any]


def get(path: str, token: str | None) -> Any:
    client = Client(raise_request_exception=False)
    return client.get(path, headers={} if token is None else bearer(token))


def get_async(path: str, token: str | None) -> Any:
    async def main() -> Any:
        client = AsyncClient(raise_request_exception=False)
        answer = await client.get(path, headers={} if token is None else bearer(token))
        await on_behalf_of().aclose()
        return answer

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("ask", [get, get_async])


@require_scopes("orders.read")
def orders(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.obo.user.object_id})


@require_scopes("orders.read")
async def orders_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.obo.user.object_id})


@method_decorator(require_scopes("orders.read"), name="dispatch")
class Orders(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return orders(request)


ORDERS = Urls(plain=orders, awaitable=orders_async, of_class=Orders.as_view())


@BOTH
@pytest.mark.parametrize("path", ["/plain", "/awaitable", "/of_class"])
def test_a_view_may_need_scopes(world: World, ask: Get, path: str) -> None:
    with project(world, ORDERS):
        assert ask(path, world.token("alice", scp="orders.read")).json() == {"user": world.object_id("alice")}
        refused = ask(path, world.token("alice"))
        assert (refused.status_code, refused.json()) == (403, NO_SCOPE | {"scope": "orders.read"})


@BOTH
def test_a_public_path_needs_no_token_and_its_view_has_no_user(world: World, ask: Get) -> None:
    with project(world, Urls(public=lambda request: JsonResponse({"user": request.obo.user}))):
        assert ask("/public", None).json() == {"user": None}
        assert ask("/public/", None).status_code == 401


@BOTH
def test_the_project_publishes_what_clients_look_for(world: World, ask: Get) -> None:
    resource = ProtectedResource("https://api.example/orders")
    with project(world, ORDERS, protected_resource=resource):
        answer = ask("/.well-known/oauth-protected-resource/orders", None)
        assert (answer.status_code, answer.json()["resource"]) == (200, "https://api.example/orders")


@BOTH
def test_a_proxy_may_present_the_token(world: World, ask: Get) -> None:
    with project(world, ORDERS, proxy_token_header="X-MS-TOKEN-AAD-ACCESS-TOKEN"):
        client = Client(headers={"X-MS-TOKEN-AAD-ACCESS-TOKEN": world.token("bob", scp="orders.read")})
        assert client.get("/plain").json() == {"user": world.object_id("bob")}
        assert ask("/plain", world.token("bob", scp="orders.read")).status_code == 200


def test_a_sync_view_behind_an_async_server_has_blocking_clients(world: World) -> None:
    def me(request: HttpRequest) -> HttpResponse:
        return JsonResponse(request.obo.blocking_client("graph").get("/me").json())

    with project(world, Urls(me=me)):
        assert get_async("/me", world.token("alice")).json()["id"] == world.object_id("alice")


def test_an_async_view_behind_a_sync_server_has_blocking_clients(world: World) -> None:
    async def me(request: HttpRequest) -> HttpResponse:
        return JsonResponse(request.obo.client("graph").get("/me").json())

    with project(world, Urls(me=me)):
        assert get("/me", world.token("alice")).json()["id"] == world.object_id("alice")


@BOTH
def test_a_file_is_sent_as_django_sends_it(world: World, ask: Get, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("the report")
    with project(world, Urls(report=lambda request: FileResponse((tmp_path / "report").open("rb")))):
        answer = ask("/report", world.token("alice"))
        assert answer["Content-Length"] == "10"
        if ask is get:
            assert answer.getvalue() == b"the report"
        answer.close()


def test_the_context_of_a_stream_that_fails_ends_too(world: World) -> None:
    served = serve("django-asgi", world.settings())
    kept: list[Any] = []

    async def parts(context: Any) -> AsyncIterator[bytes]:
        kept.append(context)
        yield b"begin"
        raise RuntimeError("a bug in the stream")

    urls = Urls(stream=lambda request: StreamingHttpResponse(parts(request.obo)))
    with override_settings(TEST_URLS=urls), served, pytest.raises(httpx.RemoteProtocolError):
        served.get("/stream", world.token("alice"))
    wait_for_the_end_of(kept[0])


def test_what_ends_a_request_from_outside_ends_its_context(world: World) -> None:
    """Not an error of a view, which Django answers: a server that gives up, a client that has left."""
    request = RequestFactory().get("/me", headers=bearer(world.token("alice")))

    def stopped(request: HttpRequest) -> HttpResponse:
        raise KeyboardInterrupt

    async def left(request: HttpRequest) -> HttpResponse:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await OnBehalfOfMiddleware(left)(request)
        await on_behalf_of().aclose()

    with override_settings(OBO=world.settings()):
        with pytest.raises(KeyboardInterrupt):
            OnBehalfOfMiddleware(stopped)(request)
        with pytest.raises(RequestEndedError):
            request.obo.detach()
        asyncio.run(main())
        with pytest.raises(RequestEndedError):
            request.obo.detach()


# Settings


def test_settings_may_stand_under_their_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    names = {
        "OBO_TENANT_ID": world.entra.tenant_id,
        "OBO_CLIENT_ID": world.client_id,
        "OBO_AUTHORITY": world.entra.authority,
        "OBO_ALLOW_LOCAL_ISSUER": True,
        "OBO_DOWNSTREAM_APIS": {"graph": {"base_url": world.graph.base_url, "scopes": ["User.Read"]}},
    }
    with override_settings(**names):
        made = on_behalf_of()
        assert made is on_behalf_of()
        assert made.runtime.settings.downstream_apis == {
            "graph": DownstreamApi(world.graph.base_url, scopes=["User.Read"])
        }
    with override_settings(**names | {"OBO_CACHE_SIZE": 5}):
        assert on_behalf_of().runtime.settings.cache_size == 5


def test_the_application_may_be_given(world: World) -> None:
    obo = OnBehalfOf(world.settings())
    with override_settings(OBO=obo):
        assert on_behalf_of() is obo


@pytest.mark.parametrize("given", [{"tenant_id": "x"}, "x", 5])
def test_anything_else_is_refused(given: object) -> None:
    with override_settings(OBO=given), pytest.raises(ConfigurationError, match="OBO is a "):
        on_behalf_of()


def test_a_secret_in_plain_text_is_refused_since_django_would_show_it() -> None:
    with (
        override_settings(OBO_CLIENT_CREDENTIAL=SECRET),
        pytest.raises(ConfigurationError, match="ClientSecret") as caught,
    ):
        on_behalf_of()
    assert SECRET not in str(caught.value)


@pytest.mark.attack(188)
def test_an_answer_to_head_has_no_content(world: World) -> None:
    with project(world, ORDERS):
        answer = Client().head("/plain")
        assert (answer.status_code, answer.content) == (401, b"")


# The life of an ASGI app


def lifespan(settings: Settings, *messages: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    with override_settings(OBO=settings):
        app = get_asgi_application()

    async def main() -> None:
        incoming = iter(messages)

        async def receive() -> dict[str, Any]:
            return {"type": f"lifespan.{next(incoming)}"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({"type": "lifespan"}, receive, send)

    asyncio.run(main())
    return sent


def test_the_asgi_app_fetches_keys_when_it_begins_and_closes_when_it_ends(world: World) -> None:
    before = world.entra.requests_to("metadata")
    sent = lifespan(world.settings(), "startup", "shutdown")
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert world.entra.requests_to("metadata") > before


def test_a_start_that_fails_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def warm_up_flow(runtime: object) -> Any:
        raise ConfigurationError("the store refuses our password")

    monkeypatch.setattr("obo_middleware._runtime.Runtime.warm_up_flow", warm_up_flow)
    with pytest.raises(ConfigurationError):
        lifespan(world.settings(), "startup")
