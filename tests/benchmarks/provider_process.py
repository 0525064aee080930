"""Serve the local provider from a process of its own, with a think time, and with users whose tokens are long enough.

The command of ``obo_middleware.testing`` does the same but for the length of its tokens.
"""

from __future__ import annotations

import signal
import threading

from obo_middleware.testing import LocalEntra
from tests.benchmarks.processes import options, say
from tests.benchmarks.stage import inbound_token

_NAME = "X" * 171
"""A display name that makes the downstream token, where it stands three times, 2 kB long."""


def main() -> None:
    """Serve until a signal comes."""
    given = options()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with LocalEntra(tls=True, think_time=given["think_time"]) as entra:
        names = [f"user-{number}" for number in range(given["users"])]
        for name in names:
            entra.add_user(name, display_name=_NAME)
        say(
            authority=entra.authority,
            tenant_id=entra.tenant_id,
            client_id=entra.api.client_id,
            client_secret=entra.api.secret,
            ca_pem_path=entra.ca_pem_path,
            issuer=entra.issuer,
            tokens=[inbound_token(entra, name) for name in names],
        )
        ending.wait()


if __name__ == "__main__":
    main()
