"""No secret in a variable or an argument is shown, however malformed it is or what stands beside it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credentials import (
    AccessToken,
    AccessTokenInfo,
    ClientAssertion,
    ClientCertificate,
    ClientSecret,
    get_bearer_token_provider,
)
from credentials import _managed_identity_sources as sources
from credentials import _token_endpoint as token_endpoint
from credentials._token_endpoint import UserAssertion
from tests.credentials.canary import OPAQUE, SCOPE, TOKEN, Canary, Work, asks
from tests.credentials.defaults import default, have_nothing
from tests.credentials.federation import class_of
from tests.credentials.helpers import Colour, certificate_pem, key_pem
from tests.credentials.identities import credential_of, set_variables

pytestmark = pytest.mark.attack(184)

FIRST, SECOND = "first-half-of-the-canary", "second-half-of-the-canary"
PASSWORDS = (
    f"{FIRST}:{SECOND}",
    f"{FIRST}/{SECOND}",
    f"{FIRST}#{SECOND}",
    f"{FIRST}?{SECOND}",
    f"{FIRST}@{SECOND}",
    FIRST,
)
BROKEN = (f"{FIRST}\n{SECOND}", f"{FIRST}\t{SECOND}", f"{FIRST}\udcff{SECOND}", f"{FIRST}ü")


@pytest.fixture(autouse=True)
def _nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canary: Canary) -> None:
    have_nothing(monkeypatch, tmp_path)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    for name in ("IMDS_DELAYS", "IMDS_DELAYS_GONE", "IMDS_DELAYS_SILENT"):
        monkeypatch.setattr(sources, name, ())
    for half in (FIRST, SECOND):
        canary.hide(half)


def made(colour: Colour, module: str, name: str, *arguments: Any, **options: Any) -> Any:
    return class_of(colour, module, name)(*arguments, **options)


APPLICATION = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": OPAQUE}
BESIDE = {
    "IDENTITY_ENDPOINT": {"IDENTITY_HEADER": OPAQUE},
    "MSI_ENDPOINT": {"MSI_SECRET": OPAQUE},
    "AZURE_POD_IDENTITY_AUTHORITY_HOST": {},
    "AZURE_AUTHORITY_HOST": APPLICATION,
    "SYSTEM_OIDCREQUESTURI": {},
    "AZURE_KUBERNETES_TOKEN_PROXY": APPLICATION,
    "HTTPS_PROXY": APPLICATION | {"AZURE_AUTHORITY_HOST": "https://login.invalid"},
    "ALL_PROXY": APPLICATION | {"AZURE_AUTHORITY_HOST": "https://login.invalid"},
}
"""Variables that hold a URL, and those beside them."""


def concerned(variable: str, colour: Colour, token_file: str) -> list[Work]:
    """Return what makes the credentials that a variable concerns."""

    def of(module: str, name: str, *arguments: Any, **options: Any) -> Work:
        return lambda: class_of(colour, module, name)(*arguments, **options)

    workload = {"tenant_id": "t", "client_id": "c", "token_file_path": token_file, "enable_azure_proxy": True}
    if variable in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        return [lambda: credential_of(colour), lambda: default(colour)]
    if variable == "SYSTEM_OIDCREQUESTURI":
        return [of("_azure_pipelines", "AzurePipelinesCredential", "t", "c", "connection", OPAQUE)]
    if variable == "AZURE_KUBERNETES_TOKEN_PROXY":
        return [of("_workload_identity", "WorkloadIdentityCredential", **workload)]
    environment = of("_environment", "EnvironmentCredential")
    secret = of("_client_credentials", "ClientSecretCredential", "t", "c", OPAQUE)
    return [environment, secret, lambda: default(colour)] if variable == "AZURE_AUTHORITY_HOST" else [environment]


@pytest.mark.parametrize("scheme", ["https", "http", "socks5", "ftp"])
@pytest.mark.parametrize("variable", BESIDE)
def test_the_password_in_a_url_is_not_shown(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, scheme: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(OPAQUE)
    # Of one colour: what is shown of a URL does not depend on it, save for proxies.
    colour = Colour("async" if "ALL" in variable else "blocking")
    set_variables(monkeypatch, **BESIDE[variable])
    for password in PASSWORDS if scheme in ("https", "http") else PASSWORDS[:1]:
        monkeypatch.setenv(variable, f"{scheme}://user:{password}@127.0.0.1:9/path")
        for make in concerned(variable, colour, str(token_file)):
            canary.fails(lambda make=make: asks(canary, colour, make())())  # type: ignore[misc]  # late binding


@pytest.mark.parametrize("broken", BROKEN)
def test_a_malformed_secret_is_not_shown(
    canary: Canary, colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str
) -> None:
    local = {"AZURE_AUTHORITY_HOST": "https://127.0.0.1:9", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
    for variables in (
        local | {"AZURE_CLIENT_SECRET": broken},
        {"IDENTITY_ENDPOINT": "http://127.0.0.1:9", "IDENTITY_HEADER": broken},
        {"IDENTITY_ENDPOINT": "http://127.0.0.1:9", "IDENTITY_HEADER": broken, "IDENTITY_SERVER_THUMBPRINT": "0" * 40},
        {"MSI_ENDPOINT": "http://127.0.0.1:9", "MSI_SECRET": broken},
    ):
        with monkeypatch.context() as patch:
            set_variables(patch, **variables)
            canary.fails(asks(canary, colour, default(colour)))
            canary.watch(asks(canary, colour, credential_of(colour)))
    kinds: dict[str, object] = {"ClientSecretCredential": broken, "ClientAssertionCredential": lambda: broken}
    for name, proof in kinds.items():
        kind = class_of(colour, "_client_credentials", name)
        canary.fails(asks(canary, colour, kind("t", "c", proof, authority="https://127.0.0.1:9")))
    pipelines = class_of(colour, "_azure_pipelines", "AzurePipelinesCredential")
    canary.fails(functools.partial(pipelines, "t", "c", "connection", broken))


@pytest.mark.parametrize("path", [TOKEN, f"{TOKEN}{'x' * 300}", f"{TOKEN}\n"])
def test_a_token_in_the_place_of_its_file_is_not_shown(canary: Canary, colour: Colour, path: str) -> None:
    options = {"tenant_id": "t", "client_id": "c", "token_file_path": path}
    canary.fails(asks(canary, colour, made(colour, "_workload_identity", "WorkloadIdentityCredential", **options)))


def test_the_content_of_a_broken_token_file_is_not_shown(canary: Canary, colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff" + TOKEN.encode())
    options = {"tenant_id": "t", "client_id": "c", "token_file_path": path}
    canary.fails(asks(canary, colour, made(colour, "_workload_identity", "WorkloadIdentityCredential", **options)))


def certificates(canary: Canary) -> Iterator[tuple[bytes, str]]:
    """Yield certificates that cannot be used, and passwords."""
    key, locked = canary.hide_pem(key_pem()), canary.hide_pem(key_pem(password=FIRST.encode()))
    for pem in (key, locked):
        lines = pem.splitlines(keepends=True)
        yield pem + certificate_pem(), SECOND
        yield b"".join([*lines[:3], *lines[4:]]) + certificate_pem(), FIRST
        yield b"".join([*lines[:3], b"\xff!" + lines[3], *lines[4:]]) + certificate_pem(), FIRST
        yield pem + certificate_pem("root"), FIRST
        yield pem, FIRST
        yield pem[:600], FIRST


def test_a_certificate_that_cannot_be_used_shows_nothing(canary: Canary, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    for data, password in certificates(canary):
        path.write_bytes(data)
        text = data.decode("latin-1")
        canary.fails(functools.partial(ClientCertificate, data=data, password=password))
        canary.fails(functools.partial(ClientCertificate, path, password=password))
        canary.fails(functools.partial(ClientCertificate, text, password=password))
        canary.fails(functools.partial(ClientCertificate, data=f"{text}\udcff", password=f"{password}\udcff"))


def speak(word: str) -> str:
    return word


def test_the_public_values_show_nothing(canary: Canary) -> None:
    canary.hide_pem(key_pem())
    client = ClientCertificate(data=key_pem() + certificate_pem())
    canary.examine(ClientSecret(OPAQUE), client, client.certificate, ClientAssertion(functools.partial(speak, OPAQUE)))
    canary.show(AccessToken(OPAQUE, 1), AccessTokenInfo(OPAQUE, 1), UserAssertion(token=OPAQUE, partition=b"p"))
    canary.show(
        get_bearer_token_provider(
            class_of(Colour("blocking"), "_client_credentials", "ClientSecretCredential")("t", "c", OPAQUE), SCOPE
        )
    )
