"""What handlers of these attacks ask their user's credential for, and the answers that a provider gives by hand."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from obo_middleware._context import AsyncContext
from tests.adapters.attacks.handlers import ClientOf, Context
from tests.adapters.world import World

SCOPES = ("https://graph.microsoft.com/User.Read",)


@dataclass(frozen=True)
class Ask:
    """Ask the user's credential for a token, by ``get_token`` or with ``info`` by ``get_token_info``.

    The token stays here, in ``got``: none may be in an answer.
    """

    scopes: tuple[Any, ...] = SCOPES
    options: Mapping[str, Any] = field(default_factory=dict)
    info: bool = False
    got: list[str] = field(default_factory=list)

    async def awaitable(self, context: AsyncContext) -> Any:
        ask, options = self._method(context.credential)
        self.got.append((await ask(*self.scopes, **options)).token)

    def blocking(self, context: Context, client: ClientOf) -> Any:
        credential = context.blocking_credential if isinstance(context, AsyncContext) else context.credential
        ask, options = self._method(credential)
        self.got.append(ask(*self.scopes, **options).token)

    def _method(self, credential: Any) -> tuple[Any, dict[str, Any]]:
        if self.info:
            return credential.get_token_info, {"options": dict(self.options)}
        return credential.get_token, dict(self.options)


def token_body(token: str, **members: Any) -> bytes:
    """Return the provider's answer with a token; a member that is None is left out."""
    given = {"token_type": "Bearer", "expires_in": 3600, "access_token": token} | members
    return json.dumps({name: value for name, value in given.items() if value is not None}).encode()


def refusal_body(code: int, error: str, **members: Any) -> bytes:
    """Return the provider's answer that refuses."""
    text = f"AADSTS{code}: no. Trace ID: 1"
    return json.dumps({"error": error, "error_description": text, "error_codes": [code]} | members).encode()


def graph_token(world: World, name: str) -> str:
    """Return a token with which the downstream API lets a user in, as if the provider had exchanged one for it."""
    scopes = ["User.Read", "Mail.Read"]
    return world.entra.sign_in(name, world.entra.graph, scopes, client=world.entra.api, lifetime=86_400)


@contextmanager
def quiet() -> Iterator[None]:
    """Spare crowds the twenty records that httpcore makes of each request; the other tests watch those."""
    logger = logging.getLogger("httpcore")
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)
