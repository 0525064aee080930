"""Azure services on this machine, over TLS, which check the tokens they get: Key Vault and Blob Storage."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import trustme

from obo_middleware.testing import Application, LocalEntra
from tests.credentials.servers import Exchange, Loopback, loopback

VAULT = "https://vault.azure.net"
STORAGE = "https://storage.azure.com"
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
ENCODED_CLAIMS = base64.b64encode(CLAIMS.encode()).decode()
INSUFFICIENT = f', error="insufficient_claims", claims="{ENCODED_CLAIMS}"'
"""What a challenge adds to ask for the claims."""
ACCOUNT = "shop"


class Service:
    """Check each request's token as a service of Azure does.

    After `refuse_next` the next token is refused from then on, with a challenge that asks for claims.
    """

    resource = ""

    def __init__(self, entra: LocalEntra) -> None:
        self.entra = entra
        self.tenant_id = entra.tenant_id
        url = f"{entra.authority}/{entra.tenant_id}/discovery/v2.0/keys"
        with httpx.Client(verify=entra.ssl_context(), trust_env=False) as client:
            self._keys = jwt.PyJWKSet.from_dict(client.get(url).json())
        self.tokens: list[str] = []
        self.challenges: list[str] = []
        self._refused: set[str] = set()
        self._refuses_next = False

    def refuse_next(self) -> None:
        """Take the next token for one that was revoked."""
        self._refuses_next = True

    def __call__(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            self.refuse(exchange)
            return
        self.tokens.append(token)
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key.key, ["RS256"], audience=self.resource)
        if self._refuses_next:
            self._refuses_next = False
            self._refused.add(token)
        if token in self._refused:
            self.refuse(exchange, INSUFFICIENT)
        elif claims["tid"] != self.tenant_id:
            self.refuse(exchange)
        else:
            self.serve(exchange, claims)

    def serve(self, exchange: Exchange, claims: dict[str, Any]) -> None:
        """Answer a request whose token is good."""
        raise NotImplementedError

    def refuse(self, exchange: Exchange, more: str = "") -> None:
        """Answer with the service's challenge."""
        raise NotImplementedError


class Vault(Service):
    """Answer as Azure Key Vault does: with a secret that says who the token is for."""

    resource = VAULT

    def serve(self, exchange: Exchange, claims: dict[str, Any]) -> None:
        name = exchange.path.split("/")[2]
        body = {
            "value": f"{name} of {claims['oid']}",
            "id": f"{exchange.server.url}/secrets/{name}/1",
            "attributes": {"enabled": True},
        }
        exchange.reply(200, json.dumps(body).encode(), Content_Type="application/json")

    def refuse(self, exchange: Exchange, more: str = "") -> None:
        where = f"{self.entra.authority}/{self.tenant_id}"
        challenge = f'Bearer authorization="{where}", resource="{VAULT}"{more}'
        self.challenges.append(challenge)
        exchange.reply(401, b"{}", WWW_Authenticate=challenge, Content_Type="application/json")


class BlobService(Service):
    """Answer as Azure Blob Storage does: with one container, and blobs that say who the token is for."""

    resource = STORAGE

    def serve(self, exchange: Exchange, claims: dict[str, Any]) -> None:
        if "comp=list" in exchange.path:
            names = "<Container><Name>orders</Name><Properties/></Container>"
            body = f"<EnumerationResults><Containers>{names}</Containers><NextMarker/></EnumerationResults>"
            exchange.reply(200, body.encode(), Content_Type="application/xml")
        else:
            self._send_blob(exchange, f"{exchange.path.rpartition('/')[2]} of {claims['oid']}".encode())

    def _send_blob(self, exchange: Exchange, content: bytes) -> None:
        headers = {
            "Content_Type": "application/octet-stream",
            "Content_Range": f"bytes 0-{len(content) - 1}/{len(content)}",
            "ETag": '"0x1"',
            "Last_Modified": "Mon, 02 Nov 2026 08:00:00 GMT",
            "x_ms_blob_type": "BlockBlob",
        }
        exchange.reply(206, content, **headers)

    def refuse(self, exchange: Exchange, more: str = "") -> None:
        where = f"{self.entra.authority}/{self.tenant_id}/oauth2/authorize"
        body = b"<Error><Code>InvalidAuthenticationInfo</Code><Message>The token is not accepted.</Message></Error>"
        headers = {"Content_Type": "application/xml", "x_ms_error_code": "InvalidAuthenticationInfo"}
        challenge = f"Bearer authorization_uri={where} resource_id={STORAGE}{more}"
        self.challenges.append(challenge)
        exchange.reply(401, body, WWW_Authenticate=challenge, **headers)


def register_service(entra: LocalEntra, resource: str) -> Application:
    """Register a service that the demo API may call as itself and for its users."""
    service = entra.register_app(
        "service", identifier_uris=(resource,), scopes=("user_impersonation",), roles=("Data.Read",), token_version=1
    )
    delegated = {**entra.api.delegated, service.client_id: ("user_impersonation",)}
    entra.update_app(entra.api, delegated=delegated, application={service.client_id: ("Data.Read",)})
    return service


@contextmanager
def served(service: Service, folder: Path) -> Iterator[tuple[Loopback, str]]:
    """Serve while the block runs, over TLS; give the server, and the file of the authority to trust."""
    authority = trustme.CA()
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with loopback(service, context) as server:
        yield server, str(path)
