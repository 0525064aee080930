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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.run()
    finally:
        server.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
