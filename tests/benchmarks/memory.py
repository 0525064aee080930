"""Memory of each cached token of 2 kB, and what 100 000 of them add to a full garbage collection.

Each subject fills a process of its own, so that
what the others leave behind counts for nobody. Memory is resident memory, which has it all: the C libraries'
too, and what the allocator loses.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from credentials.kernel import BlockingDriver, ConnectionPool, TokenEngine, Want, key_of
from tests.benchmarks import stage
from tests.benchmarks.measure import collection_time, resident_bytes, settled
from tests.benchmarks.processes import call, options, say
from tests.benchmarks.table import Row, milli

BUDGET = 3_700
"""Bytes."""
COLLECTION_BUDGET = 10e-3
ENTRIES = {"ours": 100_000, "floor": 100_000, "msal": 10_000, "azure": 50}
_QUICK = {"ours": 1_000, "floor": 1_000, "msal": 100, "azure": 3}


def _fill_ours(entries: int) -> object:
    """Fill a token engine as exchanges do."""
    engine = TokenEngine(cache_size=entries)
    driver = BlockingDriver(ConnectionPool())
    for number in range(entries):
        want = Want(key=key_of(str(number)))
        driver.run(engine.token_flow(want, lambda: stage.given_flow(stage.opaque_token(stage.DOWNSTREAM))))
    assert len(engine) == entries
    return engine


def _fill_floor(entries: int) -> object:
    """Fill a dictionary with pairs of token and end."""
    return {key_of(str(number)): (stage.opaque_token(stage.DOWNSTREAM), 4_000_000_000) for number in range(entries)}


def _fill_msal(entries: int) -> object:
    """Fill MSAL's cache with one token for each user."""
    from tests.benchmarks import peers  # ours need not carry it

    with stage.provider() as entra:
        app = peers.msal_app(entra)
        for number in range(entries):
            app.token_cache.add(peers.msal_event(entra, number))
        return app


def _fill_azure(entries: int) -> object:
    """Make a credential for each user, as azure-identity asks for, and have each get its token."""
    from tests.benchmarks import peers  # ours need not carry it

    with stage.provider() as entra:
        assertion = stage.inbound_token(entra, "alice")
        credentials = [peers.on_behalf_of_credential(entra, assertion) for _ in range(entries)]
        for credential in credentials:
            credential.get_token(stage.GRAPH_SCOPE)
        return credentials


SUBJECTS: dict[str, Callable[[int], object]] = {
    "ours": _fill_ours,
    "floor": _fill_floor,
    "msal": _fill_msal,
    "azure": _fill_azure,
}


def weigh(subject: str, entries: int) -> dict[str, float]:
    """Fill, in this process, and return bytes for each entry and seconds that all add to a collection."""
    fill = SUBJECTS[subject]
    warm = fill(2)  # what is made once is made now
    with settled():  # a collection then looks at nothing but the entries
        before = resident_bytes()
        held = fill(entries)
        seconds = collection_time(5)
        taken = resident_bytes() - before
    del warm, held
    return {"bytes": taken / entries, "collection": seconds}


def _weigh_apart(subject: str, entries: int) -> dict[str, float]:
    return call("memory", subject=subject, entries=entries)


def run(*, quick: bool) -> list[Row]:
    """Measure, and return a row for memory and one for collections."""
    entries = _QUICK if quick else ENTRIES
    with ThreadPoolExecutor(len(entries) if quick else 1) as pool:
        weights = pool.map(_weigh_apart, entries, entries.values())
        found = dict(zip(entries, weights, strict=True))
    ours, size = found["ours"], {name: f"{one['bytes'] / 1000:,.1f} kB" for name, one in found.items()}
    return [
        Row(
            what=f"memory per cached token of 2 kB, {entries['ours']:,} entries",
            ours=size["ours"],
            budget=f"<= {BUDGET / 1000:.1f} kB",
            floor=f"{size['floor']} (dict of tuples)",
            peers=f"MSAL {size['msal']} (never evicted), azure-identity {size['azure']}",
            within=ours["bytes"] <= BUDGET,
        ),
        Row(
            what=f"{entries['ours']:,} entries add to a full garbage collection",
            ours=milli(ours["collection"]),
            budget=f"<= {milli(COLLECTION_BUDGET)}",
            floor=f"{milli(found['floor']['collection'])} (dict of tuples)",
            peers=f"MSAL {milli(found['msal']['collection'])} for {entries['msal']:,}",
            within=ours["collection"] <= COLLECTION_BUDGET,
        ),
    ]


if __name__ == "__main__":
    given = options()
    say(**weigh(given["subject"], given["entries"]))
