"""An issuer with a provider that is played by hand, and a clock turned by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from credentials.kernel import HttpResponse
from obo_middleware._discovery import entra_place
from obo_middleware._keys import KeyName
from obo_middleware._metadata import MAX_DOCUMENT, Issuer
from obo_middleware.testing import foreign_key
from tests.core.kit import TENANT, Clock, Played, play

HOST = "https://login.example"


def rs256(kid: str) -> KeyName:
    return kid, "RS256"


class Provider:
    """The documents of a provider, played by hand; ``failure`` is what every request meets instead."""

    def __init__(self, *kids: str) -> None:
        self.kids = list(kids)
        self.failure: Exception | HttpResponse | None = None
        self.asked: list[str] = []

    def __call__(self, effect: Any) -> object:
        request = effect.request
        self.asked.append(request.url)
        assert (request.method, request.max_bytes) == ("GET", MAX_DOCUMENT)
        assert "authorization" not in {name.lower() for name in request.headers}
        if self.failure is not None:
            return self.failure
        document: dict[str, Any] = {"keys": [foreign_key().jwk | {"kid": kid} for kid in self.kids]}
        if request.url.endswith("openid-configuration"):
            document = {"issuer": f"{HOST}/{TENANT}/v2.0", "jwks_uri": f"{HOST}/keys"}
        return HttpResponse(status=200, headers={}, body=json.dumps(document).encode())

    @property
    def fetches(self) -> int:
        return self.asked.count(f"{HOST}/keys")


class Bench:
    """An issuer with its provider and clock."""

    def __init__(self, *kids: str, clock: Callable[[], float] | None = None) -> None:
        self.clock = Clock()
        self.provider = Provider(*kids)
        self.changes = 0
        self.issuer = Issuer(entra_place(HOST, TENANT, "2.0"), clock=clock or self.clock, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def key(self, kid: str, answer: Callable[[Any], object] | None = None) -> Played:
        return play(self.issuer.key_flow(rs256(kid)), answer or self.provider)

    def has(self, kid: str) -> bool:
        key = self.key(kid).value()
        assert key is None or key.kid == kid
        return key is not None
