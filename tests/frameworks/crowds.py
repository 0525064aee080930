"""Many users at once through one app, each on a connection of their own: everybody must get their own data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from tests.frameworks.conftest import Serve
from tests.frameworks.matrix import Framework, Site
from tests.frameworks.processes import Command

USERS, TIMES = 50, 40


async def _asked(site: Site, session: aiohttp.ClientSession, token: str) -> list[str]:
    """Ask for one user's profile again and again; return the ids that came."""
    call = site.request(token)
    return [site.profile_in(await _body(session, call))["id"] for _ in range(TIMES)]


async def _body(session: aiohttp.ClientSession, call: Mapping[str, Any]) -> Any:
    async with session.request(**call) as answer:
        text = await answer.text()
        assert answer.status == 200, text
        return json.loads(text)


async def _crowd(site: Site, tokens: Mapping[str, str]) -> dict[str, list[str]]:
    connector = aiohttp.TCPConnector(limit=USERS)
    async with aiohttp.ClientSession(site.process.url, connector=connector) as session:
        ids = await asyncio.gather(*(_asked(site, session, token) for token in tokens.values()))
    return dict(zip(tokens, ids, strict=True))


def check_crowd(framework: Framework, command: Command, serve: Serve) -> None:
    """Have 50 users ask 40 times each, all at once: everybody gets their own data, after one exchange for each."""
    site = serve(framework, command, PYTHONASYNCIODEBUG="")
    world = site.world
    users = [world.newcomer() for _ in range(USERS)]
    tokens = {world.object_id(name): world.token(name) for name in users}
    given = asyncio.run(_crowd(site, tokens))
    assert {user: set(ids) for user, ids in given.items()} == {user: {user} for user in tokens}
    assert sum(len(ids) for ids in given.values()) == USERS * TIMES
    assert world.entra.exchanges == USERS
