"""A credential object for one user: what it costs to make, before anything is asked of it."""

from __future__ import annotations

import msal

from tests.benchmarks import peers, stage
from tests.benchmarks.measure import Work, compare
from tests.benchmarks.table import Row, micro

BUDGET = 5e-6


def run(*, quick: bool) -> list[Row]:
    """Measure, and return the row."""
    number, rounds = (200, 2) if quick else (10_000, 11)
    with stage.provider() as entra:
        runtime = stage.warm_runtime(entra)
        token = stage.inbound_token(entra, "alice")
        context = stage.context_of(runtime, stage.admit(runtime, stage.bearer(token)))
        session = peers.trusting_session(entra)
        entra.reset_counts()
        others: dict[str, Work] = {
            "azure": lambda: peers.on_behalf_of_credential(entra, token).close(),
            "MSAL": lambda: msal.ConfidentialClientApplication(**peers.msal_options(entra, session)),
        }
        found = compare({"ours": lambda: context.credential, "floor": object}, number=number, rounds=rounds)
        requests = entra.requests_to("metadata") + entra.requests_to("token")
        found |= compare(others, number=2 if quick else 20, rounds=rounds)
        session.close()
        runtime.close()
    return [
        Row(
            what="per-user credential object: context.credential",
            ours=f"{micro(found['ours'])}, {requests} requests",
            budget=f"<= {micro(BUDGET)}, no I/O",
            floor=f"{micro(found['floor'])} (object())",
            peers=f"azure-identity {micro(found['azure'])}; MSAL app {micro(found['MSAL'])} with its discovery request",
            within=found["ours"] <= BUDGET and not requests,
        )
    ]
