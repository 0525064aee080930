"""What every credential has in common, in both colours: its shape, event loops, closing and cancelling."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from typing import Any

import azure.core.credentials
import azure.core.credentials_async
import pytest

import credentials
from credentials import aio
from tests.credentials.every import EVERY
from tests.credentials.helpers import Colour, in_threads
from tests.credentials.places import BLOCKING, Every, open_connections
from tests.credentials.stand_ins import LIFE

NAMES = sorted(name for name in aio.__all__ if name.endswith("Credential"))


# As azure-core wants it


def test_every_class_of_both_colours_is_here() -> None:
    assert {*NAMES, "TokenCredential", "AsyncTokenCredential"} == {
        name for name in credentials.__all__ if name.endswith("Credential")
    }
    aliases = {"CertificateCredential"}
    assert {kind.name for kind in EVERY} == {*NAMES} - aliases


@pytest.mark.parametrize("name", NAMES)
def test_the_classes_are_azure_cores_credentials(name: str) -> None:
    protocols: list[Any] = [azure.core.credentials.TokenCredential, azure.core.credentials.SupportsTokenInfo]
    kind: Any = getattr(credentials, name)
    for thing in (kind, kind.__new__(kind)):
        assert [isinstance(thing, protocol) for protocol in protocols] == [True, True]


@pytest.mark.parametrize("name", NAMES)
def test_the_awaitable_classes_are_azure_cores_async_credentials(name: str) -> None:
    library = azure.core.credentials_async
    protocols: list[Any] = [library.AsyncTokenCredential, library.AsyncSupportsTokenInfo]
    kind: Any = getattr(aio, name)
    for thing in (kind, kind.__new__(kind)):
        assert [isinstance(thing, protocol) for protocol in protocols] == [True, True]
    for method in ("get_token", "get_token_info", "close", "__aenter__", "__aexit__"):
        assert inspect.iscoroutinefunction(getattr(kind, method))


@pytest.mark.parametrize("name", NAMES)
def test_the_awaitable_classes_have_the_name_under_which_they_are_imported(name: str) -> None:
    kind = getattr(aio, name)
    assert (kind.__module__, kind.__qualname__) == ("credentials.aio", kind.__name__)
    assert getattr(aio, kind.__name__) is kind
    assert kind.__name__ == getattr(credentials, name).__name__


def test_a_token_is_kept(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    tokens = [colour.get_token(credential, every.scopes[0]) for _ in range(3)]
    assert len(set(tokens)) == 1
    info = colour.get_token_info(credential, every.scopes[0])
    assert (info.token, info.expires_on, info.token_type) == (*tokens[0], "Bearer")
    assert info.refresh_on is not None
    assert every.stand_in.count == 1


# Event loops


def test_each_call_may_have_an_event_loop_of_its_own(every: Every) -> None:
    credential = every.make("async")

    async def once(scope: str) -> str:
        async with credential:
            token: str = (await credential.get_token(scope)).token
            return token

    for _ in range(2):
        every.stand_in.recover()
        for scope in every.scopes * 2:
            assert asyncio.run(once(scope))
        every.clock.now += LIFE
    assert every.stand_in.count == 4


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_ended_without_a_close_is_in_nobodys_way(
    every: Every, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="asyncio")  # its records of debug mode would keep the loops alive
    credential = every.make("async")
    for scope in every.scopes:
        assert asyncio.run(credential.get_token(scope)).token
    every.clock.now += LIFE
    every.stand_in.recover()
    assert asyncio.run(credential.get_token(every.scopes[0])).token
    del credential
    gc.collect()
    assert every.stand_in.count == 3


def test_two_event_loops_may_use_it_at_the_same_time(every: Every) -> None:
    credential = every.make("async")
    scopes = [*every.scopes]

    async def main(scope: str) -> str:
        async with credential:
            return str((await credential.get_token(scope)).token)

    every.stand_in.hold()
    results = in_threads(3, lambda: asyncio.run(main(scopes.pop())) if scopes else _let_go(every))
    assert all(isinstance(result, str) for result in results), results
    assert every.stand_in.count == 2


def _let_go(every: Every) -> str:
    every.stand_in.wait_until_asked()
    every.stand_in.let_go()
    return "done"


@pytest.mark.parametrize("scopes", [1, 2])
def test_a_blocking_credential_works_where_an_event_loop_runs(every: Every, scopes: int) -> None:
    async def main() -> list[str]:
        with every.make(BLOCKING) as credential:
            return [credential.get_token(scope).token for scope in every.scopes[:scopes]]

    assert len(asyncio.run(main())) == scopes == every.stand_in.count


# Closing


def test_closing_leaves_nothing_open(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    colour.get_token(credential, every.scopes[0])
    assert open_connections(credential) == []
    del credential
    gc.collect()


def test_a_credential_may_be_closed_twice_and_used_after(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    assert colour.get_token(credential, every.scopes[0]).token
    _close(colour, credential)
    _close(colour, credential)
    assert colour.get_token(credential, every.scopes[0]).token
    assert colour.get_token(credential, every.scopes[1]).token
    assert every.stand_in.count == 2
    assert open_connections(credential) == []


def test_a_credential_that_was_not_used_may_be_closed(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)
    assert open_connections(credential) == []
    _close(colour, credential)


def test_a_context_manager_gives_the_credential_itself(every: Every, colour: Colour) -> None:
    credential = every.make(colour.name)

    async def enter() -> Any:
        async with credential as entered:
            return entered

    if colour.name == BLOCKING:
        with credential as entered:
            assert entered is credential
    else:
        assert asyncio.run(enter()) is credential


def _close(colour: Colour, credential: Any) -> None:
    if colour.name == BLOCKING:
        credential.close()
    else:
        asyncio.run(credential.close())


# Cancelling


def test_a_cancelled_request_leaves_the_credential_usable(every: Every) -> None:
    every.stand_in.hold()

    async def main() -> None:
        async with every.make("async") as credential:
            task = asyncio.create_task(credential.get_token(every.scopes[0]))
            await asyncio.to_thread(every.stand_in.wait_until_asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await credential.get_token(every.scopes[0])).token
            every.stand_in.let_go()
        assert open_connections(credential) == []

    asyncio.run(main())
    assert every.stand_in.count == 2


def test_a_cancelled_request_is_taken_over_by_those_who_wait(every: Every) -> None:
    every.stand_in.hold()

    async def main() -> set[str]:
        async with every.make("async") as credential:
            tasks = [asyncio.create_task(credential.get_token(every.scopes[0])) for _ in range(4)]
            await asyncio.to_thread(every.stand_in.wait_until_asked)
            tasks[0].cancel()
            tokens = {(await task).token for task in tasks[1:]}
            every.stand_in.let_go()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            return tokens

    assert len(asyncio.run(main())) == 1
    assert every.stand_in.count == 2
