"""Run waitress on a socket that the caller listens at; its own command line takes addresses only."""

from __future__ import annotations

import importlib
import signal
import socket
import sys
from typing import Any

import waitress.server


def main(app: str, listener: int) -> None:
    """Serve an app, named as ``module:variable``, until a signal ends it."""
    module, _, name = app.partition(":")
    served = getattr(importlib.import_module(module), name)
    server: Any = waitress.server.create_server(served, sockets=[socket.socket(fileno=listener)], threads=8)
    signal.signal(signal.SIGTERM, _end)
    try:
        server.run()
    finally:
        server.close()


def _end(*_signal: object) -> None:
    # A second one would end waitress' wait for the requests under way, and close what their threads still need.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
