"""Token providers: a plain function that returns a token, for both colours of credentials and of callers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError as TheirError

from credentials import AccessToken, AccessTokenInfo, AuthenticationError, _token_provider
from credentials._token_provider import ForeignFamily, get_async_bearer_token_provider, get_bearer_token_provider
from obo_middleware.testing import LocalEntra
from tests.credentials.chains import (
    EXPIRES,
    JWT,
    KINDS,
    SCOPE,
    AsyncPlain,
    AsyncTheirs,
    Ours,
    Plain,
    Theirs,
    chain,
    unavailable,
)
from tests.credentials.helpers import NOW, SECRET, Clock, Colour, claims_of, in_threads, local_options
from tests.credentials.servers import loopback

FOREIGN = (Theirs, AsyncTheirs, Plain, AsyncPlain)


def provider_of(colour: Colour, credential: Any, *scopes: str) -> Callable[[], str]:
    """Return a provider of either colour, to be called from plain tests."""
    if colour.name == "blocking":
        return get_bearer_token_provider(credential, *scopes)
    provide = get_async_bearer_token_provider(credential, *scopes)

    async def main() -> str:
        return await provide()

    return lambda: asyncio.run(main())


@pytest.fixture(autouse=True)
def _in_the_time_of_the_tests(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Foreign tokens of these tests live around this time, and providers take no clock."""
    monkeypatch.setattr(_token_provider, "ForeignFamily", functools.partial(ForeignFamily, clock=clock))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_provider_of_either_colour_returns_the_token_of_any_credential(colour: Colour, kind: Any) -> None:
    assert provider_of(colour, kind("a-token"), SCOPE)() == "a-token"


def test_no_scope_is_refused_at_once(colour: Colour) -> None:
    with pytest.raises(ValueError, match='"get_bearer_token_provider" requires at least one scope'):
        provider_of(colour, Ours("a"))


@pytest.mark.parametrize(("credential", "kind"), [(SECRET, "a str"), (None, "a NoneType"), (Ours, "the class Ours")])
def test_what_is_no_credential_is_refused_without_being_shown(colour: Colour, credential: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=f"get_token or get_token_info, not {kind}") as caught:
        provider_of(colour, credential, SCOPE)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_another_credential_is_asked_once_and_again_300_seconds_before_the_end(
    colour: Colour, kind: Any, clock: Clock
) -> None:
    provide = provider_of(colour, kind("first", "second"), SCOPE)
    assert {provide() for _ in range(3)} == {"first"}
    clock.now = EXPIRES - 301
    assert provide() == "first"
    clock.now = EXPIRES - 299
    assert provide() == "second"


def test_a_refresh_that_fails_leaves_the_old_token_in_use(colour: Colour, clock: Clock) -> None:
    provide = provider_of(colour, Plain("first", RuntimeError("down")), SCOPE)
    assert provide() == "first"
    clock.now = EXPIRES - 299
    assert provide() == "first"
    clock.now = EXPIRES
    with pytest.raises(AuthenticationError, match="Plain raised RuntimeError: down"):
        provide()


def test_another_credentials_own_kind_of_error_comes_through_and_any_other_is_named(colour: Colour) -> None:
    for error in (TheirError("theirs"), unavailable("not here")):
        with pytest.raises(type(error)) as caught:
            provider_of(colour, Plain(error), SCOPE)()
        assert caught.value is error
    with pytest.raises(AuthenticationError, match="Theirs raised KeyError: 'k <token>'") as named:
        provider_of(colour, Theirs(KeyError(f"k {JWT}")), SCOPE)()
    assert isinstance(named.value.__cause__, KeyError)


def test_a_credential_of_ours_is_asked_for_its_own_kept_token(colour: Colour) -> None:
    member = Ours("asked")
    provide = provider_of(colour, member, SCOPE)
    assert provide() == "asked"
    member.kept = AccessTokenInfo("kept", EXPIRES)
    assert provide() == "kept"
    assert [(request.scopes, request.options) for request in member.asked] == [((SCOPE,), {})]


def test_an_unavailable_credential_of_ours_is_told_when_it_is_asked(colour: Colour) -> None:
    provide = provider_of(colour, chain(colour, Ours(unavailable("no file"))), SCOPE)
    with pytest.raises(type(unavailable()), match="no file"):
        provide()


def test_threads_that_come_at_once_share_one_request() -> None:
    class Counted(Plain):
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            super().get_token(*scopes, **options)
            return AccessToken(f"token-{len(self.asked)}", int(NOW) + 3600)

    credential = Counted("unused")
    provide = get_bearer_token_provider(credential, SCOPE)
    assert set(in_threads(8, provide)) == {"token-1"}
    assert credential.asked == [((SCOPE,), {})]


def test_tasks_that_come_at_once_share_one_request() -> None:
    credential = AsyncPlain("a-token")
    provide = get_async_bearer_token_provider(credential, SCOPE, f"{SCOPE}2")

    async def main() -> set[str]:
        return set(await asyncio.gather(*(provide() for _ in range(8))))

    assert asyncio.run(main()) == {"a-token"}
    assert credential.asked == [((SCOPE, f"{SCOPE}2"), {})]


def test_a_real_credential_authorises_each_request_of_a_client(entra: LocalEntra) -> None:
    seen: list[str] = []

    def respond(exchange: Any) -> None:
        seen.append(exchange.headers["Authorization"])
        exchange.reply(200, b"{}")

    async def ask(provide: Callable[[], Any], url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(2):
                await client.get(url, headers={"Authorization": f"Bearer {await provide()}"})

    for name in ("blocking", "async"):
        made = Colour(name).client_secret(entra.tenant_id, entra.api.client_id, SECRET, **local_options(entra))
        with loopback(respond) as server:
            if name == "blocking":
                provide = get_bearer_token_provider(made, SCOPE)
                with made, httpx.Client(trust_env=False) as client:
                    for _ in range(2):
                        client.get(server.url, headers={"Authorization": f"Bearer {provide()}"})
            else:
                asyncio.run(closing(made, ask(get_async_bearer_token_provider(made, SCOPE), server.url)))
    assert len(seen) == 4
    assert {claims_of(header.removeprefix("Bearer "))["oid"] for header in seen} == {entra.api.object_id}
    assert len(entra.token_requests) == 2


async def closing(credential: Any, work: Any) -> None:
    async with credential:
        await work
