"""An Azure Arc agent: its challenge, its key file, and a server that asks for the one and checks the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from credentials._azure_arc import AzureArc
from credentials._flow import HttpRequest, HttpResponse, SendRequest
from credentials._managed_identity_answer import Identity, IdentityQuery
from tests.credentials.helpers import NOW, Played, play, token_answer
from tests.credentials.servers import Exchange, Loopback, loopback

ENDPOINT = "http://localhost:40342/metadata/identity/oauth2/token"
RESOURCE = "https://vault.azure.net"
KEY = "MGIxM2VhNGUta2V5LW9mLXRoZS1hZ2VudA=="


def wanted(**identity: str) -> IdentityQuery:
    return IdentityQuery(resource=RESOURCE, identity=Identity(**identity), now=NOW)


def key_file(directory: Path, content: bytes = KEY.encode(), name: str = "0a1b.key") -> str:
    path = directory / name
    path.write_bytes(content)
    return str(path)


def challenge(path: str, status: int = 401) -> HttpResponse:
    return HttpResponse(status=status, headers={"www-authenticate": f"Basic realm={path}"}, body=b"")


def asked(directory: Path, *answers: object, endpoint: str = ENDPOINT, **identity: str) -> Played[Any]:
    """Play the flow by hand; the agent's keys are in the directory."""
    return play(AzureArc(endpoint, key_directory=str(directory)).token_flow(wanted(**identity)), *answers)


def requests(played: Played[Any]) -> list[HttpRequest]:
    return [effect.request for effect in played.effects if isinstance(effect, SendRequest)]


@contextmanager
def agent(directory: Path) -> Iterator[Loopback]:
    """Serve as the agent does: first a challenge, then a token for whoever knows the content of the key file."""

    def respond(exchange: Exchange) -> None:
        proof = exchange.headers.get("Authorization")
        if proof is None:
            exchange.reply(401, WWW_Authenticate=f"Basic realm={key_file(directory)}")
        elif proof == f"Basic {KEY}":
            exchange.reply(200, token_answer("arc-token").body)
        else:
            exchange.reply(401, b'{"error":"unauthorized"}')

    with loopback(respond) as server:
        yield server
