"""A token engine that is asked by hand, and the provider behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credentials import AccessTokenInfo
from credentials._cache import key_of
from credentials._credential import TokenEngine, Want
from credentials._drivers import BlockingDriver
from credentials._flow import Flow, call
from credentials._pool import ConnectionPool
from tests.credentials.helpers import Clock

KEY = key_of("alice")
OTHER = key_of("bob")
LIFE = 3600
CLAIMS = '{"access_token":{"nbf":{"value":"1"}}}'


class Provider:
    """Exchanges that count themselves, fail when told to, and wait when told to."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count = 0
        self.error: Exception | None = None
        self.refresh_in: int | None = LIFE // 2
        self.meanwhile: Callable[[], object] = lambda: None

    def exchange(self) -> Flow[AccessTokenInfo]:
        self.count += 1
        mine = self.count
        yield from call(lambda: str(self.meanwhile()))
        if self.error is not None:
            raise self.error
        now = int(self.clock())
        refresh_on = None if self.refresh_in is None else now + self.refresh_in
        return AccessTokenInfo(f"token-{mine}", now + LIFE, refresh_on=refresh_on)


class Asking:
    """Ask an engine for tokens by hand."""

    def __init__(self, engine: TokenEngine, provider: Provider, pool: ConnectionPool) -> None:
        self.engine, self.provider, self.pool = engine, provider, pool

    def flow(self, key: bytes = KEY, **wish: Any) -> Flow[AccessTokenInfo]:
        return self.engine.token_flow(Want(key=key, **wish), self.provider.exchange)

    def __call__(self, key: bytes = KEY, **wish: Any) -> str:
        return BlockingDriver(self.pool).run(self.flow(key, **wish)).token
