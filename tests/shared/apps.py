"""Workers that share a store: each a runtime of its own, in one colour, that gets tokens for signed-in users."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import pytest

from credentials.kernel import Flow, user_group
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware._runtime import Runtime
from obo_middleware._validation import Validated
from obo_middleware.redis import RedisTokenStore
from obo_middleware.testing import LocalEntra
from tests.core.kit import bearer, claims_of, settings_for
from tests.shared.by_hand import SECRET
from tests.shared.servers import PATIENCE, eventually

T = TypeVar("T")

COLOURS = ("blocking", "async")
SCOPE = "https://graph.microsoft.com/User.Read"
MAIL = "https://graph.microsoft.com/Mail.Read"
WAIT = 2.0
"""Seconds that these tests give a store that is well: the machine may be busy."""
CROWD_PATIENCE = 120.0
"""Seconds for many requests at once, which bound their own waits: they and their provider may share one core."""
LEAVING_CONNECTIONS = [pytest.mark.filterwarnings("ignore::ResourceWarning"), pytest.mark.usefixtures("swept")]
"""For tests in which servers go away: redis-py's awaitable clients leave connections to these, and connections that
they were still making, to the garbage collector."""
_numbers = itertools.count(1)


class LoopThread:
    """An event loop on a thread of its own, as a server of ASGI has one."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[T], patience: float = PATIENCE) -> T:
        return asyncio.run_coroutine_threadsafe(_coroutine(work), self.loop).result(patience)

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


async def _coroutine(work: Awaitable[T]) -> T:
    return await work


class App:
    """One worker; ``options`` are those of its store, ``changes`` of its settings."""

    def __init__(
        self, entra: LocalEntra, url: str, colour: str, *, changes: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.entra, self.colour = entra, colour
        given: dict[str, Any] = {"keys": [SECRET], "max_wait": WAIT} | options
        self.store = RedisTokenStore(url, **given)
        self.runtime = Runtime(settings_for(entra, token_store=self.store, **(changes or {})))
        self._loop = LoopThread() if colour == "async" else None

    # Tokens

    def admit(self, token: str) -> Validated:
        valid = self.runtime.blocking_driver.run(self.runtime.admit_flow(bearer(token), "/me"))
        assert valid is not None
        return valid

    def token(self, token: str, scope: str = SCOPE) -> str:
        """Return the downstream token for a user who comes with a token."""
        (got,) = self.tokens([(token, scope)])
        return got

    def tokens(self, wants: Iterable[tuple[str, str]]) -> list[str]:
        """Return what many requests at once get, each with a user's token and a scope; raises what one of them does."""
        valid = [(self.admit(token), scope) for token, scope in wants]
        if self._loop is None:
            if len(valid) == 1:
                return [self._get(*valid[0])]
            with ThreadPoolExecutor(len(valid)) as threads:
                return list(threads.map(lambda want: self._get(*want), valid))
        return self._loop.run(self._get_all(valid), CROWD_PATIENCE)

    def _get(self, valid: Validated, scope: str) -> str:
        return BlockingContext(self.runtime, valid).credential.get_token(scope).token

    async def _get_all(self, valid: list[tuple[Validated, str]]) -> list[str]:
        async def one(valid: Validated, scope: str) -> str:
            return (await AsyncContext(self.runtime, valid).credential.get_token(scope)).token

        return await asyncio.gather(*(one(*want) for want in valid))

    def forget(self, *users: str) -> None:
        """Forget users by name, without any everybody."""
        for group in [self.group(user) for user in users] or [b""]:
            self.run(self.runtime.forget_flow(group))

    def group(self, user: str) -> bytes:
        return user_group(self.entra.tenant_id, self.entra.users[user].object_id)

    def run(self, flow: Flow[T]) -> T:
        """Run a flow in the worker's colour."""
        if self._loop is None:
            return self.runtime.blocking_driver.run(flow)
        return self._loop.run(self.runtime.async_driver.run(flow))

    def listens(self) -> Self:
        """Wait until the worker hears the others."""
        self.store._news.start()
        eventually(lambda: self.store.statistics.listening)
        return self

    def close(self) -> None:
        if self._loop is None:
            self.runtime.close()
        else:
            self._loop.run(self.runtime.aclose())
            self._loop.close()


class Workers:
    """A provider, and workers that ask it."""

    def __init__(self, entra: LocalEntra) -> None:
        self.entra = entra
        self._apps: list[App] = []

    def start(self, url: str, colour: str = "blocking", **options: Any) -> App:
        app = App(self.entra, url, colour, **options)
        self._apps.append(app)
        return app

    def newcomer(self) -> str:
        """Register a user whom no worker has seen; return the name."""
        return self.entra.add_user(f"user{next(_numbers)}").name

    def sign_in(self, user: str | None = None) -> str:
        """Return the token with which a user comes, somebody new if nobody is named."""
        return self.entra.sign_in(user or self.newcomer())

    @property
    def exchanges(self) -> int:
        return self.entra.exchanges

    def whose(self, token: str) -> str:
        """Return the name of the user whose token it is."""
        object_id = claims_of(token)["oid"]
        return next(user.name for user in self.entra.users.values() if user.object_id == object_id)


@contextmanager
def workers(entra: LocalEntra) -> Iterator[Workers]:
    """Lend workers that are closed in the end."""
    entra.forget_faults()
    entra.reset_counts()
    working = Workers(entra)
    try:
        yield working
    finally:
        entra.forget_faults()
        for app in working._apps:
            app.close()
