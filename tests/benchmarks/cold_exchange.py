"""A user's first token with a shared cache before the provider, and while the store of that cache is frozen.

The provider is in a process of its own and thinks for two seconds, so that many users at a time leave the machine most
of its own: what is asked for is the wait for a store, and not the queue before a busy processor. The store is a real
server, frozen by a signal, so that it takes connections and commands and never answers. The floor is the same without a
shared cache; the three take turns, and the medians count. Times are wall-clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from obo_middleware._runtime import Runtime
from obo_middleware._validation import Validated
from obo_middleware.redis import RedisTokenStore, SecretKey
from tests.benchmarks import stage
from tests.benchmarks.measure import percentile
from tests.benchmarks.processes import process
from tests.benchmarks.table import Row, milli
from tests.shared.servers import VALKEY, Server

THINK_TIME = 2.0
MAX_WAIT = 0.05
"""The ``max_wait`` that people get: the most seconds that a store which does not answer adds to a request."""
_numbers = itertools.count(1)

Freeze = Callable[[], AbstractContextManager[None]]


class Times(NamedTuple):
    """Seconds for a first token: one user after the other, and many at once."""

    alone: list[float]
    crowd: list[float]


class _Load(NamedTuple):
    """How many users come alone, how many at a time, how many after each of those; the provider's seconds to think."""

    alone: int
    at_once: int
    each: int
    think_time: float


def _times(provider: stage.Provider, token: str, load: _Load, store: RedisTokenStore | None, freeze: Freeze) -> Times:
    """Return what users wait for whom nobody has seen before, over a store that is frozen once it is known."""
    runtime = Runtime(stage.settings(provider, token_store=store))
    valid = stage.admit(runtime, stage.bearer(token))

    async def main() -> Times:
        await _first_tokens(runtime, valid, 1)
        with freeze():
            alone = await _first_tokens(runtime, valid, load.alone)
            # Not all in the same moment, or they would wait for each other's arithmetic only.
            starts = (load.think_time * number / load.at_once for number in range(load.at_once))
            crowd = await asyncio.gather(*(_first_tokens(runtime, valid, load.each, start) for start in starts))
        await runtime.aclose()
        return Times(alone, list(itertools.chain.from_iterable(crowd)))

    return asyncio.run(main())


async def _first_tokens(runtime: Runtime, valid: Validated, number: int, start: float = 0.0) -> list[float]:
    await asyncio.sleep(start)
    return [await _first_token(runtime, valid) for _ in range(number)]


async def _first_token(runtime: Runtime, valid: Validated) -> float:
    source = runtime.source(stage.API, stage.user_number(valid, next(_numbers)))
    started = time.perf_counter()
    await runtime.async_driver.run(source.token_flow())
    return time.perf_counter() - started


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for a store that is well and one for a frozen one."""
    rounds, load = (1, _Load(1, 5, 1, 0.2)) if quick else (7, _Load(2, 100, 3, THINK_TIME))
    with process("provider_process", think_time=load.think_time, users=1) as told, Server(VALKEY) as server:
        provider, (token,) = stage.RemoteProvider.of(told), told["tokens"]
        key = SecretKey.generate()

        def times(store: RedisTokenStore | None, freeze: Freeze = contextlib.nullcontext) -> Times:
            return _times(provider, token, load, store, freeze)

        def store() -> RedisTokenStore:
            return RedisTokenStore(server.url, keys=key, max_wait=MAX_WAIT)

        turns = [(times(None), times(store()), times(store(), server.frozen)) for _ in range(rounds)]
    none, well, frozen = zip(*turns, strict=True)
    return [
        _row("the shared cache is well", well, none, load),
        _row("the shared cache is frozen", frozen, none, load),
    ]


def _row(what: str, ours: Sequence[Times], none: Sequence[Times], load: _Load) -> Row:
    p99, floor = _p99(ours), _p99(none)
    return Row(
        what=f"a user's first token while {what}; {load.at_once} users at a time",
        ours=f"{milli(_alone(ours))}; p99 of all at a time {milli(p99)}",
        budget=f"p99 <= one exchange + {milli(MAX_WAIT)}, {milli(floor + MAX_WAIT)}",
        floor=f"without one {milli(_alone(none))}; p99 of all at a time {milli(floor)}",
        within=p99 <= floor + MAX_WAIT,
    )


def _alone(turns: Sequence[Times]) -> float:
    return statistics.median(statistics.median(times.alone) for times in turns)


def _p99(turns: Sequence[Times]) -> float:
    return statistics.median(percentile(times.crowd, 0.99) for times in turns)
