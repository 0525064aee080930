"""A token from the cache, its key included: what every request pays once the user is known.

``source.fresh`` is what a request's injected client does: make the source of its tokens, which makes the key, and
look into the cache. ``get_token`` is the same through the public credential.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

from obo_middleware._runtime import Runtime
from obo_middleware._validation import Validated
from obo_middleware.testing import LocalEntra
from tests.benchmarks import peers, stage
from tests.benchmarks.measure import Work, compare
from tests.benchmarks.table import Row, micro

BUDGET = 5e-6
FACTOR = 2
"""How much dearer the read may be among 100 000 users."""


def _floor(users: int) -> Work:
    """Return a read as short as it can be: a hash, a dictionary, a look at the clock."""
    application = hashlib.sha256(b"application").digest()
    partitions = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(users)]
    entries = {
        hashlib.sha256(application + partition).digest(): (stage.opaque_token(stage.DOWNSTREAM), 2**40)
        for partition in partitions
    }
    random.Random(1).shuffle(partitions)  # noqa: S311  # an order, not a secret
    following = itertools.cycle(partitions).__next__

    def read() -> str | None:
        token, until = entries[hashlib.sha256(application + following()).digest()]
        return token if time.time() < until else None

    return read


def _ours(runtime: Runtime, valids: Sequence[Validated]) -> dict[str, Work]:
    """Return the reads through an injected client's source and through the credential, over users in random order."""
    order = list(valids)
    random.Random(1).shuffle(order)  # noqa: S311  # an order, not a secret
    for valid in order:
        stage.keep_token(runtime, valid)
    users = itertools.cycle(order).__next__
    credentials = itertools.cycle([stage.context_of(runtime, v).blocking_credential for v in order]).__next__
    reads: dict[str, Work] = {
        "source.fresh": lambda: runtime.source(stage.API, users()).fresh(),
        "get_token": lambda: credentials().get_token(stage.SCOPE, enable_cae=True),
    }
    assert all(read() is not None for read in reads.values())
    return reads


def _msal(entra: LocalEntra, assertion: str) -> dict[str, Work]:
    """Return MSAL's cached reads: with the account in hand, and looked for as its samples do."""
    app = peers.msal_app(entra)
    app.acquire_token_on_behalf_of(assertion, [stage.GRAPH_SCOPE])
    (account,) = app.get_accounts()
    assert app.acquire_token_silent([stage.GRAPH_SCOPE], account=account)["token_source"] == "cache"
    return {"MSAL": lambda: app.acquire_token_silent([stage.GRAPH_SCOPE], account=account)}


def _msal_of_many(entra: LocalEntra, users: int) -> Work:
    """Return MSAL's read by ``get_accounts`` among so many users; their tokens are put into its cache directly."""
    app = peers.msal_app(entra)
    for number in range(users):
        app.token_cache.add(peers.msal_event(entra, number))
    name = f"user-{users // 2}@contoso.example"

    def read() -> Any:
        (account,) = app.get_accounts(username=name)
        return app.acquire_token_silent([stage.GRAPH_SCOPE], account=account)

    assert read()["token_source"] == "cache"
    return read


def run(*, quick: bool) -> list[Row]:
    """Measure, and return two rows for each number of users."""
    many, msal_many = (500, 50) if quick else (100_000, 10_000)
    number, rounds = (200, 2) if quick else (20_000, 11)
    with stage.provider() as entra:
        runtime = stage.warm_runtime(entra)
        token = stage.inbound_token(entra, "alice")
        valid = stage.admit(runtime, stage.bearer(token))
        one = _subjects(runtime, valid, 1)
        azure = peers.client_secret_credential(entra)
        azure.get_token("https://graph.microsoft.com/.default")
        others = _msal(entra, token) | {"azure": lambda: azure.get_token("https://graph.microsoft.com/.default")}
        first = compare(one, number=number, rounds=rounds)
        first |= compare(others, number=number // 20, rounds=rounds)
        second = compare(_subjects(runtime, valid, many), number=number, rounds=rounds)
        second |= compare({"MSAL": _msal_of_many(entra, msal_many)}, number=1 if quick else 5, rounds=3)
        azure.close()
        runtime.close()
    said = f"MSAL, account in hand {micro(first['MSAL'])}, azure-identity {micro(first['azure'])}"
    said_many = f"MSAL by get_accounts(), {msal_many:,} users, {micro(second['MSAL'])}"
    return [*_rows(first, 1, BUDGET, said), *_rows(second, many, FACTOR * BUDGET, said_many)]


def _subjects(runtime: Runtime, valid: Validated, users: int) -> dict[str, Work]:
    return {"floor": _floor(users), **_ours(runtime, [stage.user_number(valid, number) for number in range(users)])}


def _rows(found: dict[str, float], users: int, budget: float, peers: str) -> list[Row]:
    among = "1 user" if users == 1 else f"{users:,} users"
    return [
        Row(
            what=f"token from cache, key included, {among}: {name}",
            ours=micro(found[name]),
            budget=f"<= {micro(budget)}",
            floor=micro(found["floor"]),
            peers=peers,
            within=found[name] <= budget,
        )
        for name in ("source.fresh", "get_token")
    ]
