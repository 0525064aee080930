"""Managed identities of both colours, environments that have one, and the requests that they lead to."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from credentials import AccessTokenInfo
from credentials import _managed_identity as module
from credentials._flow import Flow, HttpRequest, SendRequest
from credentials._managed_identity import AsyncManagedIdentityCredential, ManagedIdentityCredential
from credentials._managed_identity_answer import Identity, IdentityQuery
from credentials._pool import bare_pool
from credentials._types import Place
from tests.credentials.helpers import NOW, Colour, Played
from tests.credentials.servers import Exchange, Loopback

RESOURCE = "https://vault.azure.net"
SCOPE = f"{RESOURCE}/.default"
HEADER_SECRET = "header-secret"
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
VARIABLES = (
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT"),
    *("MSI_SECRET", "AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
    *("AZURE_POD_IDENTITY_AUTHORITY_HOST", "AZURE_REGIONAL_AUTHORITY_NAME", "ProgramFiles"),
    *("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
)


def forget_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine one that has no managed identity of any kind, and no proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_ARC_AGENT", Path(__file__, "none"))


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def credential_of(colour: Colour, **options: Any) -> Any:
    blocking = colour.name == "blocking"
    return ManagedIdentityCredential(**options) if blocking else AsyncManagedIdentityCredential(**options)


def query(identity: Identity | None = None, place: Place = Place.ALONE, now: float = NOW) -> IdentityQuery:
    return IdentityQuery(resource=RESOURCE, identity=identity or Identity(), now=now, place=place)


def sent(played: Played[Any]) -> list[HttpRequest]:
    """Return the requests among what a flow asked for."""
    return [effect.request for effect in played.effects if isinstance(effect, SendRequest)]


def parameters(url: str) -> dict[str, str]:
    """Return the parameters of a URL; each stands in it once."""
    pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def token_body(text: str = "identity-token", expires_on: object = int(NOW) + 86_400) -> bytes:
    value = f'"{expires_on}"' if isinstance(expires_on, str) else expires_on
    return f'{{"access_token":"{text}","expires_on":{value},"token_type":"Bearer"}}'.encode()


def give_tokens(exchange: Exchange) -> None:
    """Answer with another token each time."""
    exchange.reply(200, token_body(f"token-{len(exchange.server.asked)}"), Content_Type="application/json")


class RecordingSource:
    """A source that gives a token for whatever it is asked, and notes it."""

    name = "recording"

    def __init__(self) -> None:
        self.pool = bare_pool()
        self.queries: list[IdentityQuery] = []

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        yield from ()
        self.queries.append(query)
        end = int(query.now) + 86_400
        return AccessTokenInfo(f"token-{len(self.queries)}", end, refresh_on=end - 43_200)


def record(credential: Any) -> RecordingSource:
    """Give a credential a source that notes what it is asked."""
    source = RecordingSource()
    credential._source, credential._pool = source, source.pool
    return source


def paths(server: Loopback) -> list[str]:
    return [urllib.parse.urlsplit(asked.path).path for asked in server.asked]
