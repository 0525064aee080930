"""Clients that leave, servers that stop, reload or lose a worker: nobody waits for ever, and nothing stays open."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.adapters.world import World
from tests.frameworks.conftest import Serve
from tests.frameworks.endings import in_flight, leave_in_the_middle, sockets_and_threads, wait_until
from tests.frameworks.matrix import ASGI_FRAMEWORKS, ENDS, WSGI_FRAMEWORKS, Framework, Site
from tests.frameworks.processes import ASGI, WSGI, Command

FASTAPI, FLASK = ASGI_FRAMEWORKS["FastAPI"], WSGI_FRAMEWORKS["Flask"]


def alone(command: Command) -> Command:
    """Return a server with one worker, which has the provider's keys once it has answered somebody."""

    def words(app: str, listener: int, port: int) -> list[str]:
        given = command(app, listener, port)
        return [*given, "--workers", "1"] if "--workers" in given else given

    return words


SERVERS = {name: (FASTAPI, command) for name, command in ASGI.items()} | {
    name: (FLASK, alone(command)) for name, command in WSGI.items()
}
SAYS_SO = {"uvicorn", "granian", *(name for name in SERVERS if name.startswith("gunicorn"))}
"""Servers that say when they begin to stop."""
WAVES = 5
LEAVING = {"gunicorn sync": 1}
"""Clients at a time, where that is how many the server takes."""


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, serve: Serve, world: World) -> Site:
    """Give an app behind each server, which has answered somebody."""
    framework, command = SERVERS[request.param]
    served: Site = serve(framework, command)
    assert served.ask(world.token("alice")).status_code == 200
    return served


def ended_well(site: Site) -> None:
    assert site.stop() in ENDS, site.process.said
    assert site.process.left == [], site.process.said


def stopping(site: Site, server: str) -> Callable[[], object]:
    return lambda: server not in SAYS_SO or "hutting down" in site.process.said or "signal: term" in site.process.said


def test_a_server_that_is_told_to_stop_answers_who_is_waiting(
    request: pytest.FixtureRequest, site: Site, world: World
) -> None:
    server = request.node.callspec.params["site"]
    with in_flight(site, world.token()) as answer:
        site.process.signal(signal.SIGTERM)
        wait_until(stopping(site, server), lambda: site.process.said)
    assert answer.result().status_code == 200
    ended_well(site)


def test_clients_that_leave_in_the_middle_of_a_stream_leave_nothing_behind(
    request: pytest.FixtureRequest, site: Site, world: World
) -> None:
    clients = LEAVING.get(request.node.callspec.params["site"], 6)
    leave_in_the_middle(site, clients)
    assert site.ask(world.token()).status_code == 200
    after_one = sockets_and_threads(site)
    for _ in range(WAVES):
        leave_in_the_middle(site, clients)
        assert site.ask(world.token()).status_code == 200

    def no_more() -> bool:
        # A wave may need as many connections and threads as it has clients, and they are kept; no wave leaves any more.
        return all(now <= before + clients for now, before in zip(sockets_and_threads(site), after_one, strict=True))

    wait_until(no_more, lambda: f"{after_one} became {sockets_and_threads(site)}: {site.process.said}")
    ended_well(site)


RELOADED: dict[str, tuple[Framework, Command]] = {
    name: SERVERS[name] for name in ("gunicorn with uvicorn workers", "gunicorn gthread", "gunicorn sync")
}


@pytest.mark.parametrize("server", RELOADED)
def test_a_reload_loses_no_request_and_leaves_nothing(server: str, serve: Serve, world: World) -> None:
    site = serve(*RELOADED[server])
    assert site.ask(world.token("alice")).status_code == 200
    with in_flight(site, world.token()) as answer:
        booted = site.process.said.count("Booting worker")
        site.process.signal(signal.SIGHUP)
        wait_until(lambda: site.process.said.count("Booting worker") > booted, lambda: site.process.said)
    assert answer.result().status_code == 200
    assert site.profile(site.ask(world.token("bob")))["id"] == world.object_id("bob")
    ended_well(site)


def test_the_reloader_of_a_developer_leaves_nothing(serve: Serve, world: World, tmp_path: Path) -> None:
    def reloading(app: str, listener: int, _port: int) -> list[str]:
        return ["uvicorn", app, "--fd", str(listener), "--reload", "--reload-dir", str(tmp_path)]

    site = serve(FASTAPI, reloading)
    assert site.ask(world.token("alice")).status_code == 200
    site.client.close()
    started = site.process.said.count("Application startup complete")
    with (tmp_path / "app.py").open("a") as app:
        app.write("\n# changed\n")
    wait_until(lambda: site.process.said.count("Application startup complete") > started, lambda: site.process.said)
    with httpx.Client(base_url=site.process.url, trust_env=False, timeout=30.0) as site.client:
        assert site.profile(site.ask(world.token("bob")))["id"] == world.object_id("bob")
    ended_well(site)


def test_a_worker_that_takes_too_long_is_replaced_and_the_next_one_knows_nothing_of_it(
    serve: Serve, world: World
) -> None:
    def impatient(app: str, listener: int, port: int) -> list[str]:
        return [*SERVERS["gunicorn sync"][1](app, listener, port), "--timeout", "1"]

    site = serve(FLASK, impatient)
    assert site.ask(world.token("alice")).status_code == 200
    unlucky = world.newcomer()
    with in_flight(site, world.token(unlucky)) as answer:
        wait_until(answer.done, lambda: site.process.said)
    failure = answer.exception()
    assert isinstance(failure, httpx.RemoteProtocolError) or answer.result().status_code == 500
    for name in ("bob", unlucky):
        assert site.profile(site.ask(world.token(name)))["id"] == world.object_id(name)
    assert site.stop() in ENDS
