"""An application with sessions whose store and provider are the test itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from credentials._flow import SendRequest, Sleep, UseStore
from credentials.kernel import HttpResponse, Lead, Load, Name, Remove, Save, UserAssertion
from obo_middleware import DownstreamApi, OnBehalfOf, Settings
from obo_middleware._runtime import Runtime
from obo_middleware._sessions import Sessions
from obo_middleware._user import user_from_claims
from obo_middleware._validation import Validated
from tests.core.kit import Played, play
from tests.shared.by_hand import SEALER, StoreByHand

NOW = 1_800_000_000.0
TENANT, OBJECT = "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3", "52279f89-f812-52c2-9cee-3c1c10ebab70"
CLAIMS: dict[str, Any] = {
    "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "tid": TENANT,
    "oid": OBJECT,
    "sub": "sub",
    "azp": "client",
    "exp": int(NOW) + 3_600,
    "scp": "access_as_user",
    "amr": ["pwd", "mfa"],
}
APIS = {"graph": DownstreamApi("https://graph.microsoft.com/v1.0", scopes=["User.Read"])}


class World:
    """An application over a store that the test itself is, whose provider is the test too."""

    def __init__(self, **changes: Any) -> None:
        self.now = NOW
        self.passed = 0.0
        self.store = StoreByHand(changes.pop("sealer", SEALER))
        given: dict[str, Any] = {
            "tenant_id": TENANT,
            "client_id": "66666666-aaaa-4bbb-8ccc-777777777777",
            "client_credential": "secret",
            "downstream_apis": APIS,
            "token_store": self.store,
            "clock": lambda: self.now,
        }
        self.obo = OnBehalfOf(Settings(**(given | changes)))
        if self.runtime.shared is not None:
            self.runtime.shared.monotonic = lambda: self.passed
        self.kept: dict[Name, bytes] = {}
        self.answers: list[object] = []

    @property
    def runtime(self) -> Runtime:
        return self.obo.runtime

    @property
    def sessions(self) -> Sessions:
        return self.runtime.sessions

    def valid(self, **changes: Any) -> Validated:
        assertion = UserAssertion(token="a.b.c", partition=b"", object_id=OBJECT, tenant_id=TENANT, group=b"g" * 16)
        whole = Validated(user=user_from_claims(CLAIMS), assertion=assertion, good_until=NOW + 3_600)
        return whole._replace(**changes)

    def answer(self, effect: Any) -> object:
        """Be the store and the provider: answers that were put in a list go first."""
        if self.answers and not isinstance(effect, Sleep):
            return self.answers.pop(0)
        if isinstance(effect, SendRequest):
            return granted()
        if not isinstance(effect, UseStore):
            return None
        operation = effect.operation
        if isinstance(operation, Load):
            return self.kept.get(operation.name)
        if isinstance(operation, Save):
            self.kept[operation.name] = operation.value
            return True
        if isinstance(operation, Remove):
            self.kept.pop(operation.name, None)
        return 0.0 if isinstance(operation, Lead) else True

    def started(self, **options: Any) -> str:
        flow = self.sessions.start_flow(self.valid(), options.get("api"), options.get("lifetime", 3_600.0))
        session = play(flow, self.answer)
        assert session.error is None
        return str(session.result)

    def redeemed(self, text: str) -> Played:
        """Play how a resumed session gets a token."""
        valid = play(self.sessions.resume_flow(text), self.answer).result
        query = self.runtime.client.query(("https://graph.microsoft.com/User.Read",))
        redeem: Callable[..., Any] = valid.assertion.redeem
        return play(redeem(query), self.answer)


def granted(**changes: Any) -> HttpResponse:
    members = {"access_token": "new", "expires_in": 3_600, "token_type": "Bearer", "refresh_token": "next"} | changes
    body = json.dumps({name: value for name, value in members.items() if value is not None}).encode()
    return HttpResponse(status=200, headers={}, body=body)


def refused(error: str) -> HttpResponse:
    return HttpResponse(status=400, headers={}, body=json.dumps({"error": error}).encode())
