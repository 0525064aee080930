"""No secret of an application's credential is shown, whatever the token endpoint answers."""

from __future__ import annotations

import json
import ssl
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from credentials import ClientAssertion
from credentials import _token_endpoint as token_endpoint
from tests.credentials.canary import MIRRORS, STATUSES, Canary, asks, mirror, misplaced, says, speaks_no_http
from tests.credentials.federation import class_of
from tests.credentials.helpers import Clock, Colour, certificate_pem, key_pem
from tests.credentials.identities import forget_azure, set_variables, token_body
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback

pytestmark = pytest.mark.attack(184)

SECRET = "canary+of/a=client~secret"
ASSERTION = "canary-of-an-opaque-assertion"
USER = "canary-of-an-opaque-user-token"
SYSTEM = "canary-of-the-system-token"
HEADER = "canary-of-the-identity-header"
TRUST = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ALL = (SECRET, ASSERTION, USER, SYSTEM, HEADER)


class Hurried(Clock):
    """A clock that no refusal and no token outlives."""

    def __call__(self) -> float:
        self.now += 4000
        return self.now


class World:
    """The machine that a credential is made on, and the provider's address."""

    def __init__(self, colour: Colour, patch: pytest.MonkeyPatch, folder: Path, canary: Canary) -> None:
        self.colour, self.patch, self.folder, self.canary = colour, patch, folder, canary
        self.url = ""
        self.helper = ""

    def make(self, module: str, name: str, *arguments: Any, **options: Any) -> Any:
        # Trusts nobody: to load the public authorities takes 20 ms each time.
        local = {"authority": self.url, "allow_local_authority": True, "clock": Hurried(), "connection_verify": TRUST}
        return class_of(self.colour, module, name)(*arguments, **(local | options))

    def application(self, name: str, *arguments: Any, **options: Any) -> Any:
        return self.make("_client_credentials", name, "tenant", "client", *arguments, **options)

    def file(self, content: bytes) -> str:
        path = self.folder / "file"
        path.write_bytes(content)
        return str(path)

    def set(self, **variables: str) -> None:
        set_variables(self.patch, **variables)


@pytest.fixture
def world(colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canary: Canary) -> Iterator[World]:
    """Give a machine that has nothing, and a server that gives assertions."""
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    for secret in ALL:
        canary.hide(secret)

    def give(exchange: Exchange) -> None:
        oidc = "oidctoken" in exchange.path
        exchange.reply(200, json.dumps({"oidcToken": ASSERTION}).encode() if oidc else token_body(ASSERTION))

    with loopback(give) as helper:
        world = World(colour, monkeypatch, tmp_path, canary)
        world.helper = helper.url
        yield world


def secret(world: World) -> Any:
    return world.application("ClientSecretCredential", SECRET)


def certificate(world: World) -> Any:
    pem = world.canary.hide_pem(key_pem() + certificate_pem())
    return world.application("ClientCertificateCredential", world.file(pem))


def callback(world: World) -> Any:
    return world.application("ClientAssertionCredential", lambda: ASSERTION)


def assertion_file(world: World) -> Any:
    return world.application("ClientAssertionCredential", ClientAssertion.from_file(world.file(ASSERTION.encode())))


def assertion_of_identity(world: World) -> Any:
    world.set(IDENTITY_ENDPOINT=f"{world.helper}/token", IDENTITY_HEADER=HEADER)
    return world.application("ClientAssertionCredential", ClientAssertion.from_managed_identity(clock=Hurried()))


def workload(world: World) -> Any:
    path = world.file(ASSERTION.encode())
    return world.make(
        "_workload_identity", "WorkloadIdentityCredential", tenant_id="t", client_id="c", token_file_path=path
    )


def exchange_of_aks(world: World) -> Any:
    world.set(AZURE_AUTHORITY_HOST=world.url, AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c")
    world.set(AZURE_FEDERATED_TOKEN_FILE=world.file(ASSERTION.encode()))
    return world.make("_managed_identity", "ManagedIdentityCredential")


def pipelines(world: World) -> Any:
    world.patch.setenv("SYSTEM_OIDCREQUESTURI", f"{world.helper}/oidctoken")
    return world.make("_azure_pipelines", "AzurePipelinesCredential", "t", "c", "connection", SYSTEM)


def environment(world: World) -> Any:
    world.set(AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", AZURE_CLIENT_SECRET=SECRET)
    return world.make("_environment", "EnvironmentCredential")


def environment_certificate(world: World) -> Any:
    pem = world.canary.hide_pem(key_pem() + certificate_pem())
    world.set(AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", AZURE_CLIENT_CERTIFICATE_PATH=world.file(pem))
    return world.make("_environment", "EnvironmentCredential")


def on_behalf_of(world: World) -> Any:
    options = {"client_secret": SECRET, "user_assertion": USER}
    return world.make("_on_behalf_of", "OnBehalfOfCredential", "tenant", "client", **options)


def chained(world: World) -> Any:
    return class_of(world.colour, "_chained", "ChainedTokenCredential")(secret(world), callback(world))


def default(world: World) -> Any:
    world.set(AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", AZURE_CLIENT_SECRET=SECRET)
    return world.make("_default", "DefaultAzureCredential")


KINDS: tuple[Callable[[World], Any], ...] = (
    *(secret, certificate, callback, assertion_file, assertion_of_identity, workload, exchange_of_aks, pipelines),
    *(environment, environment_certificate, on_behalf_of, chained, default),
)


def hide_what_was_sent(world: World, server: Loopback) -> None:
    """Hide the assertions too that a credential makes anew; each request must have carried a proof."""
    for asked in server.asked:
        form = dict(urllib.parse.parse_qsl(asked.body.decode()))
        world.canary.hide(form.get("client_assertion") or form["client_secret"])


@pytest.mark.parametrize("form", MIRRORS.values(), ids=MIRRORS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_token_endpoint_repeats_is_not_shown(
    world: World, kind: Callable[[World], Any], form: Callable[[str], bytes]
) -> None:
    with loopback(mirror(200, form)) as server:
        world.url = server.url
        credential = kind(world)
        for status in STATUSES:
            server.respond = mirror(status, form)
            world.canary.fails(asks(world.canary, world.colour, credential))
        world.canary.examine(credential)
        assert len(server.asked) >= len(STATUSES)
        hide_what_was_sent(world, server)


@pytest.mark.parametrize(
    "kind", [secret, certificate, pipelines, on_behalf_of, chained, default], ids=lambda k: k.__name__
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_token_in_the_wrong_place_is_not_shown(world: World, kind: Callable[[World], Any], status: int) -> None:
    with loopback(says(status, b"")) as server:
        world.url = server.url
        credential = kind(world)
        for body in misplaced().values():
            server.respond = says(status, body)
            world.canary.watch(asks(world.canary, world.colour, credential))
        assert len(server.asked) >= len(misplaced())


def test_an_answer_that_is_no_http_is_not_shown(world: World) -> None:
    world.canary.deaf_to = ("httpcore",)  # it logs the line that it cannot read
    with loopback(speaks_no_http) as server:
        world.url = server.url
        world.canary.fails(asks(world.canary, world.colour, secret(world)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nobody_there_shows_nothing(world: World, kind: Callable[[World], Any]) -> None:
    with closed_port() as url:
        world.url = url
        world.canary.fails(asks(world.canary, world.colour, kind(world)))


# The first stage of two


@pytest.mark.parametrize("form", MIRRORS.values(), ids=MIRRORS)
def test_what_the_pipelines_endpoint_repeats_is_not_shown(world: World, form: Callable[[str], bytes]) -> None:
    with loopback(mirror(200, form)) as server:
        world.url = world.helper = server.url
        for status in (201, *STATUSES):
            server.respond = mirror(status, form)
            world.canary.fails(asks(world.canary, world.colour, pipelines(world)))
        assert all(SYSTEM in asked.headers["authorization"] for asked in server.asked)


@pytest.mark.parametrize("status", [200, 203, 400])
def test_a_pipelines_assertion_in_the_wrong_place_is_not_shown(world: World, status: int) -> None:
    with loopback(says(status, b"")) as server:
        world.url = world.helper = server.url
        for body in misplaced("oidcToken").values():
            server.respond = says(status, body)
            world.canary.watch(asks(world.canary, world.colour, pipelines(world)))


@pytest.mark.parametrize("form", MIRRORS.values(), ids=MIRRORS)
def test_what_the_proxy_of_aks_repeats_is_not_shown(world: World, form: Callable[[str], bytes]) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("proxy.aks").configure_cert(context)
    with loopback(mirror(200, form), context) as proxy:
        world.url = "http://127.0.0.1:9"
        world.set(AZURE_KUBERNETES_TOKEN_PROXY=proxy.url, AZURE_KUBERNETES_SNI_NAME="proxy.aks")
        world.set(AZURE_KUBERNETES_CA_DATA=authority.cert_pem.bytes().decode())
        options = {"tenant_id": "t", "client_id": "c", "token_file_path": world.file(ASSERTION.encode())}
        for status in STATUSES:
            proxy.respond = mirror(status, form)
            credential = world.make(
                "_workload_identity", "WorkloadIdentityCredential", enable_azure_proxy=True, **options
            )
            world.canary.fails(asks(world.canary, world.colour, credential))
        assert all(ASSERTION.encode() in asked.body for asked in proxy.asked)


def test_a_callback_that_fails_is_named_by_its_class_only(world: World) -> None:
    def fail() -> str:
        raise LookupError(ASSERTION)

    world.url = "http://127.0.0.1:9"
    world.canary.foreign = (LookupError,)
    world.canary.fails(asks(world.canary, world.colour, world.application("ClientAssertionCredential", fail)))
