"""Serve LocalEntra and LocalGraph from one process, for programs in others.

Prints one line of JSON (addresses, ids, the demo secret), then serves until it is told to end (SIGTERM,
SIGINT).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from . import LocalEntra, LocalGraph


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m obo_middleware.testing", description=__doc__)
    parser.add_argument("--entra-port", type=int, default=0, help="port of LocalEntra; 0: any free one")
    parser.add_argument("--graph-port", type=int, default=0, help="port of LocalGraph; 0: any free one")
    parser.add_argument("--tls", action="store_true", help="serve https with a throw-away CA")
    parser.add_argument("--think-time", type=float, default=0.0, help="seconds the token endpoint waits")
    parser.add_argument("--graph-think-time", type=float, default=0.0, help="seconds LocalGraph waits")
    parser.add_argument("--token-lifetime", type=int, default=3900, help="seconds an access token lives")
    parser.add_argument("--users", type=int, default=0, help="how many users to add: user-0, user-1, ...")
    return parser.parse_args(argv)


def describe(entra: LocalEntra, graph: LocalGraph) -> dict[str, Any]:
    """Return what another process needs to know, as JSON values."""
    return {
        "authority": entra.authority,
        "tenant_id": entra.tenant_id,
        "client_id": entra.api.client_id,
        "client_secret": entra.api.secret,
        "public_client_id": entra.client.client_id,
        "graph_base_url": graph.base_url,
        "graph_scope_prefix": entra.graph.identifier_uris[0],
        "ca_pem_path": entra.ca_pem_path if entra.tls else None,
        "users": len(entra.users),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until a signal comes; call it from the main thread."""
    options = _arguments(argv)
    ending = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ending.set())
    entra = LocalEntra(
        port=options.entra_port,
        tls=options.tls,
        think_time=options.think_time,
        token_lifetime=options.token_lifetime,
    )
    for number in range(options.users):
        entra.add_user(f"user-{number}")
    with entra, LocalGraph(entra, port=options.graph_port, think_time=options.graph_think_time) as graph:
        sys.stdout.write(json.dumps(describe(entra, graph)) + "\n")
        sys.stdout.flush()
        ending.wait()


if __name__ == "__main__":
    main()
