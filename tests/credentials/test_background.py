"""The event loop in the background: one for the process, and nobody's awaitable is in another's way."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from credentials import AccessToken, ChainedTokenCredential, get_bearer_token_provider
from credentials import _drivers as drivers
from credentials._background import BackgroundLoop
from credentials._drivers import BlockingDriver
from credentials._flow import ask, call
from credentials._pool import ConnectionPool
from tests.credentials.flights import until
from tests.credentials.helpers import in_threads
from tests.credentials.test_fork import in_child

PATIENCE = 10.0


class Bound:
    """An awaitable credential with something open that works on the event loop where it was opened, as aiohttp's is."""

    def __init__(self) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.opened: asyncio.Future[None] | None = None

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        loop = asyncio.get_running_loop()
        self.loops.append(loop)
        if self.opened is None:
            self.opened = loop.create_future()
        loop_of_it = self.opened.get_loop()
        loop_of_it.call_soon(lambda: None)  # fails on a loop that is closed
        assert loop_of_it is loop
        return AccessToken(f"token-{scopes[0]}", 4_000_000_000)


async def loop_at_hand() -> Any:
    return asyncio.get_running_loop()


async def endless(ended: threading.Event) -> str:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
    return "never"


@pytest.fixture
def background() -> BackgroundLoop:
    return BackgroundLoop()


# One loop for the process


def test_an_awaitable_member_of_a_blocking_chain_works_again_and_again() -> None:
    member = Bound()
    one = ChainedTokenCredential(member)
    assert [one.get_token(scope).token for scope in "abc"] == ["token-a", "token-b", "token-c"]
    assert len(set(member.loops)) == 1


def test_every_awaitable_of_blocking_code_runs_on_the_same_loop(pool: ConnectionPool) -> None:
    member = Bound()
    providers = [get_bearer_token_provider(member, scope) for scope in "ab"]
    assert [provide() for provide in providers] == ["token-a", "token-b"]
    BlockingDriver(pool).run(ask(member, ("c",), {}))
    driven: Any = BlockingDriver(pool).run(call(loop_at_hand))
    assert {*member.loops, driven} == {driven}
    assert not driven.is_closed()


def test_a_thread_whose_own_loop_runs_uses_the_same_loop_too(pool: ConnectionPool) -> None:
    async def main() -> tuple[Any, Any]:
        return BlockingDriver(pool).run(call(loop_at_hand)), asyncio.get_running_loop()

    within, own = asyncio.run(main())
    assert within is BlockingDriver(pool).run(call(loop_at_hand))
    assert within is not own


def test_threads_that_need_the_loop_at_once_share_one(background: BackgroundLoop) -> None:
    loops = in_threads(8, lambda: background.run(loop_at_hand(), PATIENCE))
    assert len(set(loops)) == 1


def test_the_thread_does_not_keep_the_process_alive(background: BackgroundLoop) -> None:
    before = set(threading.enumerate())
    background.run(loop_at_hand(), PATIENCE)
    (thread,) = [each for each in threading.enumerate() if each not in before]
    assert thread.daemon


def test_a_program_that_used_the_loop_ends_silently() -> None:
    program = """
import credentials, asyncio
class Member:
    async def get_token(self, *scopes, **options):
        await asyncio.sleep(0)
        return credentials.AccessToken("t", 4_000_000_000)
print(credentials.ChainedTokenCredential(Member()).get_token("a").expires_on)
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [b"4000000000"], b"")


# Nobody in another's way


def test_context_variables_of_the_caller_are_found_in_the_awaitable(background: BackgroundLoop) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def read() -> str:
        await asyncio.sleep(0)
        return variable.get()

    def asked(value: str) -> str:
        variable.set(value)
        return background.run(read(), PATIENCE)

    contexts = [contextvars.copy_context() for _ in range(2)]
    assert [context.run(asked, value) for context, value in zip(contexts, "ab", strict=True)] == ["a", "b"]
    assert background.run(read(), PATIENCE) == "unset"


def test_what_is_late_is_cancelled_and_the_loop_goes_on(background: BackgroundLoop) -> None:
    ended = threading.Event()
    with pytest.raises(TimeoutError):
        background.run(endless(ended), 0.01)
    assert ended.wait(PATIENCE)
    assert background.run(loop_at_hand(), PATIENCE)


def test_a_caller_that_is_interrupted_cancels_what_it_waits_for(
    background: BackgroundLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    submit: Callable[..., Any] = asyncio.run_coroutine_threadsafe

    def submit_and_interrupt(*arguments: Any) -> Any:
        future = submit(*arguments)

        def interrupted(timeout: float) -> Any:
            background.run(asyncio.sleep(0), PATIENCE)  # what was submitted before it has begun
            raise KeyboardInterrupt

        monkeypatch.undo()
        future.result = interrupted
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submit_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        background.run(endless(ended), PATIENCE)
    assert ended.wait(PATIENCE)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_end_of_the_program_within_is_the_callers_and_not_the_loops(
    background: BackgroundLoop, kind: type[BaseException]
) -> None:
    async def ending() -> None:
        raise kind("enough")

    loop = background.run(loop_at_hand(), PATIENCE)
    with pytest.raises(kind, match="enough"):
        background.run(ending(), PATIENCE)
    assert background.run(loop_at_hand(), PATIENCE) is loop


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_blocking_code_on_the_loop_itself_may_need_a_loop_again(depth: int, pool: ConnectionPool) -> None:
    async def nested(left: int) -> str:
        await asyncio.sleep(0)
        return BlockingDriver(pool).run(call(lambda: nested(left - 1))) if left else "inmost"

    assert BlockingDriver(pool).run(call(lambda: nested(depth))) == "inmost"


def test_what_else_can_be_awaited_is_awaited(background: BackgroundLoop) -> None:
    class Thing:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "thing"

    thing: Awaitable[str] = Thing()
    assert background.run(thing, PATIENCE) == "thing"


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_a_loop_of_its_own(pool: ConnectionPool) -> None:
    def at_hand() -> Any:
        return BlockingDriver(pool).run(call(loop_at_hand))

    parents = at_hand()
    assert in_child(lambda: at_hand() is not parents and in_child(lambda: at_hand() is not parents))
    assert at_hand() is parents


def test_the_loop_is_waited_for_in_bounds_only(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "CALL_TIMEOUT", 0.01)
    ended = threading.Event()
    with pytest.raises(TimeoutError):
        BlockingDriver(pool).run(call(lambda: endless(ended)))
    until(ended.is_set)
