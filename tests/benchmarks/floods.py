"""A flood of bad tokens: what 1,000 of them cost beside 1,000 good ones, and whether anything good is lost by it.

Cases 102, 103 and 190 of the list of attacks. Each token is another one, as an attacker would send them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from obo_middleware._runtime import Runtime
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.benchmarks import stage
from tests.benchmarks.measure import Work, compare
from tests.benchmarks.table import Row, milli

FLOOD = 1_000
"""Tokens in a flood; a request for the keys, where one is made, is part of its cost."""


def forged(token: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token with other members and the signature of the first: what costs an attacker nothing."""
    parts = token.split(".")
    for index, changes in enumerate((header, claims)):
        members = json.loads(jwt.utils.base64url_decode(parts[index])) | changes
        parts[index] = stage.base64url(json.dumps(members).encode())
    return ".".join(parts)


def floods(token: str, number: int) -> dict[str, list[str]]:
    """Return floods of so many tokens, by what is wrong with them."""
    kinds: dict[str, Callable[[int], str]] = {
        "random kid": lambda n: forged(token, {"kid": f"random-{n}"}, {"uti": n}),
        "bad signature": lambda n: forged(token, {}, {"uti": n}),
        "wrong audience": lambda n: forged(token, {}, {"aud": f"api://other-{n}"}),
        "wrong issuer": lambda n: forged(token, {}, {"iss": f"https://issuer-{n}.example/v2.0"}),
        "opaque": lambda n: f"{n:0{len(token)}d}",
        "too long": lambda n: f"{n:016385d}",
    }
    return {name: [make(n) for n in range(number)] for name, make in kinds.items()}


def _flood(runtime: Runtime, tokens: Sequence[str]) -> Work:
    following = itertools.cycle(tokens).__next__

    def refuse() -> None:
        try:
            stage.admit(runtime, stage.bearer(following()))
        except InvalidTokenError:
            return
        raise AssertionError("the token was not refused")

    return refuse


def _first_sights(runtime: Runtime, tokens: Sequence[str]) -> Work:
    following = iter(tokens).__next__
    return lambda: stage.admit(runtime, stage.bearer(following()))


def run(*, quick: bool) -> list[Row]:
    """Measure, and return one row."""
    number, rounds = (10, 2) if quick else (FLOOD // 5, 5)
    with stage.provider() as entra:
        runtime = stage.warm_runtime(entra)
        good = [stage.inbound_token(entra, "alice") for _ in range(number * rounds)]
        known = stage.bearer(stage.inbound_token(entra, "bob"))
        stage.admit(runtime, known)
        asked = _fetches(entra)
        bad = floods(good[0], number * rounds)
        works = {name: _flood(runtime, tokens) for name, tokens in bad.items()}
        found = compare({"good": _first_sights(runtime, good), **works}, number=number, rounds=rounds)
        fetches = _fetches(entra) - asked
        lost = [what for what, kept in _kept(runtime, entra, known).items() if not kept]
        runtime.close()
    return [_row(found, fetches, lost)]


def _fetches(entra: LocalEntra) -> int:
    return entra.requests_to("metadata") + entra.requests_to("jwks")


def _kept(runtime: Runtime, entra: LocalEntra, known: bytes) -> dict[str, bool]:
    """Tell whether a token known before, and the keys for a new one, are there without a request to the provider."""
    before = _fetches(entra)
    remembered = runtime.known([known], "/me") is not None
    stage.admit(runtime, stage.bearer(stage.inbound_token(entra, "bob")))
    return {"a good token": remembered, "a good key": _fetches(entra) == before}


def _row(found: dict[str, float], fetches: int, lost: Sequence[str]) -> Row:
    good = found.pop("good")
    times = ", ".join(f"{name} {milli(seconds * FLOOD)}" for name, seconds in found.items())
    return Row(
        what=f"a flood of {FLOOD:,} bad tokens, each another one ({fetches} fetches of metadata and keys)",
        ours=times + (f"; lost: {', '.join(lost)}" if lost else "; nothing good lost"),
        budget=f"< {FLOOD:,} good tokens at first sight, {milli(good * FLOOD)}; no good key or token lost",
        within=max(found.values()) < good and not lost,
    )
