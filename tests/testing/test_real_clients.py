"""Clients we did not write, unmodified, against LocalEntra: what makes it an honest double."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import azure.identity
import azure.identity.aio
import httpx
import msal
import pytest
from azure.core.credentials import TokenCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from obo_middleware.testing import LocalEntra, LocalGraph
from obo_middleware.testing._jws import decode_base64url
from tests.testing.kit import GRAPH, bearer, claims_of, http_client

DEFAULT = f"{GRAPH}/.default"
USER_READ = f"{GRAPH}/User.Read"


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as running:
        # The variable comes before what a session of requests was told, wherever it is set.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", running.ca_pem_path)
        yield running


def names_at_graph(entra: LocalEntra, path: str, *tokens: str) -> list[Any]:
    """Show tokens to LocalGraph; return the first name of whom each is for."""
    with LocalGraph(entra) as graph, http_client(entra.ssl_context()) as http:
        answers = [http.get(f"{graph.base_url}/{path}", headers=bearer(token)) for token in tokens]
        return [answer.raise_for_status().json().get("givenName") for answer in answers]


# MSAL for Python


def msal_app(entra: LocalEntra, credential: Any, **options: Any) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        entra.api.client_id,
        client_credential=credential,
        authority=f"{entra.authority}/{entra.tenant_id}",
        **({"instance_discovery": False} | options),
    )


def msal_certificate(entra: LocalEntra, *, chain: bool) -> dict[str, str]:
    pem = entra.issue_certificate(entra.api)
    thumbprint = decode_base64url(entra.api.certificates[-1].sha1).hex()
    credential = {"private_key": pem.decode(), "thumbprint": thumbprint}
    return credential | ({"public_certificate": pem.decode()[pem.index(b"-----BEGIN CERT") :]} if chain else {})


def msal_token(answer: dict[str, Any]) -> str:
    assert "error" not in answer, answer
    return str(answer["access_token"])


def test_msal_gets_a_token_for_a_secret(entra: LocalEntra) -> None:
    app = msal_app(entra, entra.api.secret)
    token = msal_token(app.acquire_token_for_client([DEFAULT]))
    assert claims_of(token)["roles"] == ["User.Read.All"]
    assert names_at_graph(entra, "users", token) == [None]
    assert msal_token(app.acquire_token_for_client([DEFAULT])) == token


@pytest.mark.parametrize("chain", [True, False])
def test_msal_gets_tokens_for_a_certificate(entra: LocalEntra, chain: bool) -> None:
    app = msal_app(entra, msal_certificate(entra, chain=chain))
    msal_token(app.acquire_token_for_client([DEFAULT]))
    answer = app.acquire_token_on_behalf_of(entra.sign_in("alice"), [USER_READ])
    assert claims_of(msal_token(answer))["appidacr"] == "2"


def test_msal_exchanges_tokens_for_their_users(entra: LocalEntra) -> None:
    app = msal_app(entra, entra.api.secret)
    answers = [app.acquire_token_on_behalf_of(entra.sign_in(user), [USER_READ]) for user in ("alice", "bob")]
    assert names_at_graph(entra, "me", *map(msal_token, answers)) == ["Alice", "Bob"]
    assert answers[0]["id_token_claims"]["preferred_username"] == "alice@contoso.example"
    account = next(one for one in app.get_accounts() if one["username"] == "alice@contoso.example")
    refreshed = app.acquire_token_silent([f"{GRAPH}/Mail.Read"], account)
    assert claims_of(msal_token(refreshed))["oid"] == entra.alice.object_id
    assert entra.token_requests[-1].grant_type == "refresh_token"


def test_msal_declares_capabilities(entra: LocalEntra) -> None:
    app = msal_app(entra, entra.api.secret, client_capabilities=["CP1"])
    answer = app.acquire_token_on_behalf_of(entra.sign_in("alice"), [USER_READ])
    assert claims_of(msal_token(answer))["xms_cc"] == ["cp1"]


def test_msal_reads_refusals(entra: LocalEntra) -> None:
    app = msal_app(entra, entra.api.secret)
    entra.require_mfa("alice")
    answer = app.acquire_token_on_behalf_of(entra.sign_in("alice"), [USER_READ])
    assert (answer["error"], answer["error_codes"], answer["suberror"]) == (
        "interaction_required",
        [50076],
        "basic_action",
    )
    assert "capolids" in json.loads(answer["claims"])["access_token"]


def test_msal_discovers_the_instance(entra: LocalEntra) -> None:
    discovery = f"{entra.authority}/common/discovery/instance"
    app = msal_app(entra, entra.api.secret, instance_discovery=discovery)
    msal_token(app.acquire_token_for_client([DEFAULT]))
    assert entra.requests_to("instance") == 1


def test_msal_signs_in_by_code(entra: LocalEntra) -> None:
    app = msal.PublicClientApplication(
        entra.client.client_id,
        authority=f"{entra.authority}/{entra.tenant_id}",
        instance_discovery=False,
    )
    scope = f"api://{entra.api.client_id}/access_as_user"
    flow = app.initiate_auth_code_flow([scope], redirect_uri="http://localhost:8000", response_mode="form_post")
    with http_client(entra.ssl_context()) as http:
        assert "Alice Adams" in http.get(flow["auth_uri"]).text
        form = dict(httpx.URL(flow["auth_uri"]).params) | {"user": entra.alice.object_id}
        page = http.post(f"{entra.authority}/{entra.tenant_id}/login", data=form).text
    posted = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    tokens = app.acquire_token_by_auth_code_flow(flow, posted)
    assert claims_of(msal_token(tokens))["scp"] == "access_as_user"
    assert tokens["id_token_claims"]["oid"] == entra.alice.object_id


# azure-identity, blocking and async


def options(entra: LocalEntra) -> dict[str, Any]:
    return {
        "authority": entra.authority,
        "connection_verify": entra.ca_pem_path,
        "disable_instance_discovery": True,
    }


def certificate_options(entra: LocalEntra) -> dict[str, Any]:
    return {"client_certificate": entra.issue_certificate(entra.api)}


def assertion_options(entra: LocalEntra) -> dict[str, Any]:
    """Return the options of a client that signs its own assertions."""
    key = entra.issue_certificate(entra.api)
    return {"client_assertion_func": lambda: signed_assertion(entra, key)}


def signed_assertion(entra: LocalEntra, pem: bytes) -> str:
    import jwt

    certificate = x509.load_pem_x509_certificate(pem)
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).decode()
    now, client_id = int(entra.clock()), entra.api.client_id
    claims = {"aud": entra.issuer, "iss": client_id, "sub": client_id, "jti": "x", "nbf": now, "exp": now + 60}
    return jwt.encode(claims, pem, "PS256", {"x5t#S256": thumbprint})


def secret_options(entra: LocalEntra) -> dict[str, Any]:
    return {"client_secret": entra.api.secret}


Proof = Callable[[LocalEntra], dict[str, Any]]
PROOFS: dict[str, Proof] = {
    "secret": secret_options,
    "certificate": certificate_options,
    "assertion": assertion_options,
}


def blocking_token(credential: Any, *scopes: str, **asked: Any) -> str:
    with credential:
        assert isinstance(credential, TokenCredential)
        return str(credential.get_token(*scopes, **asked).token)


async def awaited_token(credential: Any, *scopes: str, **asked: Any) -> str:
    async with credential:
        assert isinstance(credential, AsyncTokenCredential)
        return str((await credential.get_token(*scopes, **asked)).token)


def get_token(module: Any, make: Callable[[Any], Any], *scopes: str, **asked: Any) -> str:
    """Make a credential of a module's class and get a token from it, in the module's colour."""
    if module is azure.identity:
        return blocking_token(make(module), *scopes, **asked)

    async def work() -> str:
        return await awaited_token(make(module), *scopes, **asked)

    coroutine: Coroutine[Any, Any, str] = work()
    return asyncio.run(coroutine)


@pytest.fixture(params=[azure.identity, azure.identity.aio], ids=["blocking", "async"])
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_azure_identity_gets_a_token_for_a_secret(entra: LocalEntra, module: Any) -> None:
    def make(module: Any) -> Any:
        names = (entra.tenant_id, entra.api.client_id, entra.api.secret)
        return module.ClientSecretCredential(*names, **options(entra))

    token = get_token(module, make, DEFAULT)
    assert claims_of(token)["roles"] == ["User.Read.All"]
    assert names_at_graph(entra, "users", token) == [None]


@pytest.mark.parametrize("chain", [True, False])
def test_azure_identity_gets_a_token_for_a_certificate(entra: LocalEntra, module: Any, chain: bool) -> None:
    pem = entra.issue_certificate(entra.api)

    def make(module: Any) -> Any:
        names = (entra.tenant_id, entra.api.client_id)
        given = {"certificate_data": pem, "send_certificate_chain": chain}
        return module.CertificateCredential(*names, **given, **options(entra))

    assert claims_of(get_token(module, make, DEFAULT))["appidacr"] == "2"


def on_behalf_of(entra: LocalEntra, proof: Proof, user: str) -> Callable[[Any], Any]:
    given = proof(entra)

    def make(module: Any) -> Any:
        return module.OnBehalfOfCredential(
            entra.tenant_id,
            entra.api.client_id,
            user_assertion=entra.sign_in(user),
            **given,
            **options(entra),
        )

    return make


@pytest.mark.parametrize("proof", PROOFS.values(), ids=PROOFS)
def test_azure_identity_exchanges_tokens_for_their_users(entra: LocalEntra, module: Any, proof: Proof) -> None:
    tokens = [get_token(module, on_behalf_of(entra, proof, user), USER_READ) for user in ("alice", "bob")]
    assert names_at_graph(entra, "me", *tokens) == ["Alice", "Bob"]
    assert entra.exchanges == 2


def test_azure_identity_declares_capabilities(entra: LocalEntra, module: Any) -> None:
    token = get_token(module, on_behalf_of(entra, secret_options, "alice"), USER_READ, enable_cae=True)
    assert claims_of(token)["xms_cc"] == ["cp1"]


def test_azure_identity_reads_refusals(entra: LocalEntra, module: Any) -> None:
    entra.require_consent("alice", entra.api, ["User.Read"])
    with pytest.raises(ClientAuthenticationError, match="AADSTS65001"):
        get_token(module, on_behalf_of(entra, secret_options, "alice"), USER_READ)


def test_azure_identity_reads_a_wrong_secret(entra: LocalEntra, module: Any) -> None:
    def make(module: Any) -> Any:
        return module.ClientSecretCredential(entra.tenant_id, entra.api.client_id, "wrong", **options(entra))

    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        get_token(module, make, DEFAULT)
