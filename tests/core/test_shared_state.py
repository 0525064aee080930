from __future__ import annotations

import asyncio
from typing import Any

from obo_middleware.asgi import OnBehalfOfMiddleware
from obo_middleware.testing import LocalEntra
from tests.core.kit import settings_for


def test_requests_for_which_the_server_shares_one_state_do_not_find_each_others_user(entra: LocalEntra) -> None:
    seen: dict[str, str] = {}
    shared: dict[str, Any] = {"from the lifespan": "kept"}

    async def main() -> None:
        both_are_in = asyncio.Barrier(2)

        async def app(scope: Any, _receive: Any, _send: Any) -> None:
            await both_are_in.wait()
            assert scope["state"]["from the lifespan"] == "kept"
            seen[scope["path"]] = scope["state"]["obo"].user.object_id

        async def nothing(*_message: Any) -> Any:
            raise AssertionError("nobody asks or answers here")

        middleware = OnBehalfOfMiddleware(app, settings_for(entra))
        requests = [
            {"type": "http", "path": f"/{name}", "headers": [(b"authorization", header)], "state": shared}
            for name in ("alice", "bob")
            for header in [b"Bearer " + entra.sign_in(name).encode()]
        ]
        await asyncio.gather(*(middleware(scope, nothing, nothing) for scope in requests))
        await middleware._runtime.aclose()

    asyncio.run(main())
    assert seen == {"/alice": entra.alice.object_id, "/bob": entra.bob.object_id}
    assert shared == {"from the lifespan": "kept"}
