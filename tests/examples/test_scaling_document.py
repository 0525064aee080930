"""docs/scaling.md: all its blocks, one after the other, over a real store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from example_apps.local import ROOT
from obo_middleware.errors import SessionEndedError
from obo_middleware.redis import SecretKey
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.adapters.servers import UvicornServer
from tests.examples.blocks import blocks
from tests.shared.servers import VALKEY, Server

BLOCKS = list(blocks([ROOT / "docs" / "scaling.md"]))


@pytest.fixture(scope="module")
def names(entra: LocalEntra, graph: LocalGraph) -> Iterator[dict[str, Any]]:
    """Run the blocks, and give the names that they leave."""
    left: dict[str, Any] = {}
    with Server(VALKEY) as server:
        given = {
            'tenant_id="..."': f'tenant_id="{entra.tenant_id}"',
            'client_id="..."': f'client_id="{entra.api.client_id}"',
            'client_credential="..."': f'client_credential="{entra.api.secret}", allow_local_issuer=True, authority='
            f'"{entra.authority}"',
            '"https://graph.microsoft.com/v1.0"': f'"{graph.base_url}"',
            '"rediss://app:password@cache.example:6380/0"': f'"{server.url}", max_wait=2.0',
            'keys=["..."]': f'keys=["{SecretKey.generate().text}"]',
        }
        for block in BLOCKS:
            code = block.code
            for placeholder, value in given.items():
                code = code.replace(placeholder, value)
            assert "..." not in code
            exec(compile(code, str(block), "exec"), left)  # noqa: S102  # our own document
        yield left
        left["obo"].close()


def test_a_report_is_ordered_in_a_request_and_written_after_it(
    names: dict[str, Any], entra: LocalEntra, graph: LocalGraph
) -> None:
    server = UvicornServer(names["app"])
    try:
        host, port = server.address
        headers = {"Authorization": f"Bearer {entra.sign_in('alice')}"}
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False, headers=headers) as client:
            job = client.post("/reports").json()["job"]
    finally:
        server.stop()
    assert asyncio.run(written(names, job)) == "Alice Adams"
    with pytest.raises(SessionEndedError):
        asyncio.run(written(names, job))


async def written(names: dict[str, Any], job: str) -> str:
    try:
        report: str = await names["write_the_report"](job)
        return report
    finally:
        await names["obo"].aclose()


def test_who_logs_out_is_forgotten(names: dict[str, Any], entra: LocalEntra) -> None:
    async def main() -> None:
        await names["on_logout"](entra.tenant_id, entra.alice.object_id)
        await names["obo"].aclose()

    asyncio.run(main())
    assert len(names["obo"].runtime.engine) == 0


def test_the_documented_bytes_are_those_of_the_plan() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    entries, users = 3_000_000, 1_000_000
    assert "3 million entries, 7.6 GB" in text
    assert round((entries * 2_400 + users * 400) / 1e9, 1) == 7.6
    assert re.search(r"cache_size.*\n?.*100 000 entries are 250 MB", text)
