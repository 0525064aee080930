"""An app with one downstream call, against the same app with a static token on a shared client.

App, load generator, downstream API and provider (which thinks for 50 ms) each have a process of their own.
Rounds of both apps take turns; what is reported is the median of the rounds' ratios. The apps' processor time for a
request says the same with less noise where other work disturbs the machine.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from tests.benchmarks.processes import call, process
from tests.benchmarks.table import Row, milli

CONNECTIONS = 32
THINK_TIME = 0.05
LEAST_RATE = 0.97
MOST_P99 = 1.1
LIBRARIES = ("httpx", "httpx2")
_PEER_SECONDS = 8.0
"""Longer, for MSAL blocks the loop: all connections wait for all exchanges, two seconds each time."""
PEERS = {"msal cached": "MSAL with get_accounts() and silent", "msal": "MSAL's exchange on each request"}


@dataclass(frozen=True, slots=True)
class Rounds:
    """What one app did in each round."""

    found: list[dict[str, float]]

    def middle(self, name: str) -> float:
        """Return the median of a measure."""
        return statistics.median(one[name] for one in self.found)

    def against(self, other: Rounds, name: str) -> float:
        """Return the median of the ratios to another app's rounds."""
        return statistics.median(a[name] / b[name] for a, b in zip(self.found, other.found, strict=False))


def measured(library: str, kinds: tuple[str, ...], shared: dict[str, Any], rounds: int, seconds: float) -> list[Rounds]:
    """Let the apps of these kinds take turns, and return what each did."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with ExitStack() as stack:
        ports = {
            kind: stack.enter_context(process("app_process", kind=kind, library=library, **shared))["port"]
            for kind in kinds
        }
        tokens = shared["provider"]["tokens"]
        for _ in range(rounds):
            for kind, port in ports.items():
                found[kind].append(_round(port, seconds, tokens))
    return [Rounds(each) for each in found.values()]


def _round(port: int, seconds: float, tokens: list[str]) -> dict[str, float]:
    """Return what one round of load comes to, with the app's processor seconds for a request."""
    url = f"http://127.0.0.1:{port}/cpu"
    before = float(httpx.get(url, trust_env=False).text)
    said = call("load_process", port=port, seconds=seconds, tokens=tokens)
    assert not said["failure"], said["failure"]
    after = float(httpx.get(url, trust_env=False).text)
    return {"rate": said["rate"], "p50": said["p50"], "p99": said["p99"], "cpu": (after - before) / said["answered"]}


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for each HTTP library."""
    rounds, seconds = (1, 0.1) if quick else (7, 1.5)
    libraries, peers = (LIBRARIES[:1], tuple(PEERS)[:1]) if quick else (LIBRARIES, tuple(PEERS))
    with (
        process("provider_process", think_time=THINK_TIME, users=2 if quick else CONNECTIONS) as provider,
        process("graph_process") as graph,
    ):
        shared = {"provider": provider, "graph": graph["url"]}
        pairs = {library: measured(library, ("static", "ours"), shared, rounds, seconds) for library in libraries}
        found = measured("httpx", peers, shared, 1, seconds if quick else _PEER_SECONDS)
    said = ", ".join(
        f"{PEERS[kind]} {peer.middle('rate') / pairs['httpx'][0].middle('rate'):.2f} x"
        for kind, peer in zip(peers, found, strict=True)
    )
    return [_row(library, floor, ours, said if library == "httpx" else "") for library, (floor, ours) in pairs.items()]


def _row(library: str, floor: Rounds, ours: Rounds, peers: str) -> Row:
    rate, p99 = ours.against(floor, "rate"), ours.against(floor, "p99")
    return Row(
        what=f"app with one downstream call ({library}), {CONNECTIONS} connections, against a static token",
        ours=f"{rate:.3f} x requests/s, p99 {p99:.2f} x, {ours.against(floor, 'cpu'):.3f} x CPU; {_times(ours)}",
        budget=f">= {LEAST_RATE} x requests/s, p99 <= {MOST_P99} x",
        floor=_times(floor),
        peers=peers,
        within=rate >= LEAST_RATE and p99 <= MOST_P99,
    )


def _times(rounds: Rounds) -> str:
    rate, p50, p99, cpu = (rounds.middle(name) for name in ("rate", "p50", "p99", "cpu"))
    return f"{rate:,.0f}/s, p50 {milli(p50)}, p99 {milli(p99)}, CPU {milli(cpu)}"
