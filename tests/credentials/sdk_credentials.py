"""A credential of each family, made on this machine as an application would make it, for Azure SDK clients."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from obo_middleware.testing import Application, LocalEntra
from tests.credentials.defaults import have_nothing
from tests.credentials.developer_tools import AZ, AZD, Kind, on_path
from tests.credentials.federation import foreign_token, trust_issuer
from tests.credentials.helpers import SECRET, certificate_pem, key_pem
from tests.credentials.identities import HEADER_SECRET, set_variables
from tests.credentials.servers import Exchange, loopback


@dataclass
class Machine:
    """What a test has to make credentials of: a provider, the service's registration, and a machine of its own."""

    entra: LocalEntra
    service: Application
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    library: Any
    open: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        have_nothing(self.monkeypatch, self.folder)
        trust_issuer(self.entra)

    @property
    def names(self) -> tuple[str, str]:
        return self.entra.tenant_id, self.entra.api.client_id

    @property
    def options(self) -> dict[str, Any]:
        return {"authority": self.entra.authority, "connection_verify": self.entra.ca_pem_path}

    def set(self, **variables: str) -> None:
        set_variables(self.monkeypatch, **variables)

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def certificate(self) -> str:
        """Return the path of a certificate of the demo API's, with its key."""
        if not self.entra.api.certificates:
            self.entra.add_certificate(self.entra.api, certificate_pem())
        return self.file("certificate.pem", key_pem() + certificate_pem())

    def serve(self, answer: Callable[[], dict[str, Any]]) -> str:
        """Answer all requests to a URL of this machine, until the end of the test."""

        def respond(exchange: Exchange) -> None:
            exchange.reply(200, json.dumps(answer()).encode(), Content_Type="application/json")

        return self.open.enter_context(loopback(respond)).url

    def app_token(self) -> str:
        return self.entra.app_token(self.service, ("Data.Read",), client=self.entra.api)

    def user_token(self) -> str:
        return self.entra.sign_in("alice", self.service, ("user_impersonation",))


def by_secret(machine: Machine, **more: Any) -> Any:
    return machine.library.ClientSecretCredential(*machine.names, SECRET, **machine.options, **more)


def on_behalf_of(machine: Machine) -> Any:
    proof = {"user_assertion": machine.entra.sign_in("alice"), "client_secret": SECRET}
    return machine.library.OnBehalfOfCredential(*machine.names, **proof, **machine.options)


def by_certificate(machine: Machine) -> Any:
    return machine.library.ClientCertificateCredential(*machine.names, machine.certificate(), **machine.options)


def assertion() -> str:
    return foreign_token(exp=time.time() + 3600)


def by_assertion(machine: Machine) -> Any:
    return machine.library.ClientAssertionCredential(*machine.names, assertion, **machine.options)


def workload_identity(machine: Machine) -> Any:
    path = machine.file("federated-token", assertion().encode())
    machine.set(AZURE_FEDERATED_TOKEN_FILE=path)
    machine.set(AZURE_TENANT_ID=machine.names[0], AZURE_CLIENT_ID=machine.names[1])
    return machine.library.WorkloadIdentityCredential(**machine.options)


def pipelines(machine: Machine) -> Any:
    machine.set(SYSTEM_OIDCREQUESTURI=machine.serve(lambda: {"oidcToken": assertion()}))
    return machine.library.AzurePipelinesCredential(*machine.names, "connection", "system", **machine.options)


def app_service(machine: Machine) -> None:
    """Let the machine have a managed identity: App Service's endpoint gives another token each time."""

    def answer() -> dict[str, Any]:
        return {"access_token": machine.app_token(), "token_type": "Bearer", "expires_on": str(int(time.time()) + 3600)}

    machine.set(IDENTITY_ENDPOINT=machine.serve(answer), IDENTITY_HEADER=HEADER_SECRET)


def managed_identity(machine: Machine) -> Any:
    app_service(machine)
    return machine.library.ManagedIdentityCredential()


def environment(machine: Machine) -> Any:
    tenant_id, client_id = machine.names
    machine.set(AZURE_TENANT_ID=tenant_id, AZURE_CLIENT_ID=client_id, AZURE_CLIENT_SECRET=SECRET)
    return machine.library.EnvironmentCredential(**machine.options)


def chain(machine: Machine) -> Any:
    library = machine.library
    return library.ChainedTokenCredential(library.EnvironmentCredential(), by_certificate(machine))


def default(machine: Machine) -> Any:
    app_service(machine)
    return machine.library.DefaultAzureCredential()


def azure_cli(machine: Machine) -> Any:
    on_path(AZ, machine.folder, machine.monkeypatch).says(output_of(AZ, machine))
    return machine.library.AzureCliCredential()


def azure_developer_cli(machine: Machine) -> Any:
    # Another token where claims are asked for, because the first was refused then.
    first, second = (machine.file(name, output_of(AZD, machine).encode()) for name in ("first", "second"))
    script = f'case "$*" in *--claims*) cat {second};; *) cat {first};; esac\n'
    on_path(AZD, machine.folder, machine.monkeypatch).does(script)
    return machine.library.AzureDeveloperCliCredential()


def output_of(kind: Kind, machine: Machine) -> str:
    return kind.output(machine.user_token(), int(time.time()) + 3600)


OF_THE_APPLICATION: dict[str, Callable[[Machine], Any]] = {
    "secret": by_secret,
    "certificate": by_certificate,
    "assertion": by_assertion,
    "workload identity": workload_identity,
    "pipelines": pipelines,
    "managed identity": managed_identity,
    "environment": environment,
    "chain": chain,
    "default": default,
}
OF_A_USER: dict[str, Callable[[Machine], Any]] = {
    "on behalf of": on_behalf_of,
    "Azure CLI": azure_cli,
    "Azure Developer CLI": azure_developer_cli,
}
FAMILIES = OF_THE_APPLICATION | OF_A_USER
"""Every family that can be had on one machine; whose tokens they are, the name of the group says."""


def whose(entra: LocalEntra, kind: str) -> str:
    """Return the object id of whom a family's tokens are for."""
    return entra.alice.object_id if kind in OF_A_USER else entra.api.object_id
