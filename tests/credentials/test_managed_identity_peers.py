"""azure-identity, unmodified, beside ours: the same endpoints are sent the same requests."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any, NamedTuple

import azure.identity
import azure.identity.aio
import pytest

from credentials._managed_identity import ManagedIdentityCredential
from tests.credentials.identities import HEADER_SECRET, SCOPE, forget_azure, set_variables
from tests.credentials.servers import Asked, Exchange, loopback

BODY = b'{"access_token":"peer-token","expires_in":"3600","expires_on":"%d","resource":"x","token_type":"Bearer"}'
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "App Service": {"IDENTITY_ENDPOINT": "/token", "IDENTITY_HEADER": HEADER_SECRET},
    "Azure ML": {"MSI_ENDPOINT": "/token", "MSI_SECRET": HEADER_SECRET},
    "Cloud Shell": {"MSI_ENDPOINT": "/token"},
    "IMDS": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "/"},
}
IDENTITIES: list[dict[str, Any]] = [{}, {"client_id": "c-1"}]
# Not of the awaitable peer, which sends a resource id under a name that no endpoint knows.
OTHERS: list[dict[str, Any]] = [{"identity_config": {"object_id": "o-1"}}, {"identity_config": {"resource_id": "r-1"}}]
CASES = [(name, identity) for name in ENVIRONMENTS for identity in IDENTITIES if name != "Cloud Shell" or not identity]


class Wire(NamedTuple):
    """What matters of a request: all that the endpoint looks at."""

    method: str
    path: str
    parameters: dict[str, str]
    form: dict[str, str]
    secrets: dict[str, str]


def wire(asked: Asked) -> Wire:
    parts = urllib.parse.urlsplit(asked.path)
    parameters, form = (dict(urllib.parse.parse_qsl(text)) for text in (parts.query, asked.body.decode()))
    secrets: dict[str, str] = {
        name: asked.headers[name] for name in ("x-identity-header", "secret") if name in asked.headers
    }
    return Wire(asked.method, parts.path, parameters, form, secrets)


def reply(exchange: Exchange) -> None:
    exchange.reply(200, BODY % 4_000_000_000, Content_Type="application/json")


async def ask_async(credential: Any) -> None:
    async with credential:
        await credential.get_token(SCOPE)


def requests(name: str, identity: dict[str, Any], made: Any, monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    forget_azure(monkeypatch)
    with loopback(reply) as server:
        paths = {
            key: server.url + value if value.startswith("/") else value for key, value in ENVIRONMENTS[name].items()
        }
        set_variables(monkeypatch, **paths)
        credential = made(**identity)
        if made is azure.identity.aio.ManagedIdentityCredential:
            asyncio.run(ask_async(credential))
        else:
            with credential:
                credential.get_token(SCOPE)
    return [wire(asked) for asked in server.asked]


@pytest.mark.parametrize(
    "peer", [azure.identity.ManagedIdentityCredential, azure.identity.aio.ManagedIdentityCredential]
)
@pytest.mark.parametrize(("name", "identity"), CASES)
def test_both_send_the_same(name: str, identity: dict[str, Any], peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = requests(name, identity, ManagedIdentityCredential, monkeypatch)
    assert ours == requests(name, identity, peer, monkeypatch)
    assert len(ours) == 1


@pytest.mark.parametrize("name", ["App Service", "Azure ML", "IMDS"])
@pytest.mark.parametrize("identity", OTHERS)
def test_other_identifiers_are_sent_as_the_blocking_peer_does(
    name: str, identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = requests(name, identity, ManagedIdentityCredential, monkeypatch)
    assert ours == requests(name, identity, azure.identity.ManagedIdentityCredential, monkeypatch)
