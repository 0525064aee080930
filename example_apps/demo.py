"""Show the main job: two users and an anonymous caller, one API, and Graph called as whoever is signed in.

Starts LocalEntra, LocalGraph and the FastAPI example, calls the example, prints who got what and what it cost.
Exits with 1 if anything is not as expected. With ``--keep`` it goes on serving until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from example_apps.local import FASTAPI, serving
from obo_middleware.testing import LocalEntra, LocalGraph

ROUTES = ("/me", "/messages", "/users", "/health")
EXPECTED = {
    ("alice", "/me"): "200 Alice Adams",
    ("alice", "/messages"): "200 Alice: Quarterly figures, ...",
    ("alice", "/users"): "200 2 users",
    ("alice", "/health"): "200 up",
    ("bob", "/me"): "200 Bob Brown",
    ("bob", "/messages"): "200 Bob: Quarterly figures, ...",
    ("bob", "/users"): "200 2 users",
    ("bob", "/health"): "200 up",
    ("nobody", "/me"): "401 Bearer",
    ("nobody", "/messages"): "401 Bearer",
    ("nobody", "/users"): "401 Bearer",
    ("nobody", "/health"): "200 up",
}
"""What each caller must get from each route: the status, and what matters of the answer."""

Answers = dict[tuple[str, str], str]
Tokens = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Hold what one round of calls got, and what it cost: requests for tokens, milliseconds of the calls with Graph."""

    answers: Answers
    exchanges: int
    app_requests: int
    milliseconds: tuple[float, ...]


def shown(response: httpx.Response) -> str:
    """Return a status, and what matters of the answer."""
    if response.status_code != 200:
        return f"{response.status_code} {response.headers.get('WWW-Authenticate', '').partition(' ')[0]}".strip()
    body: Any = response.json()
    if isinstance(body, dict):
        return f"200 {body.get('name') or body.get('status')}"
    return f"200 {body[0]}, ..." if ":" in body[0] else f"200 {len(body)} users"


def ask(api: httpx.Client, path: str, token: str | None) -> str:
    """Call one route as whoever the token is for."""
    return shown(api.get(path, headers={"Authorization": f"Bearer {token}"} if token else {}))


def play(api: httpx.Client, entra: LocalEntra, tokens: Tokens) -> Round:
    """Let every caller call every route once."""
    entra.reset_counts()
    answers: Answers = {}
    milliseconds = []
    for caller, token in tokens.items():
        for path in ROUTES:
            begin = time.perf_counter()
            answers[caller, path] = ask(api, path, token)
            if token and path != "/health":
                milliseconds.append((time.perf_counter() - begin) * 1000)
    exchanges, requests = entra.exchanges, entra.requests_to("token")
    return Round(
        answers=answers, exchanges=exchanges, app_requests=requests - exchanges, milliseconds=tuple(milliseconds)
    )


def revoke_and_ask(api: httpx.Client, entra: LocalEntra, token: str | None) -> tuple[str, int]:
    """Revoke Alice's downstream tokens, and call for her: the answer, and the exchanges that it took."""
    entra.reset_counts()
    entra.revoke("alice")
    return ask(api, "/me", token), entra.exchanges


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, in columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def who_got_what(answers: Answers) -> str:
    """Return a table with a row for each caller and a column for each route."""
    callers = dict.fromkeys(caller for caller, _ in answers)
    rows = [[caller, *(answers[caller, path] for path in ROUTES)] for caller in callers]
    return table([["caller", *(f"GET {path}" for path in ROUTES)], *rows])


def what_it_cost(rounds: Mapping[str, Round]) -> str:
    """Return a table with a row for each round."""
    heading = ["round", "calls with Graph", "exchanges for users", "token requests as the app", "all calls", "slowest"]
    rows = [
        [
            name,
            str(len(played.milliseconds)),
            str(played.exchanges),
            str(played.app_requests),
            f"{sum(played.milliseconds):.0f} ms",
            f"{max(played.milliseconds):.0f} ms",
        ]
        for name, played in rounds.items()
    ]
    return table([heading, *rows])


def problems(first: Round, second: Round, revoked: tuple[str, int]) -> list[str]:
    """Return what is not as it must be."""
    found = [
        f"{caller} {path} in round {number}: {played.answers[caller, path]!r}, not {wanted!r}"
        for number, played in enumerate((first, second), 1)
        for (caller, path), wanted in EXPECTED.items()
        if played.answers[caller, path] != wanted
    ]
    counts = {
        "exchanges in round 1": (first.exchanges, 2),
        "the application's token requests in round 1": (first.app_requests, 1),
        "exchanges in round 2": (second.exchanges, 0),
        "the application's token requests in round 2": (second.app_requests, 0),
        "what Alice gets after the revocation, and its exchanges": (revoked, (EXPECTED["alice", "/me"], 1)),
    }
    return found + [f"{what}: {got}, not {wanted}" for what, (got, wanted) in counts.items() if got != wanted]


def demonstrate(url: str, entra: LocalEntra, tokens: Tokens) -> list[str]:
    """Call the API, print the result, and return what is wrong with it."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30.0) as api:
        first = play(api, entra, tokens)
        second = play(api, entra, tokens)
        revoked = revoke_and_ask(api, entra, tokens["alice"])
    print(f"{who_got_what(first.answers)}\n\n{what_it_cost({'first': first, 'second': second})}\n")
    print("Then Alice's tokens for Graph were revoked. Graph answered with a claims challenge, the API's client with")
    print(f"{revoked[1]} more exchange, and Alice noticed nothing: {revoked[0]}.")
    return problems(first, second, revoked)


def keep_serving(url: str, entra: LocalEntra, graph: LocalGraph, tokens: Tokens) -> None:
    """Print how to call what runs, and wait for Ctrl-C."""
    print(f"\nThe API:     {url}      (its pages: {url}/docs)")
    print(f"LocalEntra:  {entra.authority}\nLocalGraph:  {graph.base_url}\n")
    for caller, token in tokens.items():
        if token:
            print(f"{caller.upper()}='{token}'")
    print(f'\ncurl -H "Authorization: Bearer $ALICE" {url}/me')
    print(f'curl -H "Authorization: Bearer $BOB" {url}/messages')
    print(f"curl -i {url}/me")
    print("\nThe tokens are worth something on this machine only, and for an hour. A new one:")
    print(f"""curl -d '{{"user": "alice"}}' {entra.authority}/_local/sign-in""")
    print("\nCtrl-C ends it.", flush=True)
    threading.Event().wait()


def run(*, keep: bool) -> int:
    """Start everything, show it, and stop it; returns the exit code."""
    with (
        LocalEntra() as entra,
        LocalGraph(entra) as graph,
        serving(FASTAPI, graph.environment) as url,
    ):
        tokens = {"alice": entra.sign_in("alice"), "bob": entra.sign_in("bob"), "nobody": None}
        wrong = demonstrate(url, entra, tokens)
        for problem in wrong:
            print(f"NOT AS EXPECTED: {problem}", file=sys.stderr)
        if keep and not wrong:
            try:
                keep_serving(url, entra, graph, tokens)
            except KeyboardInterrupt:
                print("Stopping.")
        return 1 if wrong else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m example_apps.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="go on serving until Ctrl-C")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, servers stopped
    try:
        return run(keep=options.keep)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
