"""How requests and servers end before their time, and what stays open then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.adapters.world import PATIENCE
from tests.frameworks.matrix import Site


def wait_until(state: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait for something that another process does."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if state():
            return
        pause.wait(0.05)
    raise AssertionError(what())


@contextmanager
def in_flight(site: Site, token: str) -> Iterator[Future[httpx.Response]]:
    """Have a request under way about whose exchange the provider thinks until the block ends; give its answer."""
    with ThreadPoolExecutor(1) as executor, site.world.clock.provider_thinks():
        future = executor.submit(site.ask, token)
        site.world.clock.wait_for_the_provider()
        yield future


def leave_in_the_middle(site: Site, clients: int) -> None:
    """Ask for a stream on so many connections, and hang up after its first part, while the exchange is under way."""
    token = site.world.token()
    request = f"GET /stream HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with site.world.clock.provider_thinks():
        connections = [socket.create_connection(site.process.address, PATIENCE) for _ in range(clients)]
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            _read_until(connection, b"begin")
        site.world.clock.wait_for_the_provider()
        for connection in connections:
            connection.close()


def _read_until(connection: socket.socket, text: bytes) -> None:
    read = b""
    while text not in read:
        chunk = connection.recv(65_536)
        assert chunk, f"the server hung up after {read!r}"
        read += chunk


def sockets_and_threads(site: Site) -> tuple[int, int]:
    """Return how many sockets and threads the server's processes have now."""
    pids = _family_of(site.process.pid)
    sockets = sum(_target(one).startswith("socket:") for pid in pids for one in Path(f"/proc/{pid}/fd").iterdir())
    return sockets, sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def _family_of(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family_of(int(child)))]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""
