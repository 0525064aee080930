"""200 concurrent first requests of one user and scope: how many exchanges they cost, and how long they take.

The provider is in a process of its own and thinks for 50 ms. Every subject has talked to it before, so that no
connection need be opened for one exchange. Times are wall-clock; each trial has a user of its own. The floor is
the same crowd where one makes the exchange and the others wait for a plain future.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

import httpx
import msal
from azure.identity.aio import OnBehalfOfCredential

from obo_middleware._calls import TokenSource
from obo_middleware._runtime import Runtime
from tests.benchmarks import peers, stage
from tests.benchmarks.processes import process
from tests.benchmarks.table import Row, milli

CALLERS = 200
_QUICK_CALLERS = 20
THINK_TIME = 0.05
FACTOR = 1.15


class Crowd(NamedTuple):
    """What came of many callers at once: exchanges (the most of any trial), and the median of their seconds."""

    exchanges: int
    seconds: float


class _Users:
    """Users that nobody has seen yet, how many calls each makes at once, and the provider's counters."""

    def __init__(self, told: dict[str, Any], http: httpx.Client, calls: int) -> None:
        self.calls = calls
        self.provider = stage.RemoteProvider.of(told)
        self._http = http
        self._tokens: Iterator[str] = iter(told["tokens"])

    def new(self) -> str:
        return next(self._tokens)

    def reset(self) -> None:
        self._http.post(f"{self.provider.authority}/_local/reset").raise_for_status()

    def exchanges(self) -> int:
        return int(self._http.get(f"{self.provider.authority}/_local/stats").json()["exchanges"])


def _together(callers: int, work: Callable[[], object]) -> float:
    """Return the seconds until so many threads, let go at once, have all done their work."""
    times: list[float] = []

    def note() -> None:
        times.append(time.perf_counter())

    barrier = threading.Barrier(callers, action=note)

    def caller() -> None:
        barrier.wait()
        work()
        note()

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(times) - min(times)


async def _together_async(callers: int, work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(callers)))
    return time.perf_counter() - started


def _crowd(users: _Users, trials: int, trial: Callable[[str], float]) -> Crowd:
    found = []
    for _ in range(trials):
        users.reset()
        seconds = trial(users.new())
        found.append(Crowd(users.exchanges(), seconds))
    return Crowd(max(one.exchanges for one in found), statistics.median(one.seconds for one in found))


def _source(runtime: Runtime, token: str) -> TokenSource:
    return runtime.source(stage.API, stage.admit(runtime, stage.bearer(token)))


class Found(NamedTuple):
    """What one kind of callers made of it: alone, as a crowd, and as a crowd with a plain future."""

    single: Crowd
    crowd: Crowd
    floor: Crowd


def _threads(users: _Users, runtime: Runtime, trials: int) -> Found:
    """Let threads ask, one alone and many at once."""

    def exchange(token: str) -> Callable[[], object]:
        source = _source(runtime, token)
        return lambda: runtime.blocking_driver.run(source.token_flow())

    def ours(callers: int) -> Callable[[str], float]:
        return lambda token: _together(callers, exchange(token))

    def floor(token: str) -> float:
        led: list[bool] = []
        landed, lock, work = Future[object](), threading.Lock(), exchange(token)

        def caller() -> None:
            with lock:
                leader = not led
                led.append(True)
            if leader:
                landed.set_result(work())
            landed.result()

        return _together(users.calls, caller)

    ours(1)(users.new())
    return Found(_crowd(users, trials, ours(1)), _crowd(users, trials, ours(users.calls)), _crowd(users, trials, floor))


def _tasks(users: _Users, runtime: Runtime, trials: int) -> Found:
    """Let tasks ask, one alone and many at once."""

    async def exchange(source: TokenSource) -> object:
        return await runtime.async_driver.run(source.token_flow())

    with asyncio.Runner() as runner:

        def ours(callers: int) -> Callable[[str], float]:
            def measure(token: str) -> float:
                source = _source(runtime, token)
                return runner.run(_together_async(callers, lambda: exchange(source)))

            return measure

        async def crowd(source: TokenSource) -> float:
            shared: list[asyncio.Task[object]] = []

            async def caller() -> object:
                if not shared:
                    shared.append(asyncio.ensure_future(exchange(source)))
                return await asyncio.shield(shared[0])

            return await _together_async(users.calls, caller)

        ours(1)(users.new())
        found = Found(
            _crowd(users, trials, ours(1)),
            _crowd(users, trials, ours(users.calls)),
            _crowd(users, trials, lambda token: runner.run(crowd(_source(runtime, token)))),
        )
        runner.run(runtime.aclose())
    return found


def _msal(users: _Users, trials: int) -> Crowd:
    """Return what MSAL makes of a crowd of threads that share one application."""
    with peers.trusting_session(users.provider) as session:
        app = msal.ConfidentialClientApplication(**peers.msal_options(users.provider, session))

        def measure(token: str) -> float:
            return _together(users.calls, lambda: app.acquire_token_on_behalf_of(token, [stage.GRAPH_SCOPE]))

        return _crowd(users, trials, measure)


def _azure(users: _Users, trials: int) -> Crowd:
    """Return what azure-identity makes of a crowd of tasks that share one credential of the user."""

    async def trial(token: str) -> float:
        async with OnBehalfOfCredential(**peers.azure_options(users.provider), user_assertion=token) as credential:
            return await _together_async(users.calls, lambda: credential.get_token(stage.GRAPH_SCOPE))

    return _crowd(users, trials, lambda token: asyncio.run(trial(token)))


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for tasks and one for threads."""
    trials, calls = (1, _QUICK_CALLERS) if quick else (9, CALLERS)
    needed = 2 * (1 + 3 * trials) + 2
    with process("provider_process", think_time=THINK_TIME, users=needed) as told:
        provider = stage.RemoteProvider.of(told)
        with httpx.Client(verify=provider.ssl_context(), trust_env=False) as http:
            users, runtime = _Users(told, http, calls), stage.warm_runtime(provider)
            found = {"asyncio tasks": _tasks(users, runtime, trials), "threads": _threads(users, runtime, trials)}
            runtime.close()
            peers = {"MSAL, threads": _msal(users, 1), "azure-identity, tasks": _azure(users, 1)}
    said = "; ".join(f"{name}: {crowd.exchanges} exchanges, {milli(crowd.seconds)}" for name, crowd in peers.items())
    return [_row(name, calls, one, said) for name, one in found.items()]


def _row(name: str, calls: int, found: Found, peers: str) -> Row:
    alone, ours = found.single.seconds, found.crowd
    ratio = ours.seconds / alone
    return Row(
        what=f"{calls} concurrent first requests of one user and scope: {name}",
        ours=f"{ours.exchanges} exchange(s), {milli(ours.seconds)}, {ratio:.2f} x one",
        budget=f"1 exchange, <= {FACTOR} x one exchange, {milli(FACTOR * alone)}",
        floor=f"one exchange {milli(alone)}; crowd on a plain future {milli(found.floor.seconds)}",
        peers=peers,
        within=ours.exchanges == 1 and ratio <= FACTOR,
    )
