"""The shared cache: what a hit in it costs beside a bare GET, and what a million entries take and change.

Over a real server on this machine, by the same client library and kind of connection. A few GETs and a few hits take
turns many times, and the medians count: a machine is fast now and slow then.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis.asyncio

from credentials import AccessTokenInfo
from credentials.kernel import Name, Save, key_of, user_group
from obo_middleware._runtime import Runtime
from obo_middleware._shared_cache import encoded
from obo_middleware.redis import RedisTokenStore, SecretKey
from obo_middleware.testing import LocalEntra
from tests.benchmarks import stage
from tests.benchmarks.measure import per_call
from tests.benchmarks.table import Row, micro
from tests.shared.servers import VALKEY, Server

FACTOR = 1.3
_CALLS = 10
_TENANT = "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3"


class Pair(NamedTuple):
    """Seconds of a bare GET and of a hit in the shared cache, and how many times longer the hit takes."""

    get: float
    hit: float
    factor: float


@contextmanager
def _application(server: Server, entra: LocalEntra, **options: Any) -> Iterator[Runtime]:
    store = RedisTokenStore(server.url, **(options or {"keys": SecretKey.generate()}), max_wait=2.0)
    runtime = Runtime(stage.settings(entra, token_store=store))
    runtime.blocking_driver.run(runtime.warm_up_flow())
    try:
        yield runtime
    finally:
        runtime.close()


def _key(number: int) -> bytes:
    return user_group(_TENANT, f"user-{number}") + key_of("token", str(number))


def _fill(runtime: Runtime, server: Server, numbers: range) -> None:
    """Put tokens of 2 kB into the store, each of another user."""
    shared, now = runtime.shared, int(time.time())
    assert shared is not None
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in numbers:
            name = shared.sealer.names(_key(number))[0]
            info = AccessTokenInfo(stage.opaque_token(stage.DOWNSTREAM), now + 3_600, refresh_on=now + 1_800)
            pipeline.set(_entry(name), shared.sealer.seal(name, encoded(info, float(now))), ex=3_600)
            if number % 1_000 == 999:
                pipeline.execute()
        pipeline.execute()


def _entry(name: Name) -> str:
    return f"obo:{{{name.group}}}:e:{name.entry}"


def _median(pairs: list[tuple[float, float]]) -> Pair:
    first, second = zip(*pairs, strict=True)
    factor = statistics.median(other / one for one, other in pairs)
    return Pair(statistics.median(first), statistics.median(second), factor)


def _wall(function: Callable[[], object]) -> float:
    return per_call(function, _CALLS, time.perf_counter)


async def _wall_async(function: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(_CALLS):
        await function()
    return (time.perf_counter() - started) / _CALLS


def _blocking(runtime: Runtime, server: Server, rounds: int) -> Pair:
    shared = runtime.shared
    assert shared is not None
    key = _key(0)
    entry = _entry(shared.sealer.names(key)[0])

    def hit() -> object:
        return runtime.blocking_driver.run(shared.visit(key).load_flow())

    with redis.Redis(port=server.port, protocol=2, socket_timeout=1.0) as client:
        return _median([(_wall(lambda: client.get(entry)), _wall(hit)) for _ in range(rounds)])


def _awaitable(runtime: Runtime, server: Server, rounds: int) -> Pair:
    shared = runtime.shared
    assert shared is not None
    key = _key(0)
    entry = _entry(shared.sealer.names(key)[0])

    def hit() -> Awaitable[object]:
        return runtime.async_driver.run(shared.visit(key).load_flow())

    async def main() -> Pair:
        async with redis.asyncio.Redis(port=server.port, protocol=2, socket_timeout=1.0) as client:
            pairs = [(await _wall_async(lambda: client.get(entry)), await _wall_async(hit)) for _ in range(rounds)]
        await runtime.aclose()
        return _median(pairs)

    return asyncio.run(main())


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for hits, one for hits without sealing, and one for a million entries."""
    rounds, many = (4, 200) if quick else (1_000, 1_000_000)
    with stage.provider() as entra, Server(VALKEY) as server:
        rows = []
        for what, options in (("sealed", {}), ("plain text", {"plain_text": True, "prefix": "obo"})):
            server.ask("FLUSHALL")
            with _application(server, entra, **options) as runtime:
                _fill(runtime, server, range(1))
                rows.append(_hit_row(what, _blocking(runtime, server, rounds), _awaitable(runtime, server, rounds)))
        rows.append(_many_row(server, entra, rounds, many))
    return rows


def _hit_row(what: str, blocking: Pair, awaitable: Pair) -> Row:
    factors = f"{blocking.factor:.2f} x / {awaitable.factor:.2f} x"
    return Row(
        what=f"hit in the shared cache, {what}, blocking / awaitable",
        ours=f"{micro(blocking.hit)} / {micro(awaitable.hit)}, {factors}",
        budget=f"<= {FACTOR} x a bare GET of the same size",
        floor=f"GET {micro(blocking.get)} / {micro(awaitable.get)}",
        within=max(blocking.factor, awaitable.factor) <= FACTOR,
    )


def _many_row(server: Server, entra: LocalEntra, rounds: int, many: int) -> Row:
    server.ask("FLUSHALL")
    with _application(server, entra) as runtime:
        _fill(runtime, server, range(1))
        alone = _blocking(runtime, server, rounds)
        before = int(server.ask("INFO", "memory")["used_memory"])
        _fill(runtime, server, range(1, many))
        taken = int(server.ask("INFO", "memory")["used_memory"]) - before
        crowded = _blocking(runtime, server, rounds)
        _check_save(runtime, server)
    return Row(
        what=f"hit in the shared cache among {many:,} entries",
        ours=f"{micro(crowded.hit)}, {taken / many:,.0f} bytes an entry in the store",
        budget=f"<= 1.2 x as among 1, {micro(1.2 * alone.hit)}",
        floor=f"among 1 {micro(alone.hit)}",
        within=crowded.hit <= 1.2 * alone.hit,
    )


def _check_save(runtime: Runtime, server: Server) -> None:
    """See that what was measured is what the store itself writes."""
    store, shared = runtime.store, runtime.shared
    assert store is not None
    assert shared is not None
    name = shared.sealer.names(key_of("written by the store"))[0]
    store.perform(Save(name, b"value", 60.0))
    assert server.ask("GET", _entry(name)) == b"value"
