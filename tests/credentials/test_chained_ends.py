"""What ends a chain: errors of every kind, tokens that are none, cancellation, and what nobody may catch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from credentials import AccessToken, AuthenticationError
from credentials._errors import ChainedAuthenticationError
from tests.credentials.chains import (
    EXPIRES,
    JWT,
    KINDS,
    SCOPE,
    AsyncOurs,
    AsyncTheirs,
    Ours,
    Plain,
    Theirs,
    chain,
    unavailable,
)
from tests.credentials.defaults import have_nothing
from tests.credentials.developer_tools import AZ, on_path
from tests.credentials.helpers import Clock, Colour
from tests.credentials.identities import credential_of
from tests.credentials.servers import closed_port

ERRORS = [
    AuthenticationError("no"),
    ValueError("odd"),
    RuntimeError("x"),
    KeyError("k"),
    TimeoutError(),
    OSError(5, "broken"),
    RecursionError(),
    StopAsyncIteration(),
    ExceptionGroup("several", [unavailable()]),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
]


@pytest.mark.peer_defect(13)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_but_unavailable_ends_the_chain(colour: Colour, kind: Any, error: Exception) -> None:
    last = Ours("never")
    with pytest.raises(ChainedAuthenticationError) as caught:
        colour.get_token(chain(colour, Ours(unavailable()), kind(error), last), SCOPE)
    # Not always the object itself: asyncio makes a new one of a worker thread's TimeoutError.
    assert repr(caught.value.errors[1]) == repr(error)
    assert caught.value.__cause__ is caught.value.errors[1]
    assert last.asked == []


@pytest.mark.parametrize("kind", [Theirs, Plain, AsyncTheirs])
def test_an_error_that_ends_generators_ends_the_chain_too(colour: Colour, kind: Any) -> None:
    with pytest.raises(ChainedAuthenticationError, match="StopIteration"):
        colour.get_token(chain(colour, kind(StopIteration()), Ours("never")), SCOPE)


GARBAGE: list[Any] = [
    None,
    "text",
    7,
    (JWT, EXPIRES),
    AccessToken("", EXPIRES),
    AccessToken(f"{JWT}\r\nX: y", EXPIRES),
    SimpleNamespace(token=JWT),
    SimpleNamespace(token=JWT, expires_on="soon"),
    SimpleNamespace(token=JWT, expires_on=float("nan")),
    SimpleNamespace(token=JWT.encode(), expires_on=EXPIRES),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
@pytest.mark.parametrize("awaitable", [False, True])
def test_what_is_no_token_ends_the_chain_and_is_not_shown(colour: Colour, garbage: Any, awaitable: bool) -> None:
    class Blocking:
        def get_token(self, *scopes: str, **options: Any) -> Any:
            return garbage

    class Awaitable:
        async def get_token(self, *scopes: str, **options: Any) -> Any:
            return garbage

    with pytest.raises(ChainedAuthenticationError) as caught:
        colour.get_token(chain(colour, Awaitable() if awaitable else Blocking(), Ours("never")), SCOPE)
    assert "eyJ" not in str(caught.value)
    assert "eyJ" not in repr(caught.value.errors)


# Real members


def test_a_machine_without_metadata_service_is_left_to_its_developers_tool(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    with closed_port() as url:
        have_nothing(monkeypatch, tmp_path, url)
        on_path(AZ, tmp_path, monkeypatch)
        one = chain(colour, credential_of(colour, clock=clock), AZ.make(colour, clock=clock))
        assert colour.get_token(one, SCOPE).token == "the-token"


def test_a_tools_trouble_ends_a_chain_of_the_users_own(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    have_nothing(monkeypatch, tmp_path)
    on_path(AZ, tmp_path, monkeypatch).says(errors="something broke", status=1)
    with pytest.raises(ChainedAuthenticationError, match="something broke"):
        colour.get_token(chain(colour, AZ.make(colour), Ours("never")), SCOPE)


# What ends it from outside


class Stop(BaseException):
    """Nothing that a chain may catch."""


@pytest.mark.parametrize("kind", [Ours, Theirs, Plain])
def test_what_is_no_exception_passes_through(colour: Colour, kind: Any) -> None:
    second, stop = Ours("never"), Stop()
    with pytest.raises(Stop):
        colour.get_token(chain(colour, kind(stop), second), SCOPE)
    assert second.asked == []


def test_a_cancelled_request_asks_nobody_else() -> None:
    second = AsyncOurs("never")

    class Slow:
        async def get_token(self, *scopes: str, **options: Any) -> Any:
            self.begun.set()
            await asyncio.get_running_loop().create_future()

        def __init__(self) -> None:
            self.begun = asyncio.Event()

    async def main() -> None:
        slow = Slow()
        async with chain("async", slow, second) as one:
            task = asyncio.create_task(one.get_token(SCOPE))
            await slow.begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert second.asked == []

    asyncio.run(main())
