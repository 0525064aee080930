"""Real servers of Redis and Valkey on this machine: found, started on free ports, and treated badly on demand."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import redis

PATIENCE = 20.0
"""Seconds after which a test that waits for something gives up."""
_TURN = 0.01
_HIGHEST_PORT = 55_000
"""A cluster's nodes talk to each other 10 000 ports above their own."""


class Product(NamedTuple):
    """Know where a server's program is: named by a variable, in a package of PyPI, or on the path."""

    name: str
    variable: str
    package: str
    inside: str
    given: str | None


def _product(name: str, inside: str) -> Product:
    # Read now: tests run without the variables of this name's beginning.
    variable = f"OBO_TEST_{name.upper()}_SERVER"
    return Product(name, variable, f"{name}lite", inside, os.environ.get(variable))


REDIS = _product("redis", "bin/redis-server")
VALKEY = _product("valkey", "_binaries/*/valkey-server")
PRODUCTS = (REDIS, VALKEY)


class NoServerError(Exception):
    """Say that there is no program to start."""


def program_of(product: Product) -> str:
    """Return the path of a server's program; raises :class:`NoServerError` that says what to install."""
    if product.given:
        return product.given
    spec = importlib.util.find_spec(product.package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).glob(product.inside)):
            return str(path)
    found = shutil.which(f"{product.name}-server")
    if found is None:
        raise NoServerError(
            f"these tests need a server of {product.name}, and there is none: pip install {product.package}, or name "
            f"the path of {product.name}-server in {product.variable}"
        )
    return found


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; what it raises of a client counts as not yet."""
    pause = threading.Event()
    for _ in range(int(seconds / _TURN)):
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        pause.wait(_TURN)
    raise AssertionError(f"not within {seconds:.0f} seconds")


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < _HIGHEST_PORT:
            return port


class Server:
    """A server of its own folder and port, until it is stopped.

    ``options`` are those of its configuration, with ``_`` for ``-``; ``sentinel`` are the lines of a Sentinel's.
    """

    def __init__(self, product: Product, *, sentinel: str = "", **options: object) -> None:
        self.product = product
        self._folder = tempfile.TemporaryDirectory(prefix="obo-")
        self.socket = f"{self._folder.name}/server.sock"
        self.port = free_port()
        self._options: dict[str, object] = {} if sentinel else {"save": "", "appendonly": "no"} | options
        self._sentinel = sentinel
        self.start()

    # Start and end.

    def start(self) -> None:
        """Start, and wait until it is ready; a port that somebody else took meanwhile is changed for another."""
        for _ in range(5):
            self._ready = threading.Event()
            self._said: list[str] = []
            self._process = subprocess.Popen(
                self._command(), cwd=self._folder.name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            self._reader = threading.Thread(target=self._read, args=(self._process, self._ready), daemon=True)
            self._reader.start()
            assert self._ready.wait(PATIENCE), "the server does not start"
            if self._process.poll() is None:
                return
            self.port = free_port()
        raise AssertionError(f"the server does not start: {self._said}")

    def _command(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "unixsocket": self.socket} | self._options
        if self._sentinel:
            path = Path(self._folder.name) / "sentinel.conf"
            path.write_text(f"port {self.port}\nbind 127.0.0.1\n{self._sentinel}\n")
            return [program_of(self.product), str(path), "--sentinel"]
        lines = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", *_words(value))]
        return [program_of(self.product), *lines]

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._said.append(line)
                if "eady to accept connections" in line or "Sentinel ID is" in line:
                    ready.set()
        process.wait()
        ready.set()

    def stop(self) -> None:
        """End at once, as by a power cut."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # Bad treatment.

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it answer nothing, although it is there, until the block ends."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start at the same address, with nothing kept."""
        self.stop()
        self.start()

    # What is in it.

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client of the test's own, to be closed by it."""
        password = str(self._options.get("requirepass", "")) or None
        return redis.Redis(host="127.0.0.1", port=self.port, password=password, socket_timeout=PATIENCE)

    def ask(self, *command: str | bytes | float) -> Any:
        """Run one command."""
        with self.client() as client:
            run: Callable[..., Any] = client.execute_command
            return run(*command)

    def every_key(self, pattern: str = "*") -> list[bytes]:
        """Return the keys that there are, in order."""
        return sorted(self.ask("KEYS", pattern))

    def entries(self) -> dict[bytes, bytes]:
        """Return the sealed tokens, by key."""
        return {key: self.ask("GET", key) for key in self.every_key("*:e:*")}

    def dump(self) -> bytes:
        """Return all that somebody sees who reads everything."""
        with self.client() as client:
            return b"\n".join(key + b"=" + _shown(client, key) for key in client.scan_iter(count=1_000))

    def flush(self) -> None:
        """Lose everything."""
        self.ask("FLUSHALL")

    @property
    def commands(self) -> int:
        """How many commands it has run, this question included."""
        info: Mapping[str, Any] = self.ask("INFO", "stats")
        return int(info["total_commands_processed"])


def _words(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]


def _shown(client: redis.Redis, key: bytes) -> bytes:
    kind = client.type(key)
    if kind == b"string":
        return bytes(client.get(key) or b"")  # type: ignore[arg-type]  # the library's union with its awaitable half
    reading = {b"set": ("SMEMBERS", key), b"zset": ("ZRANGE", key, 0, -1)}[bytes(kind)]  # type: ignore[arg-type]  # the same
    run: Callable[..., Any] = client.execute_command
    return b" ".join(run(*reading))
