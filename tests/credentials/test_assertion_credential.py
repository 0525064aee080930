"""ClientAssertionCredential in both colours against the local provider."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from credentials import (
    AuthenticationError,
    AzureAuthorityHosts,
    ClientAuthenticationError,
    ClientConfigurationError,
    CredentialUnavailableError,
)
from obo_middleware.testing import FederatedCredential, LocalEntra, foreign_key
from tests.credentials.helpers import GRAPH, Colour, claims_of, local_options
from tests.credentials.own_credentials import kind, sent
from tests.credentials.secret_credentials import SCOPE

ISSUER, SUBJECT = "https://cluster.example", "system:serviceaccount:a:b"


class Issuer:
    """Make assertions that the provider trusts, plain or awaitable, and count them."""

    def __init__(self, entra: LocalEntra) -> None:
        self._entra, self._key = entra, foreign_key()
        self.changes: dict[str, Any] = {}
        self.threads: list[threading.Thread] = []
        entra.update_app(entra.api, federated=(FederatedCredential(ISSUER, SUBJECT, {self._key.kid: self._key.jwk}),))

    def plain(self) -> str:
        self.threads.append(threading.current_thread())
        usual = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange"}
        return self._key.sign(usual | {"exp": int(self._entra.clock()) + 600} | self.changes)

    async def awaitable(self) -> str:
        await asyncio.sleep(0)
        return self.plain()


@pytest.fixture
def issuer(entra: LocalEntra) -> Issuer:
    return Issuer(entra)


def made(entra: LocalEntra, colour: Colour, *func: Any, **options: Any) -> Any:
    arguments = local_options(entra) | options
    return kind(colour, "ClientAssertionCredential")(entra.tenant_id, entra.api.client_id, *func, **arguments)


def construct(colour: Colour, *func: Any, **options: Any) -> Any:
    return kind(colour, "ClientAssertionCredential")("tenant", "client", *func, **options)


def proof() -> str:
    return "proof"


# Assertions


@pytest.mark.parametrize("name", ["plain", "awaitable"])
def test_an_assertion_proves_the_application(entra: LocalEntra, colour: Colour, issuer: Issuer, name: str) -> None:
    credential = made(entra, colour, getattr(issuer, name))
    claims = claims_of(colour.get_token(credential, SCOPE).token)
    assert (claims["aud"], claims["appid"], claims["appidacr"]) == (GRAPH, entra.api.client_id, "2")
    form = entra.token_requests[-1].form
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form


@pytest.mark.parametrize("name", ["func", "get_assertion"])
def test_the_callback_has_two_names(entra: LocalEntra, colour: Colour, issuer: Issuer, name: str) -> None:
    options: dict[str, Any] = {name: issuer.plain}
    assert colour.get_token(made(entra, colour, **options), SCOPE).token


def test_the_callback_is_called_once_for_each_token_request(entra: LocalEntra, colour: Colour, issuer: Issuer) -> None:
    credential = made(entra, colour, issuer.plain)
    for _ in range(3):
        colour.get_token(credential, SCOPE)
    assert len(issuer.threads) == 1
    colour.get_token(credential, SCOPE, claims="{}")
    assert len(issuer.threads) == 2


def test_a_blocking_callback_does_not_block_the_loop(entra: LocalEntra, issuer: Issuer) -> None:
    Colour("async").get_token(made(entra, Colour("async"), issuer.plain), SCOPE)
    assert issuer.threads != [threading.current_thread()]


def test_a_forged_assertion_is_our_configuration(entra: LocalEntra, colour: Colour, issuer: Issuer) -> None:
    def forged() -> str:
        text = issuer.plain()
        return text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1]

    with pytest.raises(ClientConfigurationError, match="AADSTS700027"):
        colour.get_token(made(entra, colour, forged), SCOPE)


def test_an_assertion_by_somebody_who_is_not_trusted_is_refused(
    entra: LocalEntra, colour: Colour, issuer: Issuer
) -> None:
    issuer.changes = {"sub": "system:serviceaccount:a:c"}
    with pytest.raises(ClientConfigurationError, match="AADSTS700213"):
        colour.get_token(made(entra, colour, issuer.plain), SCOPE)


# Callbacks that fail


def broken() -> str:
    raise OSError("hidden")


def unavailable() -> str:
    raise CredentialUnavailableError("set the variable X")


async def broken_async() -> str:
    raise OSError("hidden")


@pytest.mark.parametrize("callback", [broken, broken_async])
def test_a_callback_that_fails_is_named_by_its_kind(
    entra: LocalEntra, colour: Colour, callback: Callable[[], str | Awaitable[str]]
) -> None:
    with pytest.raises(AuthenticationError, match=r"^the client assertion callback raised OSError$"):
        colour.get_token(made(entra, colour, callback), SCOPE)
    assert entra.requests_to("token") == 0


def test_a_callback_that_is_unavailable_makes_the_credential_so(entra: LocalEntra, colour: Colour) -> None:
    with pytest.raises(CredentialUnavailableError, match="set the variable X"):
        colour.get_token(made(entra, colour, unavailable), SCOPE)


@pytest.mark.parametrize("value", [None, "", b"bytes", 7])
def test_a_callback_must_return_a_text(entra: LocalEntra, colour: Colour, value: Any) -> None:
    with pytest.raises(AuthenticationError, match="must return the assertion"):
        colour.get_token(made(entra, colour, lambda: value), SCOPE)
    assert entra.requests_to("token") == 0


# Tenants, claims, authorities


def test_a_token_of_another_tenant(entra: LocalEntra, colour: Colour, issuer: Issuer) -> None:
    other = entra.add_tenant()
    credential = made(entra, colour, issuer.plain, additionally_allowed_tenants=["*"])
    assert claims_of(colour.get_token(credential, SCOPE, tenant_id=other.tenant_id).token)["tid"] == other.tenant_id
    info = colour.get_token_info(credential, SCOPE, options={"tenant_id": other.tenant_id})
    assert claims_of(info.token)["tid"] == other.tenant_id
    assert claims_of(colour.get_token(credential, SCOPE).token)["tid"] == entra.tenant_id
    assert entra.requests_to("token") == 2
    with pytest.raises(ValueError, match="tenant_id"):
        colour.get_token(credential, SCOPE, tenant_id="a/../b")


def test_a_tenant_that_is_not_allowed_is_refused_before_the_callback_is_called(
    entra: LocalEntra, colour: Colour, issuer: Issuer
) -> None:
    with pytest.raises(ClientAuthenticationError, match="additionally_allowed_tenants"):
        colour.get_token(made(entra, colour, issuer.plain), SCOPE, tenant_id="third.example")
    assert issuer.threads == []


def test_continuous_access_evaluation_and_claims_are_asked_for(
    entra: LocalEntra, colour: Colour, issuer: Issuer
) -> None:
    credential = made(entra, colour, issuer.plain)
    info = colour.get_token_info(credential, SCOPE, options={"enable_cae": True})
    assert claims_of(info.token)["xms_cc"] == ["cp1"]
    colour.get_token(credential, SCOPE, claims='{"access_token": {"nbf": {"value": "1"}}}')
    assert entra.token_requests[-1].form["claims"] == '{"access_token": {"nbf": {"value": "1"}}}'


@pytest.mark.parametrize("name", ["authority", "authority_host"])
@pytest.mark.parametrize("host", [AzureAuthorityHosts.AZURE_CHINA, AzureAuthorityHosts.AZURE_GOVERNMENT])
def test_each_clouds_authority_is_asked_under_either_name(colour: Colour, name: str, host: str) -> None:
    options: dict[str, Any] = {name: host}
    request = sent(construct(colour, proof, **options), "proof")
    assert request.url == f"https://{host}/tenant/oauth2/v2.0/token"


# Construction


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "function without parameters"),
        ({"func": "proof"}, "function without parameters"),
        ({"func": proof, "get_assertion": broken}, "func is given twice"),
        ({"func": proof, "authority": "a.example", "authority_host": "b.example"}, "authority is given twice"),
        ({"func": proof, "authority": "http://login.example"}, "https"),
        ({"func": proof, "cache_persistence_options": object()}, "cache_persistence_options is not supported"),
        ({"func": proof, "additionally_allowed_tenants": "*"}, "must be a list of strings"),
        ({"func": proof, "additionally_allowed_tenants": 5}, "must be a list"),
    ],
)
def test_an_argument_that_cannot_be_had_is_named(colour: Colour, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        construct(colour, **options)


@pytest.mark.parametrize("ids", [("", "client"), ("a b", "client"), ("tenant", ""), ("tenant", None)])
def test_tenant_and_client_are_checked(colour: Colour, ids: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="tenant_id" if ids[1] else "client_id"):
        kind(colour, "ClientAssertionCredential")(*ids, proof)


def test_an_unknown_option_is_a_type_error_that_names_it(colour: Colour) -> None:
    with pytest.raises(TypeError, match=r"ClientAssertionCredential does not take.*tenants"):
        construct(colour, proof, tenants=["x"])


def test_the_same_callback_may_be_given_under_both_names(colour: Colour) -> None:
    assert construct(colour, proof, get_assertion=proof)
