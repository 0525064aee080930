"""The shared cache: what a hit in it costs beside a bare GET, and what a million entries take and change.

Over a real server on this machine, by the same client library and kind of connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio

from credentials import AccessTokenInfo
from credentials.kernel import Name, Save, key_of, user_group
from obo_middleware._runtime import Runtime
from obo_middleware._shared_cache import encoded
from obo_middleware.redis import RedisTokenStore, SecretKey
from obo_middleware.testing import LocalEntra
from tests.benchmarks import stage
from tests.benchmarks.table import Row, micro
from tests.shared.servers import VALKEY, Server

FACTOR = 1.3
_TENANT = "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3"


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


def _walls(first: Callable[[], object], second: Callable[[], object], number: int, rounds: int) -> tuple[float, float]:
    """Return the least seconds of the clock that a call of each takes, in turns: most of them are waits."""
    pairs = [(_wall(first, number), _wall(second, number)) for _ in range(rounds)]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def _wall(function: Callable[[], object], number: int) -> float:
    started = time.perf_counter()
    for _ in range(number):
        function()
    return (time.perf_counter() - started) / number


def _blocking(runtime: Runtime, server: Server, number: int, rounds: int) -> tuple[float, float]:
    """Return the seconds of a bare GET and of a hit in the shared cache."""
    shared = runtime.shared
    assert shared is not None
    entry = _entry(shared.sealer.names(_key(0))[0])
    with redis.Redis(port=server.port, protocol=2, socket_timeout=1.0) as client:
        return _walls(
            lambda: client.get(entry),
            lambda: runtime.blocking_driver.run(shared.visit(_key(0)).load_flow()),
            number,
            rounds,
        )


def _awaitable(runtime: Runtime, server: Server, number: int, rounds: int) -> tuple[float, float]:
    shared = runtime.shared
    assert shared is not None
    entry = _entry(shared.sealer.names(_key(0))[0])

    async def main() -> tuple[float, float]:
        client = redis.asyncio.Redis(port=server.port, protocol=2, socket_timeout=1.0)
        bare, ours = [], []
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(number):
                await client.get(entry)
            bare.append((time.perf_counter() - started) / number)
            started = time.perf_counter()
            for _ in range(number):
                await runtime.async_driver.run(shared.visit(_key(0)).load_flow())
            ours.append((time.perf_counter() - started) / number)
        await client.aclose()
        await runtime.aclose()
        return min(bare), min(ours)

    return asyncio.run(main())


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for hits, one for hits without sealing, and one for a million entries."""
    number, rounds, many = (20, 2, 200) if quick else (2_000, 7, 1_000_000)
    with stage.provider() as entra, Server(VALKEY) as server:
        rows = []
        for what, options in (("sealed", {}), ("plain text", {"plain_text": True, "prefix": "obo"})):
            server.ask("FLUSHALL")
            with _application(server, entra, **options) as runtime:
                _fill(runtime, server, range(1))
                pairs = _blocking(runtime, server, number, rounds), _awaitable(runtime, server, number, rounds)
                rows.append(_hit_row(what, *pairs))
        rows.append(_many_row(server, entra, number, rounds, many))
    return rows


def _hit_row(what: str, blocking: tuple[float, float], awaitable: tuple[float, float]) -> Row:
    (bare, ours), (bare_awaitable, ours_awaitable) = blocking, awaitable
    factors = ours / bare, ours_awaitable / bare_awaitable
    return Row(
        what=f"hit in the shared cache, {what}, blocking / awaitable",
        ours=f"{micro(ours)} / {micro(ours_awaitable)}, {factors[0]:.2f} x / {factors[1]:.2f} x",
        budget=f"<= {FACTOR} x a bare GET of the same size",
        floor=f"GET {micro(bare)} / {micro(bare_awaitable)}",
        within=max(factors) <= FACTOR,
    )


def _many_row(server: Server, entra: LocalEntra, number: int, rounds: int, many: int) -> Row:
    server.ask("FLUSHALL")
    with _application(server, entra) as runtime:
        _fill(runtime, server, range(1))
        alone = _blocking(runtime, server, number, rounds)[1]
        before = int(server.ask("INFO", "memory")["used_memory"])
        _fill(runtime, server, range(1, many))
        taken = int(server.ask("INFO", "memory")["used_memory"]) - before
        crowded = _blocking(runtime, server, number, rounds)[1]
        _check_save(runtime, server)
    return Row(
        what=f"hit in the shared cache among {many:,} entries",
        ours=f"{micro(crowded)}, {taken / many:,.0f} bytes an entry in the store",
        budget=f"<= 1.2 x as among 1, {micro(1.2 * alone)}",
        floor=f"among 1 {micro(alone)}",
        within=crowded <= 1.2 * alone,
    )


def _check_save(runtime: Runtime, server: Server) -> None:
    """See that what was measured is what the store itself writes."""
    store, shared = runtime.store, runtime.shared
    assert store is not None
    assert shared is not None
    name = shared.sealer.names(key_of("written by the store"))[0]
    store.perform(Save(name, b"value", 60.0))
    assert server.ask("GET", _entry(name)) == b"value"
