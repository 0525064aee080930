"""Each framework's app with one downstream call, against the same app with a static token on a shared client.

Ours is the app of the framework's page, as it stands there. App, load generator and downstream API have a process of
their own; rounds of both apps take turns, and what is reported is the median of the rounds' ratios. What happens once
for each user, validation and exchange, is before the rounds' time.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.adapters.harness import bearer
from tests.adapters.world import Clock, World, new_world
from tests.benchmarks.downstream_call import CONNECTIONS, LEAST_RATE, MOST_P99, Rounds
from tests.benchmarks.processes import PATIENCE, call, process
from tests.benchmarks.stage import inbound_token
from tests.benchmarks.table import Row, milli
from tests.frameworks.matrix import ASGI_FRAMEWORKS, WSGI_FRAMEWORKS, Framework
from tests.frameworks.pages import apps_in, save
from tests.frameworks.processes import WSGI, Command, Process

THINK_TIME = 0.002
"""Seconds that the downstream API thinks: with more of it eight threads would be idle, and hide what our part takes."""
_NAME = "X" * 171
"""A display name that makes the downstream token, where it stands three times, 2 kB long."""


def _uvicorn(app: str, listener: int, _port: int) -> list[str]:
    return ["uvicorn", app, "--fd", str(listener), "--no-access-log", "--loop", "asyncio"]


class _Subject(NamedTuple):
    """A framework behind a server, and the name of its floor in ``framework_apps``."""

    server: str
    command: Command
    framework: Framework
    floor: str


_BY_UVICORN = ("Starlette", "FastAPI", "Litestar", "Quart")
_GTHREAD = "gunicorn gthread"
_BY_THREADS = {"Flask": _GTHREAD, "Django": _GTHREAD, "Bottle": _GTHREAD, "Pyramid": "waitress"}
SUBJECTS = {
    **{name: _Subject("uvicorn", _uvicorn, ASGI_FRAMEWORKS[name], name.lower()) for name in _BY_UVICORN},
    "Django, ASGI": _Subject("uvicorn", _uvicorn, ASGI_FRAMEWORKS["Django"], "django_async"),
    **{
        name: _Subject(server, WSGI[server], WSGI_FRAMEWORKS[name], name.lower())
        for name, server in _BY_THREADS.items()
    },
}


class _Load(NamedTuple):
    """What every app is given to do: each connection has a user of its own."""

    world: World
    graph: str
    tokens: list[str]
    rounds: int
    seconds: float


def _token(world: World) -> str:
    """Return somebody new's token, as long as one of a real user."""
    name = f"user-{len(world.entra.users)}"
    world.entra.add_user(name, display_name=_NAME)
    return inbound_token(world.entra, name)


def _measured(subject: _Subject, load: _Load) -> tuple[Rounds, Rounds]:
    """Return what the floor and our app did in rounds by turns."""
    variables = {"GRAPH_BASE_URL": load.graph, "PYTHONASYNCIODEBUG": ""}
    names = (("floor", f"tests.benchmarks.framework_apps:{subject.floor}"), ("ours", subject.framework.app))
    found: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        save(apps_in(subject.framework.page)[subject.framework.block].code, folder / "ours")
        (folder / "floor").mkdir()
        apps = [
            stack.enter_context(Process(subject.command, app, folder / name, load.world, variables))
            for name, app in names
        ]
        for app in apps:
            _check(app, load.tokens[0])
        for _ in range(load.rounds):
            for app, results in zip(apps, found, strict=True):
                results.append(_round(app, load.seconds, load.tokens))
    return Rounds(found[0]), Rounds(found[1])


def _check(app: Process, token: str) -> None:
    """Fail for an app that does not start, for which the load generator would wait without end."""
    answer = httpx.get(f"{app.url}/me", headers=bearer(token), timeout=PATIENCE, trust_env=False)
    assert answer.status_code == httpx.codes.OK, app.said


def _round(app: Process, seconds: float, tokens: list[str]) -> dict[str, Any]:
    said = call("load_process", port=app.address[1], seconds=seconds, tokens=tokens)
    assert not said["failure"], said["failure"]
    return said


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for each framework."""
    rounds, seconds = (1, 0.1) if quick else (5, 1.5)
    names = ("FastAPI", "Flask") if quick else tuple(SUBJECTS)
    with new_world(Clock()) as world, process("graph_process", think_time=THINK_TIME) as graph:
        tokens = [_token(world) for _ in range(2 if quick else CONNECTIONS)]
        load = _Load(world, graph["url"], tokens, rounds, seconds)
        return [_row(name, *_measured(SUBJECTS[name], load)) for name in names]


def _row(name: str, floor: Rounds, ours: Rounds) -> Row:
    rate, p99 = ours.against(floor, "rate"), ours.against(floor, "p99")
    return Row(
        what=f"{name} behind {SUBJECTS[name].server}, one downstream call, {CONNECTIONS} connections",
        ours=f"{rate:.3f} x requests/s, p99 {p99:.2f} x; {_times(ours)}",
        budget=f">= {LEAST_RATE} x requests/s, p99 <= {MOST_P99} x",
        floor=f"static token, shared client: {_times(floor)}",
        within=rate >= LEAST_RATE and p99 <= MOST_P99,
    )


def _times(rounds: Rounds) -> str:
    rate, p50, p99 = (rounds.middle(name) for name in ("rate", "p50", "p99"))
    return f"{rate:,.0f}/s, p50 {milli(p50)}, p99 {milli(p99)}"
