"""Client assertions from a file or a managed identity, in credentials of both colours against the local provider."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credentials import AccessTokenInfo, AuthenticationError, ClientAssertion, CredentialUnavailableError
from credentials._client_authentication import TokenRequestFacts
from credentials._flow import RunFlow
from obo_middleware.testing import FederatedCredential, LocalEntra, SigningKey, foreign_key
from tests.credentials.helpers import NOW, Colour, claims_of, local_options, play
from tests.credentials.own_credentials import kind
from tests.credentials.secret_credentials import SCOPE
from tests.credentials.servers import Exchange, Loopback, loopback
from tests.credentials.user_credentials import SCOPES, made

ISSUER, SUBJECT = "https://identity.example", "the-identity"
HEADER = "header-secret"
FACTS = TokenRequestFacts(client_id="app", tenant_id="home", token_endpoint="https://login.example/", now=NOW)


class AppService:
    """The token endpoint of an app's managed identity: a loopback server that the environment describes."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.life, self.status = 3600, 200
        self.answer: dict[str, Any] = {}
        self.server: Loopback

    def respond(self, exchange: Exchange) -> None:
        asked = urllib.parse.urlsplit(exchange.path)
        resource = dict(urllib.parse.parse_qsl(asked.query))["resource"]
        end = int(NOW) + self.life
        token = self.key.sign({"iss": ISSUER, "sub": SUBJECT, "aud": resource, "exp": end})
        usual = {"access_token": token, "expires_on": str(end), "resource": resource, "token_type": "Bearer"}
        exchange.reply(self.status, json.dumps(self.answer or usual).encode())

    @property
    def queries(self) -> list[dict[str, str]]:
        paths = [urllib.parse.urlsplit(asked.path).query for asked in self.server.asked]
        return [dict(urllib.parse.parse_qsl(query)) for query in paths]


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return foreign_key()


@pytest.fixture
def app_service(key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppService]:
    service = AppService(key)
    with loopback(service.respond) as service.server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", service.server.url + "/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield service


@pytest.fixture
def trusting(entra: LocalEntra, key: SigningKey) -> LocalEntra:
    """Give the provider, which trusts the managed identity's tokens."""
    entra.update_app(entra.api, federated=(FederatedCredential(ISSUER, SUBJECT, {key.kid: key.jwk}),))
    return entra


def identity(entra: LocalEntra, *arguments: Any, **options: Any) -> ClientAssertion:
    return ClientAssertion.from_managed_identity(*arguments, clock=entra.clock, **options)


def pool_of(assertion: ClientAssertion) -> Any:
    (pool,) = assertion.pools
    return pool


# Managed identity


@pytest.mark.parametrize("name", ["client_assertion_func", "get_assertion"])
def test_a_user_is_acted_for_by_an_application_with_a_managed_identity(
    trusting: LocalEntra, app_service: AppService, colour: Colour, name: str
) -> None:
    options: dict[str, Any] = {name: identity(trusting)}
    claims = claims_of(colour.get_token(made(trusting, colour, **options), *SCOPES).token)
    assert (claims["oid"], claims["appidacr"]) == (trusting.alice.object_id, "2")
    (asked,) = app_service.server.asked
    assert (asked.method, asked.headers["x-identity-header"]) == ("GET", HEADER)
    assert app_service.queries[0]["resource"] == "api://AzureADTokenExchange"


def test_an_application_with_a_managed_identity_has_tokens_of_its_own(
    trusting: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    make = kind(colour, "ClientAssertionCredential")
    credential = make(trusting.tenant_id, trusting.api.client_id, identity(trusting), **local_options(trusting))
    assert claims_of(colour.get_token(credential, SCOPE).token)["appid"] == trusting.api.client_id


def test_a_user_assigned_identity_and_another_clouds_audience_are_asked_for(
    entra: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    proof = identity(entra, "the-client-id", audience="api://AzureADTokenExchangeUSGov")
    with pytest.raises(AuthenticationError):  # nobody trusts it here
        colour.get_token(made(entra, colour, client_assertion_func=proof), *SCOPES)
    (query,) = app_service.queries
    assert (query["client_id"], query["resource"]) == ("the-client-id", "api://AzureADTokenExchangeUSGov")


def test_the_identitys_token_is_kept_between_exchanges(
    trusting: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    proof = identity(trusting)
    for user in ("alice", "bob"):
        assert colour.get_token(made(trusting, colour, user, client_assertion_func=proof), *SCOPES).token
    assert trusting.requests_to("token") == 2
    assert len(app_service.queries) == 1
    assert len({request.form["client_assertion"] for request in trusting.token_requests}) == 1


def test_an_identitys_token_that_is_about_to_end_is_not_used_again(
    trusting: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    app_service.life = 20
    credential = made(trusting, colour, client_assertion_func=identity(trusting))
    for _ in range(2):
        colour.get_token(credential, *SCOPES, claims="{}")
    assert len(app_service.queries) == 2


def test_the_identitys_connections_are_closed_with_the_credential(
    trusting: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    proof = identity(trusting)
    credential = made(trusting, colour, client_assertion_func=proof)
    assert credential._pools() == (credential._pool, pool_of(proof))
    colour.get_token(credential, *SCOPES)
    assert len(app_service.queries) == 1
    assert not pool_of(proof)._blocking
    assert not pool_of(proof)._async


def test_the_identity_is_asked_over_its_own_connections() -> None:
    assertion = ClientAssertion.from_managed_identity()
    played = play(assertion.authenticate_flow(FACTS), AccessTokenInfo("its-token", int(NOW) + 60))
    assert played.result["client_assertion"] == "its-token"
    (effect,) = played.effects
    assert isinstance(effect, RunFlow)
    assert effect.pool is pool_of(assertion)
    effect.flow.close()


def test_a_machine_without_a_managed_identity_says_what_to_set(
    entra: LocalEntra, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/")
    credential = made(entra, colour, client_assertion_func=identity(entra))
    with pytest.raises(CredentialUnavailableError, match="IDENTITY_HEADER"):
        colour.get_token(credential, *SCOPES)
    assert entra.requests_to("token") == 0


def test_a_refusal_by_the_identitys_endpoint_comes_through_without_its_secret(
    entra: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    app_service.status, app_service.answer = 403, {"error": "denied", "error_description": f"not with {HEADER}"}
    credential = made(entra, colour, client_assertion_func=identity(entra))
    with pytest.raises(AuthenticationError) as caught:
        colour.get_token(credential, *SCOPES)
    assert (caught.value.status_code, caught.value.error) == (403, "denied")
    assert HEADER not in f"{caught.value} {caught.value!r} {caught.value.error_description}"
    assert entra.requests_to("token") == 0


def test_a_refused_identity_is_no_fault_of_the_users(
    entra: LocalEntra, app_service: AppService, colour: Colour
) -> None:
    entra.update_app(entra.api, federated=())
    credential = made(entra, colour, client_assertion_func=identity(entra))
    with pytest.raises(AuthenticationError) as caught:
        colour.get_token(credential, *SCOPES)
    assert caught.value.error == "invalid_client"
    assert entra.token_requests[0].form["client_assertion"] not in f"{caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"client_id": "a", "object_id": "b"}, "one identifier"),
        ({"identity_config": {"name": "x"}}, "identity_config"),
        ({"client_id": 7}, "client_id"),
    ],
)
def test_an_identity_that_cannot_be_named_is_refused_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ClientAssertion.from_managed_identity(**options)


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="resouce_id"):
        ClientAssertion.from_managed_identity(resouce_id="x")  # type: ignore[call-arg]  # a slip of the pen


def test_an_assertion_shows_no_token(trusting: LocalEntra, app_service: AppService, colour: Colour) -> None:
    proof = identity(trusting)
    colour.get_token(made(trusting, colour, client_assertion_func=proof), *SCOPES)
    shown = f"{proof!r} {proof.callback!r}"
    assert trusting.token_requests[0].form["client_assertion"] not in shown
    assert HEADER not in shown


# Files and functions


def test_a_file_proves_the_application(trusting: LocalEntra, key: SigningKey, colour: Colour, tmp_path: Path) -> None:
    path = tmp_path / "token"
    claims = {"iss": ISSUER, "sub": SUBJECT, "aud": "api://AzureADTokenExchange", "exp": int(NOW) + 60}
    path.write_text(key.sign(claims) + "\n")
    credential = made(trusting, colour, client_assertion_func=ClientAssertion.from_file(path))
    assert claims_of(colour.get_token(credential, *SCOPES).token)["appidacr"] == "2"


def test_only_a_managed_identity_has_connections_of_its_own() -> None:
    assert ClientAssertion.from_file("token").pools == ClientAssertion(lambda: "proof").pools == ()


def test_what_is_a_client_assertion_already_is_taken_as_it_is() -> None:
    assertion = ClientAssertion.from_file("token")
    assert ClientAssertion.of(assertion) is assertion
    function = lambda: "proof"  # noqa: E731  # any function does
    assert ClientAssertion.of(function).callback is function


@pytest.mark.parametrize("source", [None, "proof", 7, b"proof"])
def test_what_is_neither_function_nor_client_assertion_is_refused(source: Any) -> None:
    with pytest.raises(ValueError, match="must be a function without parameters"):
        ClientAssertion.of(source)
