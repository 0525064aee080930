"""Chains with azure-identity's own credentials in them, and ours in azure-identity's chains."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import azure.core.credentials
import azure.core.credentials_async
import azure.identity
import azure.identity.aio
import pytest
from azure.core.exceptions import ClientAuthenticationError

from credentials import AuthenticationError
from credentials._chained import AsyncChainedTokenCredential, ChainedTokenCredential
from credentials._default import AsyncDefaultAzureCredential, DefaultAzureCredential
from credentials._errors import ChainedAuthenticationError, ChainUnavailableError
from obo_middleware.testing import LocalEntra
from tests.credentials.chains import SCOPE, AsyncOurs, Ours, chain, unavailable
from tests.credentials.helpers import SECRET, Colour, claims_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:msal.*")
UNAVAILABLE: list[Callable[[], Any]] = [
    azure.identity.EnvironmentCredential,
    azure.identity.aio.EnvironmentCredential,
    lambda: Raising(azure.identity.CredentialUnavailableError("not here")),
    lambda: Raising(azure.identity.AuthenticationRequiredError([SCOPE])),
]


class Raising:
    """A credential of somebody's own that raises azure-identity's errors."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_token(self, *scopes: str, **options: Any) -> Any:
        raise self.error


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as entra:
        yield entra


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_USERNAME",
        "AZURE_PASSWORD",
    ):
        monkeypatch.delenv(name, raising=False)


def theirs(library: Any, entra: LocalEntra, secret: str = SECRET) -> Any:
    return library.ClientSecretCredential(
        entra.tenant_id,
        entra.api.client_id,
        secret,
        authority=entra.authority,
        connection_verify=entra.ca_pem_path,
        disable_instance_discovery=True,
    )


@pytest.mark.parametrize("made", UNAVAILABLE)
def test_their_kind_of_unavailable_is_the_next_ones_turn(colour: Colour, made: Callable[[], Any]) -> None:
    assert colour.get_token(chain(colour, made(), Ours("next")), SCOPE).token == "next"
    with pytest.raises(ChainUnavailableError) as caught:
        colour.get_token(chain(colour, made()), SCOPE)
    (error,) = caught.value.errors
    assert isinstance(error, azure.identity.CredentialUnavailableError)


def test_their_credential_gives_the_token_in_a_chain_of_ours(colour: Colour, entra: LocalEntra) -> None:
    members = {
        "blocking": [azure.identity.EnvironmentCredential(), theirs(azure.identity, entra)],
        "async": [azure.identity.aio.EnvironmentCredential(), theirs(azure.identity.aio, entra)],
    }
    one = chain(colour, Ours(unavailable()), *members[colour.name])
    assert claims_of(colour.get_token(one, SCOPE).token)["oid"] == entra.api.object_id


def test_their_blocking_credential_gives_the_token_in_an_awaitable_chain(entra: LocalEntra) -> None:
    one = chain("async", azure.identity.EnvironmentCredential(), theirs(azure.identity, entra))
    assert claims_of(Colour("async").get_token(one, SCOPE).token)["oid"] == entra.api.object_id


def test_their_refusal_ends_a_chain_of_ours(colour: Colour, entra: LocalEntra) -> None:
    library = azure.identity if colour.name == "blocking" else azure.identity.aio
    last = Ours("never")
    with pytest.raises(ChainedAuthenticationError, match="AADSTS7000215") as caught:
        colour.get_token(chain(colour, theirs(library, entra, "wrong"), last), SCOPE)
    assert isinstance(caught.value.__cause__, ClientAuthenticationError)
    assert last.asked == []


def test_their_chain_says_failed_where_none_was_available(colour: Colour) -> None:
    library: Any = azure.identity if colour.name == "blocking" else azure.identity.aio
    within = library.ChainedTokenCredential(library.EnvironmentCredential())
    with pytest.raises(ChainedAuthenticationError, match="EnvironmentCredential authentication unavailable"):
        colour.get_token(chain(colour, within, Ours("never")), SCOPE)


def test_our_chain_is_a_member_of_theirs() -> None:
    ours = chain("blocking", Ours(unavailable()), Ours("ours"))
    one = azure.identity.ChainedTokenCredential(azure.identity.EnvironmentCredential(), ours)
    with one:
        assert one.get_token(SCOPE).token == "ours"

    async def main() -> str:
        awaited = chain("async", AsyncOurs(unavailable()), AsyncOurs("ours"))
        async with azure.identity.aio.ChainedTokenCredential(awaited) as one:
            return str((await one.get_token(SCOPE)).token)

    assert asyncio.run(main()) == "ours"


@pytest.mark.parametrize("kind", [ChainedTokenCredential, DefaultAzureCredential])
def test_chains_have_the_protocols_of_azure_core(kind: Any) -> None:
    assert isinstance(kind, azure.core.credentials.TokenCredential)
    assert isinstance(kind, azure.core.credentials.SupportsTokenInfo)


@pytest.mark.parametrize("kind", [AsyncChainedTokenCredential, AsyncDefaultAzureCredential])
def test_awaitable_chains_have_the_protocols_of_azure_core(kind: Any) -> None:
    assert isinstance(kind, azure.core.credentials_async.AsyncTokenCredential)
    assert isinstance(kind, azure.core.credentials_async.AsyncSupportsTokenInfo)


def test_the_peers_say_the_same_of_a_chain_of_nothing_and_of_a_failed_one(colour: Colour) -> None:
    library: Any = azure.identity if colour.name == "blocking" else azure.identity.aio
    with pytest.raises(ValueError, match="at least one credential is required"):
        library.ChainedTokenCredential()
    texts = []
    for make in (library.ChainedTokenCredential, lambda *members: chain(colour, *members)):
        with pytest.raises(ClientAuthenticationError) as caught:
            colour.get_token(make(library.EnvironmentCredential()), SCOPE)
        texts.append(str(caught.value).removeprefix("Async"))
    assert texts[0].startswith(texts[1].split("\n")[0])
    assert "\n".join(texts[1].split("\n")[1:3])[:60] in texts[0]


def test_azure_identity_is_not_imported_and_not_needed() -> None:
    program = """
import sys
from credentials._chained import ChainedTokenCredential
from credentials import CredentialUnavailableError, ManagedIdentityCredential
class Missing:
    def get_token(self, *scopes, **options):
        raise CredentialUnavailableError("not here")
try:
    ChainedTokenCredential(Missing()).get_token("scope")
except CredentialUnavailableError as error:
    print(type(error).__name__, "azure.identity" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("ChainUnavailableError False\n", 0), done.stderr


def test_a_caller_may_catch_either_librarys_base(colour: Colour) -> None:
    for outcome in (unavailable(), AuthenticationError("no"), ValueError("odd")):
        with pytest.raises(ClientAuthenticationError):
            colour.get_token(chain(colour, Ours(outcome)), SCOPE)
