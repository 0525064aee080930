"""Serve the demo until Ctrl-C, and say where."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from example_apps.browser_demo.server import serving_demo


def main() -> None:
    """Serve; the ports are fixed, so that a browser remembers its exception for the next time too."""
    parser = argparse.ArgumentParser(prog="python -m example_apps.browser_demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8443, help="port of the page and the API; 0: any free one")
    parser.add_argument("--entra-port", type=int, default=8444, help="port of LocalEntra; 0: any free one")
    options = parser.parse_args()
    ending = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ending.set())
    try:
        with serving_demo(options.port, options.entra_port, think_time=0.08, graph_think_time=0.02) as demo:
            users = ", ".join(user.user_principal_name for user in demo.entra.users.values())
            print(f"Open {demo.url}/ and sign in as one of {users}; no password is asked for.")
            print("The certificate is a throw-away one of this run: accept it once. Ctrl-C ends.", flush=True)
            ending.wait()
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
