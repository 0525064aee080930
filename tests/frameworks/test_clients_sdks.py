"""The SDKs of Microsoft Graph and of OpenAI, unmodified, with what a request's context has for them."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import azure.core.credentials
import openai
import pytest

import credentials
import credentials.aio
from credentials import AccessToken, _colours
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware.errors import RequestEndedError, WrongOriginError
from obo_middleware.testing import LocalEntra
from tests.adapters.world import World
from tests.core.faces import LIBRARIES, Face, make_face
from tests.core.hostile import Scripted
from tests.frameworks.clients_graph import QUIET, TWO_A_PAGE, Sdk, by_client, by_credential
from tests.frameworks.clients_world import MODELS, expose, model

pytestmark = QUIET


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        yield running


# The SDK of Microsoft Graph

SDKS = pytest.mark.parametrize("sdk", [by_credential, by_client])


def within(world: World, user: str, work: Callable[[AsyncContext], Awaitable[Any]], **changes: Any) -> Any:
    """Do awaitable work in the context of a user's request."""

    async def main() -> Any:
        runtime = Runtime(world.settings(**changes))
        token = world.token(user)
        valid = await runtime.async_driver.run(runtime.admit_flow([f"Bearer {token}".encode()], "/"))
        try:
            return await work(AsyncContext(runtime, valid))
        finally:
            await runtime.aclose()

    return asyncio.run(main())


@SDKS
@pytest.mark.parametrize("user", ["alice", "bob"])
def test_the_sdk_of_graph_calls_as_the_user(world: World, sdk: Sdk, user: str) -> None:
    async def work(context: AsyncContext) -> Any:
        async with sdk(context, world.graph.base_url) as graph:
            return await graph.me.get()

    assert within(world, user, work).id == world.object_id(user)
    assert [request.path for request in world.graph.requests] == ["/v1.0/me"]


@SDKS
def test_the_sdk_of_graph_reads_page_after_page(world: World, sdk: Sdk) -> None:
    async def work(context: AsyncContext) -> list[int]:
        async with sdk(context, world.graph.base_url) as graph:
            page = await graph.me.messages.get(request_configuration=TWO_A_PAGE)
            sizes = [len(page.value)]
            while page.odata_next_link:
                page = await graph.me.messages.with_url(page.odata_next_link).get()
                sizes.append(len(page.value))
            return sizes

    assert within(world, "alice", work) == [2, 2, 1]
    assert {request.user for request in world.graph.requests} == {world.object_id("alice")}


@SDKS
def test_the_sdk_of_graph_answers_a_claims_challenge(world: World, sdk: Sdk) -> None:
    claims = {"access_token": {"nbf": {"essential": True, "value": "1"}}}

    async def work(context: AsyncContext) -> Any:
        async with sdk(context, world.graph.base_url) as graph:
            await graph.me.get()
            world.graph.challenge("alice", claims)
            return await graph.me.get()

    assert within(world, "alice", work).id == world.object_id("alice")
    assert [request.status for request in world.graph.requests] == [200, 401, 200]


@SDKS
@pytest.mark.attack(172)
def test_after_the_request_the_sdk_of_graph_is_refused(world: World, sdk: Sdk) -> None:
    async def work(context: AsyncContext) -> None:
        async with sdk(context, world.graph.base_url) as graph:
            await graph.me.get()
            context.end()
            with pytest.raises(RequestEndedError):
                await graph.me.get()

    within(world, "alice", work)
    assert len(world.graph.requests) == 1


@pytest.mark.attack(161)
def test_over_our_client_the_sdk_of_graph_goes_nowhere_else(world: World, server: Scripted) -> None:
    async def work(context: AsyncContext) -> None:
        async with by_client(context, world.graph.base_url) as graph:
            elsewhere = graph.me.messages.with_url(f"{server.url}/v1.0/me/messages")
            with pytest.raises(WrongOriginError):
                await elsewhere.get()

    within(world, "alice", work)
    assert server.connections == 0


def test_a_token_is_azure_cores_too_and_can_be_copied() -> None:
    info = credentials.AccessTokenInfo("text", 1)
    token = _colours._access_token(info)
    assert isinstance(token, azure.core.credentials.AccessToken)
    for one in (token, copy.copy(token), pickle.loads(pickle.dumps(token))):  # noqa: S301  # our own bytes
        assert isinstance(one, AccessToken)
        assert (one, repr(one)) == (("text", 1), "AccessToken(token=<hidden>, expires_on=1)")


def test_without_azure_core_a_token_is_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "azure.core.credentials")
    assert type(_colours._access_token(credentials.AccessTokenInfo("text", 1))) is AccessToken


# The SDK of OpenAI

QUESTION: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def ask(context: AsyncContext, url: str, *, azure: bool) -> str:
    provider = credentials.get_bearer_token_provider(context.blocking_credential, f"{MODELS}/.default")
    client: openai.OpenAI
    if azure:
        client = openai.AzureOpenAI(
            azure_endpoint=url, api_version="2024-10-21", azure_ad_token_provider=provider, max_retries=0
        )
    else:
        client = openai.OpenAI(base_url=f"{url}/openai/v1/", api_key=provider, max_retries=0)
    with client:
        return str(client.chat.completions.create(**QUESTION).choices[0].message.content)


async def ask_awaitable(context: AsyncContext, url: str, *, azure: bool) -> str:
    provider = credentials.aio.get_bearer_token_provider(context.credential, f"{MODELS}/.default")
    client: openai.AsyncOpenAI
    if azure:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=url, api_version="2024-10-21", azure_ad_token_provider=provider, max_retries=0
        )
    else:
        client = openai.AsyncOpenAI(base_url=f"{url}/openai/v1/", api_key=provider, max_retries=0)
    async with client:
        return str((await client.chat.completions.create(**QUESTION)).choices[0].message.content)


@pytest.fixture
def models(server: Scripted) -> Iterator[Face]:
    """Give an application whose users may ask the models."""
    with LocalEntra() as entra:
        expose(entra, MODELS, "user_impersonation")
        for path in ("/openai/v1/chat/completions", "/openai/deployments/gpt-4o/chat/completions"):
            server.say(path, model(entra))
        made = make_face(entra, server, LIBRARIES[0], blocking=True)
        yield made
        made.runtime.close()


def ask_as(models: Face, context: AsyncContext, *, awaitable: bool, azure: bool) -> str:
    if awaitable:
        return models.run(lambda: ask_awaitable(context, models.server.url, azure=azure))
    return ask(context, models.server.url, azure=azure)


@pytest.mark.parametrize("azure", [True, False], ids=["AzureOpenAI", "OpenAI"])
@pytest.mark.parametrize("awaitable", [True, False], ids=["async", "blocking"])
def test_the_sdk_of_openai_asks_as_the_user(models: Face, awaitable: bool, azure: bool) -> None:
    for user in ("alice", "bob"):
        context = models.context(user)
        for _ in range(2):
            said = ask_as(models, context, awaitable=awaitable, azure=azure)
            assert said == f"Hello, {models.entra.users[user].object_id}"
    assert models.entra.exchanges == 2


@pytest.mark.attack(172)
@pytest.mark.parametrize("awaitable", [True, False], ids=["async", "blocking"])
def test_after_the_request_the_sdk_of_openai_is_refused(models: Face, awaitable: bool) -> None:
    context = models.context()
    context.end()
    with pytest.raises(RequestEndedError):
        ask_as(models, context, awaitable=awaitable, azure=False)
    assert models.server.connections == 0
