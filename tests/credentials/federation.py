"""An application that trusts a foreign issuer: a cluster's service account, a pipeline's service connection."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from obo_middleware.testing import FederatedCredential, LocalEntra, foreign_key
from tests.credentials.helpers import GRAPH, NOW, Colour, in_threads

ISSUER, SUBJECT, AUDIENCE = "https://cluster.example", "system:serviceaccount:shop:api", "api://AzureADTokenExchange"
SCOPE = f"{GRAPH}/.default"


def trust_issuer(entra: LocalEntra) -> None:
    """Let the demo API be whoever the issuer says is the subject."""
    key = foreign_key()
    entra.update_app(entra.api, federated=(FederatedCredential(ISSUER, SUBJECT, {key.kid: key.jwk}),))


def foreign_token(**changes: Any) -> str:
    claims: dict[str, Any] = {"iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": NOW + 80_000}
    return foreign_key().sign(claims | changes)


def class_of(colour: Colour, module: str, name: str) -> Any:
    """Return a credential's class in one of the colours."""
    prefix = "" if colour.name == "blocking" else "Async"
    return getattr(importlib.import_module(f"credentials.{module}"), f"{prefix}{name}")


def ask_at_once(colour: Colour, credential: Any, count: int = 8) -> list[Any]:
    """Return what so many threads, or tasks, get that ask at the same time."""
    if colour.name == "blocking":
        with credential:
            return in_threads(count, lambda: credential.get_token(SCOPE).token)

    async def main() -> list[Any]:
        async with credential:
            return [token.token for token in await asyncio.gather(*[credential.get_token(SCOPE) for _ in range(count)])]

    return asyncio.run(main())
