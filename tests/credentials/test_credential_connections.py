"""Whom a credential's connections trust, how long they last, and who shares them."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from credentials import AccessToken, ProviderUnavailableError
from credentials import _token_endpoint as token_endpoint
from credentials._client_credentials import ApplicationCredential, AsyncApplicationCredential
from credentials._family import pool_for
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import Colour
from tests.credentials.secret_credentials import SCOPE, made

# Trust


def test_a_provider_is_trusted_by_its_pem_file_or_a_context(colour: Colour) -> None:
    with LocalEntra(tls=True) as entra:
        for trust in (entra.ca_pem_path, Path(entra.ca_pem_path), entra.ssl_context()):
            assert colour.get_token(made(entra, colour, connection_verify=trust), SCOPE).token


def test_an_unknown_certificate_is_refused_before_the_secret_leaves(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    with LocalEntra(tls=True) as entra:
        with pytest.raises(ProviderUnavailableError, match="certificate is not trusted"):
            colour.get_token(made(entra, colour, connection_verify=True), SCOPE)
        assert entra.requests_to("token") == 0


def test_verification_cannot_be_switched_off(colour: Colour, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PEM file"):
        colour.client_secret("tenant", "client", "secret", connection_verify=False)
    garbage = tmp_path / "ca.pem"
    garbage.write_text("garbage")
    for path in (garbage, tmp_path / "gone.pem"):
        with pytest.raises(ValueError, match="not a readable PEM file"):
            colour.client_secret("tenant", "client", "secret", connection_verify=str(path))


def test_a_context_is_used_as_it_is() -> None:
    context = ssl.create_default_context()
    assert pool_for(context)._ssl_context is context


# Life of the credential


def test_a_closed_credential_opens_new_connections(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour)
    first = colour.get_token(credential, SCOPE)
    second = colour.get_token(credential, SCOPE, claims='{"access_token":{}}')
    assert first.token != second.token
    assert entra.connections == 2


def test_connections_are_used_again_until_closed(entra: LocalEntra) -> None:
    blocking = made(entra, Colour("blocking"))
    for _ in range(3):
        blocking.get_token(SCOPE, claims="{}")
    assert entra.connections == 1
    blocking.close()
    blocking.close()
    awaitable = made(entra, Colour("async"))

    async def main() -> None:
        async with awaitable:
            for _ in range(3):
                await awaitable.get_token(SCOPE, claims="{}")
        await awaitable.close()

    asyncio.run(main())
    assert entra.connections == 2


def test_an_awaitable_credential_serves_one_event_loop_after_the_other(entra: LocalEntra) -> None:
    credential = made(entra, Colour("async"))

    async def main() -> str:
        token: AccessToken = await credential.get_token(SCOPE, claims="{}")
        await credential.close()
        return token.token

    assert len({asyncio.run(main()) for _ in range(3)}) == 3


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ended_without_closing_spoils_nothing_for_the_next(
    entra: LocalEntra, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="asyncio")  # its records of debug mode would keep the loops alive
    credential = made(entra, Colour("async"))
    tokens = {asyncio.run(credential.get_token(SCOPE, claims="{}")).token for _ in range(3)}
    gc.collect()
    assert len(tokens) == 3
    assert len(credential._pool._async) == 1, "the connections of loops that ended are kept"
    del credential
    gc.collect()


def test_a_blocking_credential_works_on_a_thread_whose_loop_runs(entra: LocalEntra) -> None:
    credential = made(entra, Colour("blocking"))

    async def main() -> str:
        with credential:
            return str(credential.get_token(SCOPE).token)

    assert asyncio.run(main())


@pytest.mark.parametrize("kind", [ApplicationCredential, AsyncApplicationCredential])
def test_an_applications_credential_can_be_had_over_a_client_that_others_use(entra: LocalEntra, kind: Any) -> None:
    colour = Colour("blocking" if kind is ApplicationCredential else "async")
    secret = made(entra, colour)
    shared = kind.of(secret._client, secret._pool)
    assert colour.get_token(secret, SCOPE) == colour.get_token(shared, SCOPE)
    assert entra.requests_to("token") == 1
