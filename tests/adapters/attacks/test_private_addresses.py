"""The guard against requests into this network, as a client of the API meets it."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from tests.adapters.conftest import Start
from tests.adapters.harness import check_problem
from tests.adapters.world import World

HOST = "login.contoso.example"


class Names:
    """A name service that knows one name more, once a test has given it an address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address: str | None = None
        self._real: Any = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, *arguments: Any, **options: Any) -> Any:
        if host == HOST and self.address is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self._real(self.address if host == HOST else host, *arguments, **options)


@pytest.mark.attack(114)
def test_an_authority_at_an_address_inside_is_asked_nothing(
    kind: str, start: Start, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(monkeypatch)
    port = world.entra.authority.rpartition(":")[2]
    authority = f"https://{HOST}:{port}"
    served = start(kind, authority=authority, allow_local_issuer=False, refuse_private_addresses=True)
    world.clock.advance(10)  # after the first try, at the start
    names.address = "127.0.0.1"
    token = world.token(iss=f"{authority}/{world.entra.tenant_id}/v2.0")
    with caplog.at_level(logging.ERROR, "obo_middleware"):
        response = served.get("/whoami", token)
    check_problem(response, 500, response.json())
    assert HOST not in response.text
    said = f"because {HOST} has the address 127.0.0.1, which is not a public one: "
    assert [
        record for record in caplog.records if said in record.getMessage() and "refuse_private" in record.getMessage()
    ]
    assert (world.entra.stats()["requests"], world.entra.connections) == ({}, 0)
