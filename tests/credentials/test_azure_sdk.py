"""An Azure SDK client, unmodified, with our credentials, against a vault on this machine."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.keyvault.secrets
import azure.keyvault.secrets.aio
import httpx
import jwt
import pytest
import trustme

from credentials import ClientSecretCredential, OnBehalfOfCredential, aio
from obo_middleware import Settings
from obo_middleware._context import AsyncContext, BlockingContext
from obo_middleware._runtime import Runtime
from obo_middleware.testing import Application, LocalEntra
from tests.credentials.helpers import SECRET
from tests.credentials.servers import Exchange, Loopback, loopback

VAULT = "https://vault.azure.net"


class Vault:
    """Answer as Azure Key Vault does: a challenge first, then who the token is for."""

    def __init__(self, entra: LocalEntra) -> None:
        self.entra = entra
        url = f"{entra.authority}/{entra.tenant_id}/discovery/v2.0/keys"
        with httpx.Client(verify=entra.ssl_context(), trust_env=False) as client:
            self._keys = jwt.PyJWKSet.from_dict(client.get(url).json())
        self.refuse_once = False

    def __call__(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            self._challenge(exchange)
            return
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key.key, ["RS256"], audience=VAULT)
        if self.refuse_once:
            self.refuse_once = False
            self._challenge(exchange, ', error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="')
            return
        name = exchange.path.split("/")[2]
        body = {
            "value": f"{name} of {claims['oid']}",
            "id": f"{exchange.server.url}/secrets/{name}/1",
            "attributes": {"enabled": True},
        }
        exchange.reply(200, json.dumps(body).encode(), Content_Type="application/json")

    def _challenge(self, exchange: Exchange, more: str = "") -> None:
        where = f"{self.entra.authority}/{self.entra.tenant_id}"
        challenge = f'Bearer authorization="{where}", resource="{VAULT}"{more}'
        exchange.reply(401, b"{}", WWW_Authenticate=challenge, Content_Type="application/json")


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as entra:
        register_vault(entra)
        yield entra


def register_vault(entra: LocalEntra) -> Application:
    vault = entra.register_app(
        "vault", identifier_uris=(VAULT,), scopes=("user_impersonation",), roles=("Secrets.Read",), token_version=1
    )
    delegated = {**entra.api.delegated, vault.client_id: ("user_impersonation",)}
    entra.update_app(entra.api, delegated=delegated, application={vault.client_id: ("Secrets.Read",)})
    return vault


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """Give the vault's own TLS context, and the file of the authority that its clients must trust."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("vault") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, path


@pytest.fixture
def vault(entra: LocalEntra, trust: tuple[ssl.SSLContext, Path]) -> Iterator[Loopback]:
    with loopback(Vault(entra), trust[0]) as running:
        yield running


def credential(entra: LocalEntra, kind: str, *, awaitable: bool) -> Any:
    options: dict[str, Any] = {"authority": entra.authority, "connection_verify": entra.ca_pem_path}
    names = (entra.tenant_id, entra.api.client_id)
    if kind == "application":
        return (aio.ClientSecretCredential if awaitable else ClientSecretCredential)(*names, SECRET, **options)
    options |= {"user_assertion": entra.sign_in("alice"), "client_secret": SECRET}
    return (aio.OnBehalfOfCredential if awaitable else OnBehalfOfCredential)(*names, **options)


def read(library: Any, url: str, mine: Any, path: Path) -> Any:
    return library.SecretClient(url, mine, connection_verify=str(path), verify_challenge_resource=False)


@pytest.mark.parametrize("awaitable", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("kind", ["application", "user"])
@pytest.mark.parametrize("challenged", [False, True], ids=["at first", "again with claims"])
def test_a_secret_client_reads_with_our_credential(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra, vault: Loopback, trust: tuple[ssl.SSLContext, Path], kind: str, awaitable: bool, challenged: bool
) -> None:
    mine = credential(entra, kind, awaitable=awaitable)
    assert isinstance(vault.respond, Vault)
    vault.respond.refuse_once = challenged

    async def main() -> list[Any]:
        async with mine, read(azure.keyvault.secrets.aio, vault.url, mine, trust[1]) as client:
            return [(await client.get_secret(name)).value for name in ("one", "two")]

    if awaitable:
        values = asyncio.run(main())
    else:
        with mine, read(azure.keyvault.secrets, vault.url, mine, trust[1]) as client:
            values = [client.get_secret(name).value for name in ("one", "two")]
    who = entra.alice.object_id if kind == "user" else entra.api.object_id
    assert values == [f"one of {who}", f"two of {who}"]
    forms = [dict(request.form) for request in entra.token_requests]
    assert len(forms) == 1 + challenged
    assert {form["scope"] for form in forms} == {f"{VAULT}/.default"}
    assert all("CP1" in form["claims"] for form in forms)


@pytest.mark.parametrize("awaitable", [False, True], ids=["blocking", "async"])
def test_a_secret_client_reads_with_the_credential_of_a_request(
    entra: LocalEntra, vault: Loopback, trust: tuple[ssl.SSLContext, Path], awaitable: bool
) -> None:
    runtime = Runtime(
        Settings(
            tenant_id=entra.tenant_id,
            client_id=entra.api.client_id,
            client_credential=SECRET,
            authority=entra.authority,
            allow_local_issuer=True,
            ssl_context=entra.ssl_context(),
        )
    )
    headers = [b"Bearer " + entra.sign_in("alice").encode()]

    async def main() -> Any:
        context = AsyncContext(runtime, await runtime.async_driver.run(runtime.admit_flow(headers, "/")))
        async with (
            context.credential as mine,
            read(azure.keyvault.secrets.aio, vault.url, mine, trust[1]) as client,
        ):
            value = (await client.get_secret("one")).value
        await runtime.aclose()
        return value

    if awaitable:
        value = asyncio.run(main())
    else:
        context = BlockingContext(runtime, runtime.blocking_driver.run(runtime.admit_flow(headers, "/")))
        with context.credential as mine, read(azure.keyvault.secrets, vault.url, mine, trust[1]) as client:
            value = client.get_secret("one").value
        runtime.close()
    assert value == f"one of {entra.alice.object_id}"
