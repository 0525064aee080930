"""Every credential class, and how to make one that works on this machine against a stand-in."""

from __future__ import annotations

import functools
import json
import ssl
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import credentials
from tests.credentials.developer_tools import AZ, AZD, PWSH, Kind
from tests.credentials.federation import foreign_token, trust_issuer
from tests.credentials.helpers import GRAPH, SECRET, local_options
from tests.credentials.identities import HEADER_SECRET
from tests.credentials.own_credentials import registered
from tests.credentials.places import BLOCKING, Arguments, Every
from tests.credentials.servers import loopback
from tests.credentials.stand_ins import EndpointStandIn, EntraStandIn, ToolStandIn

USER_SCOPES = (f"{GRAPH}/User.Read", f"{GRAPH}/Mail.Read")
# To load the public authorities takes 20 ms for each credential, and nobody here speaks TLS.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


# Applications at the provider


class ByEntra(Every):
    """A class whose tokens come from the provider."""

    stand_in: EntraStandIn

    @contextmanager
    def serve(self) -> Iterator[None]:
        self.stand_in = EntraStandIn()
        with self.stand_in.serve():
            self.entra = self.stand_in.entra
            self.scopes = (self.scopes[0], f"api://{self.entra.api.client_id}/.default")
            self.prepare()
            yield

    def prepare(self) -> None:
        """Make ready what every credential of this class finds."""

    @property
    def application(self) -> tuple[str, str]:
        return self.entra.tenant_id, self.entra.api.client_id

    @property
    def options(self) -> dict[str, Any]:
        return local_options(self.entra) | {"connection_verify": _NO_TLS}

    @functools.cached_property
    def user_assertion(self) -> str:
        return self.entra.sign_in("alice", lifetime=80_000)


class OnBehalfOf(ByEntra):
    name = "OnBehalfOfCredential"

    def prepare(self) -> None:
        self.scopes = USER_SCOPES

    def arguments(self, colour: str) -> Arguments:
        return self.application, self.options | {"user_assertion": self.user_assertion, "client_secret": SECRET}


class ClientSecret(ByEntra):
    name = "ClientSecretCredential"

    def arguments(self, colour: str) -> Arguments:
        return (*self.application, SECRET), self.options


class ClientCertificate(ByEntra):
    name = "ClientCertificateCredential"

    def prepare(self) -> None:
        self.pem = registered(self.entra)

    def arguments(self, colour: str) -> Arguments:
        return self.application, self.options | {"certificate_data": self.pem}


class WithAFile(ByEntra):
    """A class that needs a file with the application's assertion."""

    needs = "the file"

    def prepare(self) -> None:
        trust_issuer(self.entra)
        self.file = self.folder / "assertion"
        self.file.write_text(foreign_token())

    def lose(self) -> None:
        self.file.unlink()

    def in_the_environment(self) -> None:
        tenant, client = self.application
        self.set(AZURE_TENANT_ID=tenant, AZURE_CLIENT_ID=client, AZURE_FEDERATED_TOKEN_FILE=str(self.file))


class OnBehalfOfByAFile(WithAFile):
    name = "OnBehalfOfCredential"

    def prepare(self) -> None:
        super().prepare()
        self.scopes = USER_SCOPES

    def arguments(self, colour: str) -> Arguments:
        proof = credentials.ClientAssertion.from_file(self.file)
        return self.application, self.options | {"user_assertion": self.user_assertion, "client_assertion_func": proof}


class ClientAssertion(WithAFile):
    name = "ClientAssertionCredential"
    needs = "what the function reads"

    def arguments(self, colour: str) -> Arguments:
        return (*self.application, self.file.read_text if colour == BLOCKING else self._read), self.options

    async def _read(self) -> str:
        return self.file.read_text()


class WorkloadIdentity(WithAFile):
    name = "WorkloadIdentityCredential"

    def prepare(self) -> None:
        super().prepare()
        self.in_the_environment()

    def arguments(self, colour: str) -> Arguments:
        return (), self.options


class AzurePipelines(ByEntra):
    name = "AzurePipelinesCredential"
    needs = "the variable"

    @contextmanager
    def serve(self) -> Iterator[None]:
        body = json.dumps({"oidcToken": foreign_token()}).encode()
        with super().serve(), loopback(lambda exchange: exchange.reply(200, body)) as agent:
            trust_issuer(self.entra)
            self.set(SYSTEM_OIDCREQUESTURI=agent.url)
            yield

    def arguments(self, colour: str) -> Arguments:
        return (*self.application, "connection", "system-token"), self.options

    def lose(self) -> None:
        self.monkeypatch.delenv("SYSTEM_OIDCREQUESTURI")


class Environment(ByEntra):
    name = "EnvironmentCredential"

    def prepare(self) -> None:
        tenant, client = self.application
        self.set(AZURE_TENANT_ID=tenant, AZURE_CLIENT_ID=client, AZURE_CLIENT_SECRET=SECRET)

    def arguments(self, colour: str) -> Arguments:
        return (), self.options


class Chained(WithAFile):
    name = "ChainedTokenCredential"

    def arguments(self, colour: str) -> Arguments:
        tenant, client = self.application
        nothing = self.kind(colour, "EnvironmentCredential")(connection_verify=_NO_TLS)
        options = self.options | {"tenant_id": tenant, "client_id": client, "token_file_path": str(self.file)}
        return (nothing, self.kind(colour, "WorkloadIdentityCredential")(**options)), {}


class Default(WorkloadIdentity):
    name = "DefaultAzureCredential"


class TokenExchange(WorkloadIdentity):
    """A managed identity on AKS."""

    name = "ManagedIdentityCredential"

    def prepare(self) -> None:
        super().prepare()
        self.set(AZURE_AUTHORITY_HOST=self.entra.authority)


# Managed identities


class ByEndpoint(Every):
    """A managed identity whose tokens come from an endpoint of this machine."""

    name = "ManagedIdentityCredential"
    stand_in: EndpointStandIn

    @contextmanager
    def serve(self) -> Iterator[None]:
        self.stand_in = EndpointStandIn()
        with self.stand_in.serve():
            self.describe(self.stand_in.server.url)
            yield

    @abstractmethod
    def describe(self, url: str) -> None:
        """Set the variables that lead to the endpoint."""

    def arguments(self, colour: str) -> Arguments:
        return (), {"clock": self.clock}


class AppService(ByEndpoint):
    def describe(self, url: str) -> None:
        self.set(IDENTITY_ENDPOINT=url, IDENTITY_HEADER=HEADER_SECRET)


class AzureMl(ByEndpoint):
    def describe(self, url: str) -> None:
        self.set(MSI_ENDPOINT=url, MSI_SECRET=HEADER_SECRET)


class CloudShell(ByEndpoint):
    def describe(self, url: str) -> None:
        self.set(MSI_ENDPOINT=url)


class Imds(ByEndpoint):
    def describe(self, url: str) -> None:
        self.set(AZURE_POD_IDENTITY_AUTHORITY_HOST=url)


# Developer tools


class ByTool(Every):
    """A class whose tokens come from a tool."""

    tool: ClassVar[Kind]
    stand_in: ToolStandIn
    needs = "the tool"
    speaks_http = False

    @contextmanager
    def serve(self) -> Iterator[None]:
        self.stand_in = ToolStandIn(self.tool, self.folder)
        self.set(PATH=str(self.stand_in.tool.path.parent))
        with self.stand_in.serve():
            yield

    def arguments(self, colour: str) -> Arguments:
        return (), {"clock": self.clock}

    def lose(self) -> None:
        self.stand_in.tool.path.unlink()


class AzureCli(ByTool):
    name, tool = "AzureCliCredential", AZ


class AzureDeveloperCli(ByTool):
    name, tool = "AzureDeveloperCliCredential", AZD


class AzurePowerShell(ByTool):
    name, tool = "AzurePowerShellCredential", PWSH


EVERY: tuple[type[Every], ...] = (
    *(
        OnBehalfOf,
        OnBehalfOfByAFile,
        ClientSecret,
        ClientCertificate,
        ClientAssertion,
        WorkloadIdentity,
        AzurePipelines,
        Environment,
    ),
    *(AppService, AzureMl, CloudShell, Imds, TokenExchange, AzureCli, AzureDeveloperCli, AzurePowerShell),
    *(Chained, Default),
)
NEEDY = tuple(kind for kind in EVERY if kind.needs)
HTTP = tuple(kind for kind in EVERY if kind.speaks_http)
