"""Ours and azure-identity side by side, for the tests that show where the two differ on purpose."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import azure.identity
import azure.identity.aio
import pytest

import credentials
import credentials.aio
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import GRAPH, SECRET, certificate_pem

SCOPE = f"{GRAPH}/.default"
OURS: tuple[Any, Any] = (credentials, credentials.aio)
BLOCKING_PEER: Any = azure.identity
ASYNC_PEER: Any = azure.identity.aio
PEERS = (BLOCKING_PEER, ASYNC_PEER)


def still(shown: object, what: str) -> None:
    """Fail with clear words if azure-identity has mended a defect; call it after ours was seen to be without."""
    assert shown, (
        f"azure-identity {version('azure-identity')} does not show this defect any more: {what}. Ours is right either "
        f"way: take this assertion out, and say in the list of differences up to which version it holds"
    )


@contextmanager
def local_entra(**options: Any) -> Iterator[LocalEntra]:
    """Serve a provider that azure-identity accepts: over TLS, by the machine's clock."""
    with LocalEntra(tls=True, **options) as entra:
        entra.add_certificate(entra.api, certificate_pem())
        yield entra


def of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away Azure's variables, and what makes the library `requests` trust others than it is told to."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", *[name for name in os.environ if name.startswith("AZURE_")]):
        monkeypatch.delenv(name, raising=False)


def options_of(library: Any, entra: LocalEntra, **more: Any) -> dict[str, Any]:
    """Return the options by which a library finds the provider; azure-identity shall not try again, which takes 5 s."""
    theirs = {"disable_instance_discovery": True, "retry_total": 0} if library in PEERS else {}
    return {"authority": entra.authority, "connection_verify": entra.ca_pem_path, **theirs, **more}


def by_secret(library: Any, entra: LocalEntra, secret: str = SECRET, **more: Any) -> Any:
    names = (entra.tenant_id, entra.api.client_id)
    return library.ClientSecretCredential(*names, secret, **options_of(library, entra, **more))


def by_certificate(library: Any, entra: LocalEntra, data: bytes, **more: Any) -> Any:
    options = options_of(library, entra, certificate_data=data, **more)
    return library.CertificateCredential(entra.tenant_id, entra.api.client_id, **options)


def on_behalf_of(library: Any, entra: LocalEntra, assertion: str, **more: Any) -> Any:
    options = options_of(library, entra, user_assertion=assertion, **more)
    return library.OnBehalfOfCredential(entra.tenant_id, entra.api.client_id, **options)


def ask(credential: Any, *scopes: str, between: Callable[[], object] = bool, **options: Any) -> tuple[Any, Any]:
    """Return what a credential of either colour answers to two requests, tokens or errors, and close it."""
    wanted = scopes or (SCOPE,)
    if inspect.iscoroutinefunction(credential.get_token):
        return asyncio.run(_ask_async(credential, wanted, between, options))
    with credential:
        first = _answer(credential, wanted, options)
        between()
        return first, _answer(credential, wanted, options)


def answer_of(credential: Any, *scopes: str, **options: Any) -> Any:
    """Return the token that a credential of either colour gives, or the error that it raises, and close it."""
    wanted = scopes or (SCOPE,)
    if inspect.iscoroutinefunction(credential.get_token):
        return asyncio.run(_answer_once(credential, wanted, options))
    with credential:
        return _answer(credential, wanted, options)


def _answer(credential: Any, scopes: tuple[str, ...], options: dict[str, Any]) -> Any:
    try:
        return credential.get_token(*scopes, **options).token
    except Exception as error:  # noqa: BLE001  # the test looks at it
        return error


async def _answer_async(credential: Any, scopes: tuple[str, ...], options: dict[str, Any]) -> Any:
    try:
        return (await credential.get_token(*scopes, **options)).token
    except Exception as error:  # noqa: BLE001  # the test looks at it
        return error


async def _answer_once(credential: Any, scopes: tuple[str, ...], options: dict[str, Any]) -> Any:
    async with credential:
        return await _answer_async(credential, scopes, options)


async def _ask_async(
    credential: Any, scopes: tuple[str, ...], between: Callable[[], object], options: dict[str, Any]
) -> tuple[Any, Any]:
    async with credential:
        first = await _answer_async(credential, scopes, options)
        between()
        return first, await _answer_async(credential, scopes, options)


def token_file(folder: Path, content: str) -> Path:
    path = folder / "federated-token"
    path.write_text(content)
    return path
