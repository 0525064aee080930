"""Every kind of machine that docs/credentials.md is about, played on this one: variables, endpoints, tools, files."""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

import credentials
from obo_middleware.testing import FederatedCredential, LocalEntra, Tenant, foreign_key
from tests.credentials.servers import Exchange, loopback
from tests.examples import internet, openai_stand_in

EXCHANGE = "api://AzureADTokenExchange"
GRAPH, MANAGEMENT = "https://graph.microsoft.com", "https://management.azure.com"
RESOURCES = (GRAPH, MANAGEMENT, internet.VAULT, internet.MODELS, "https://graph.microsoft.us")
ISSUER = "https://issuer.example"
SUBJECTS = ("service account", "service connection", "workflow", "machine")
PASSWORD = "a password"  # of a file that lives as long as a test
HEADER = "the-header-of-app-service"
SYSTEM_TOKEN = "the-token-of-the-job"  # made up

AZ = """#!/bin/sh
case " $* " in
*" account get-access-token --output json --resource https://graph.microsoft.com "*) echo '%s' ;;
*) echo "unexpected arguments: $*" >&2; exit 1 ;;
esac
"""
AZD = """#!/bin/sh
case " $* " in
*" auth token --output json --no-prompt --scope https://graph.microsoft.com/.default "*) echo '%s' ;;
*) echo "unexpected arguments: $*" >&2; exit 1 ;;
esac
"""
PWSH = """#!{python} -IS
import base64, sys
script = base64.b64decode(sys.argv[-1]).decode("utf-16-le")
sys.exit(None if "'https://graph.microsoft.com'" in script and not print('{line}') else "unexpected script")
"""


@dataclass(frozen=True)
class World:
    """Everything that the examples meet; `folder` is where they run."""

    entra: LocalEntra
    abroad: Tenant
    folder: Path
    base: dict[str, str]
    app_service: str

    def variables(self, machine: str) -> dict[str, str]:
        """Return the environment of a machine, or of one that is several of them, such as ``az+production``."""
        found = dict(self.base)
        for name in machine.split("+"):
            found |= self._kinds()[name]
        return found

    def _kinds(self) -> dict[str, dict[str, str]]:
        ids = {"AZURE_TENANT_ID": self.entra.tenant_id, "AZURE_CLIENT_ID": self.entra.api.client_id}
        tools = {tool: {"PATH": str(self.folder / tool)} for tool in ("az", "azd", "pwsh")}
        return tools | {
            "bare": {},
            "production": {"APP_ENV": "production"},
            "secret": {**ids, "AZURE_CLIENT_SECRET": self.entra.api.secret},
            "wrong secret": {**ids, "AZURE_CLIENT_SECRET": "wrong"},
            "certificate": {**ids, "AZURE_CLIENT_CERTIFICATE_PATH": str(self.folder / "api.pem")},
            "cluster": {
                **ids,
                "AZURE_FEDERATED_TOKEN_FILE": str(self.folder / "service-account-token"),
                "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            },
            "app service": {"IDENTITY_ENDPOINT": self.app_service, "IDENTITY_HEADER": HEADER},
            "pipeline": {
                "SYSTEM_ACCESSTOKEN": SYSTEM_TOKEN,
                "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/your-org/1/_apis/hubs/build/plans/2/jobs/3/oidctoken",
            },
            "workflow": {
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SYSTEM_TOKEN,
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.actions.githubusercontent.com/1/token?version=2",
            },
        }

    def values(self) -> dict[str, str]:
        """Return what stands for the placeholders of the examples, by the names before them."""
        return {
            "tenant_id": self.entra.tenant_id,
            "client_id": self.entra.api.client_id,
            "managed_identity_client_id": self.entra.api.client_id,
            "object_id": "an object id",
            "resource_id": "a resource id",
            "service_connection_id": "a connection",
            "client_secret": self.entra.api.secret,
            "certificate_path": str(self.folder / "api.pem"),
            "password": PASSWORD,
            "token_file_path": str(self.folder / "service-account-token"),
            "user_assertion": self.entra.sign_in("alice"),
            "user_token": self.entra.sign_in("alice"),
        }

    def names(self) -> dict[str, str]:
        """Return words for the ids that an example prints."""
        return {
            self.entra.api.object_id: "the application",
            self.entra.api.client_id: "the client id",
            self.entra.alice.object_id: "Alice",
            self.entra.tenant_id: "home",
            self.abroad.tenant_id: "abroad",
        }


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Play it all while the block runs."""
    with ExitStack() as running:
        entra = running.enter_context(LocalEntra(tls=True))
        abroad = entra.add_tenant(None, "fabrikam.example")
        _register(entra)
        _write_files(entra, folder)
        hosts: dict[str, internet.Host] = {
            "your-vault.vault.azure.net": internet.vault(entra),
            "your-resource.openai.azure.com": internet.model,
            "login.microsoftonline.us": internet.government(entra),
            "dev.azure.com": internet.token_giver(
                {"serviceConnectionId": "a connection"}, SYSTEM_TOKEN, "oidcToken", _foreign("service connection")
            ),
            "pipelines.actions.githubusercontent.com": internet.token_giver(
                {"audience": EXCHANGE}, SYSTEM_TOKEN, "value", _foreign("workflow")
            ),
        }
        trust = _trust(entra, folder)
        proxy = running.enter_context(internet.internet(hosts, _certified(trust, *hosts)))
        app_service = running.enter_context(loopback(_app_service(entra)))
        no_identity = running.enter_context(loopback(_no_identity))
        base = {
            "APP_ENV": "",
            "AZURE_AUTHORITY_HOST": entra.authority,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": no_identity.url,
            "HTTPS_PROXY": proxy,
            "KUBERNETES_SERVICE_HOST": "",  # the tests themselves may run in a cluster
            "NO_PROXY": "127.0.0.1",
            "PATH": str(folder / "no tools"),
            "PYTHONDEVMODE": "",  # its remarks are about us, not about the example
            "PYTHONPATH": f"{folder}:{Path(str(credentials.__file__)).parents[1]}",
            "REQUESTS_CA_BUNDLE": str(folder / "authorities.pem"),
            "SSL_CERT_FILE": str(folder / "authorities.pem"),
        }
        yield World(entra, abroad, folder, base, f"{app_service.url}/msi/token")


def _register(entra: LocalEntra) -> None:
    """Let the API use every resource, and trust every issuer's token."""
    for uri in RESOURCES[1:]:
        entra.register_app(uri, identifier_uris=(uri,), token_version=1)
    keys = {foreign_key().kid: foreign_key().jwk}
    entra.update_app(entra.api, federated=tuple(FederatedCredential(ISSUER, subject, keys) for subject in SUBJECTS))


def _foreign(subject: str) -> Callable[[], str]:
    """Return what signs the token of a subject that the app registration trusts."""
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": subject, "aud": EXCHANGE, "nbf": now - 60, "exp": now + 3600}
    return lambda: foreign_key().sign(claims)


def _token(entra: LocalEntra, who: str, audience: str) -> str:
    """Return an access token that somebody else than the local provider's token endpoint gave."""
    now = int(time.time())
    times = {"nbf": now - 60, "exp": now + 3600}
    return foreign_key().sign(
        {"iss": ISSUER, "sub": "machine", "oid": who, "tid": entra.tenant_id, "aud": audience, **times}
    )


def _app_service(entra: LocalEntra) -> internet.Host:
    def respond(exchange: Exchange) -> None:
        query = internet.query_of(exchange)
        if exchange.headers.get("X-IDENTITY-HEADER") != HEADER:
            internet.answer(exchange, 401, message="no")
            return
        named = [f"{name} {query[name]}" for name in ("client_id", "object_id", "mi_res_id") if name in query]
        token = _token(entra, "identity" + "".join(f" with {text}" for text in named), query["resource"])
        internet.answer(exchange, access_token=token, expires_on=str(int(time.time()) + 3600), token_type="Bearer")

    return respond


def _no_identity(exchange: Exchange) -> None:
    """Answer as the metadata service of a virtual machine that has no identity."""
    internet.answer(exchange, 400, error="invalid_request", error_description="Identity not found")


def _certified(authority: trustme.CA, *hosts: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*hosts).configure_cert(context)
    return context


def _trust(entra: LocalEntra, folder: Path) -> trustme.CA:
    """Return the authority of all hosts, after writing what an example has to trust."""
    authority = trustme.CA()
    local = Path(entra.ca_pem_path).read_bytes()
    (folder / "authorities.pem").write_bytes(local + authority.cert_pem.bytes())
    return authority


def _write_files(entra: LocalEntra, folder: Path) -> None:
    pem = entra.issue_certificate(entra.api)
    (folder / "api.pem").write_bytes(pem)
    (folder / "api.pfx").write_bytes(_pfx(pem))
    (folder / "service-account-token").write_text(_foreign("service account")() + "\n")
    (folder / "client-assertion.jwt").write_text(_foreign("workflow")())
    (folder / "openai.py").write_bytes(Path(openai_stand_in.__file__).read_bytes())
    now = int(time.time())
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 3600))
    token = _token(entra, "developer", GRAPH)
    _write_tool(folder / "az" / "az", AZ % json.dumps({"accessToken": token, "expires_on": now + 3600}))
    _write_tool(folder / "azd" / "azd", AZD % json.dumps({"token": token, "expiresOn": until}))
    line = f"azsdk%{token}%{now + 3600}"
    _write_tool(folder / "pwsh" / "pwsh", PWSH.format(python=sys.executable, line=line))


def _pfx(pem: bytes) -> bytes:
    key: Any = serialization.load_pem_private_key(pem, None)
    encryption = serialization.BestAvailableEncryption(PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"api", key, x509.load_pem_x509_certificate(pem), None, encryption)


def _write_tool(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o755)
