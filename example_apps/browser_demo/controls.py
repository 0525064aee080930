"""The buttons of the demo: what they do to LocalEntra, to LocalGraph and to the API's cache, for who presses them.

Each needs the user's own token, a header that no form can send, and the page's own origin; they act on that user only,
but for the provider's switch, its keys and the clock, which are everybody's.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request

from obo_middleware import OnBehalfOf, User
from obo_middleware.fastapi import CurrentUser
from obo_middleware.testing import ENDPOINTS, LocalEntra

GRAPH_SCOPES = ("User.Read", "Mail.Read")
AN_HOUR = 3900.0
"""Seconds that LocalEntra's tokens live."""
COOL_DOWN = 31.0
"""The middleware looks for unknown keys every 30 seconds at most."""
RETRY_AFTER = 2


class DemoClock:
    """The time that LocalEntra, LocalGraph and the API share: now, and what the buttons added to it."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def go_forward(self, seconds: float) -> None:
        self._ahead += seconds


class Controls:
    """What each button does, by its name."""

    def __init__(self, entra: LocalEntra, obo: OnBehalfOf, clock: DemoClock) -> None:
        self._entra, self._obo, self._clock = entra, obo, clock
        self.off = False
        self.actions: dict[str, Callable[[User], Awaitable[None]]] = {
            "expire": self.expire,
            "revoke": self.revoke,
            "end-session": self.end_session,
            "require-consent": self.require_consent,
            "require-mfa": self.require_mfa,
            "rotate-keys": self.rotate_keys,
            "forget": self.forget,
            "provider-off": self.provider_off,
            "provider-on": self.provider_on,
        }

    async def expire(self, _user: User) -> None:
        self._clock.go_forward(AN_HOUR)

    async def revoke(self, user: User) -> None:
        self._entra.revoke(user.object_id)

    async def end_session(self, user: User) -> None:
        self._entra.revoke(user.object_id, end_session=True)

    async def require_consent(self, user: User) -> None:
        self._entra.require_consent(user.object_id, self._entra.api, GRAPH_SCOPES)
        await self._obo.forget(user)

    async def require_mfa(self, user: User) -> None:
        self._entra.require_mfa(user.object_id, self._entra.graph)
        await self._obo.forget(user)

    async def rotate_keys(self, _user: User) -> None:
        self._clock.go_forward(COOL_DOWN)
        self._entra.rotate_keys()

    async def forget(self, user: User) -> None:
        await self._obo.forget(user)

    async def provider_off(self, _user: User) -> None:
        if not self.off:
            self._entra.outage(retry_after=RETRY_AFTER, endpoints=ENDPOINTS)
        self.off = True

    async def provider_on(self, _user: User) -> None:
        think_time = self._entra.think_time
        self._entra.forget_faults()
        self._entra.think_time = think_time
        self.off = False


def from_the_page(request: Request) -> None:
    """Raise 403 unless the page itself asks."""
    same = request.headers.get("origin") == f"https://{request.headers.get('host')}"
    if not same or request.headers.get("x-demo") != "1":
        raise HTTPException(403, "only the page of the demo may ask for this")


def control_routes(controls: Controls) -> APIRouter:
    """Return the routes of the buttons, and of what is switched on."""
    router = APIRouter(prefix="/demo")

    @router.post("/{action}", status_code=204)
    async def act(action: str, user: CurrentUser, _page: Annotated[None, Depends(from_the_page)]) -> None:
        if action not in controls.actions:
            raise HTTPException(404, "there is no such button")
        await controls.actions[action](user)

    @router.get("/state")
    async def state(_user: CurrentUser) -> dict[str, bool]:
        return {"providerOff": controls.off}

    return router
