"""Managed identities whole: each source found in the environment, connections, pickling, and as a client assertion."""

from __future__ import annotations

import pickle
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from credentials import ClientAssertion
from credentials import _token_endpoint as token_endpoint
from credentials._client_authentication import TokenRequestFacts
from credentials._drivers import BlockingDriver
from credentials._managed_identity import ManagedIdentityCredential, ManagedIdentityFamily
from credentials._pool import bare_pool
from tests.credentials.helpers import NOW, Clock, Colour
from tests.credentials.identities import (
    CLAIMS,
    HEADER_SECRET,
    RESOURCE,
    SCOPE,
    credential_of,
    forget_azure,
    give_tokens,
    parameters,
    paths,
    set_variables,
    token_body,
)
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0,) * 3)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(give_tokens) as server:
        yield server


@pytest.fixture
def app_service(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    set_variables(monkeypatch, IDENTITY_ENDPOINT=f"{server.url}/token", IDENTITY_HEADER=HEADER_SECRET)
    return server


# Each source, found in the environment


ENVIRONMENTS: dict[str, Callable[[str], dict[str, str]]] = {
    "App Service": lambda url: {"IDENTITY_ENDPOINT": f"{url}/token", "IDENTITY_HEADER": HEADER_SECRET},
    "Azure ML": lambda url: {"MSI_ENDPOINT": f"{url}/token", "MSI_SECRET": HEADER_SECRET},
    "Cloud Shell": lambda url: {"MSI_ENDPOINT": f"{url}/token"},
    "IMDS": lambda url: {"AZURE_POD_IDENTITY_AUTHORITY_HOST": url},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_identity_of_the_environment_gives_a_token(
    name: str, server: Loopback, colour: Colour, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    set_variables(monkeypatch, **ENVIRONMENTS[name](server.url))
    credential = credential_of(colour, clock=clock)
    assert credential._source.name == name
    info = colour.get_token_info(credential, SCOPE)
    assert (info.token, info.expires_on, info.refresh_on) == ("token-1", int(NOW) + 86_400, int(NOW) + 43_200)
    assert colour.get_token(credential, SCOPE) == ("token-1", int(NOW) + 86_400)
    assert len(server.asked) == 1


def test_a_user_assigned_identity_is_asked_for_by_its_identifier(app_service: Loopback, colour: Colour) -> None:
    colour.get_token(credential_of(colour, identity_config={"resource_id": "/subscriptions/1"}), SCOPE)
    (asked,) = app_service.asked
    assert parameters(asked.path) == {
        "api-version": "2019-08-01",
        "resource": RESOURCE,
        "mi_res_id": "/subscriptions/1",
    }
    assert asked.headers["x-identity-header"] == HEADER_SECRET


def test_the_token_exchange_of_aks_asks_the_authority(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "token").write_text("assertion-1")
    with loopback(lambda exchange: exchange.reply(200, _entra_answer(exchange))) as server:
        variables = {"AZURE_AUTHORITY_HOST": server.url, "AZURE_TENANT_ID": "contoso"}
        set_variables(monkeypatch, **variables, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "token"))
        credential = credential_of(colour, client_id="pod", allow_local_authority=True, clock=clock)
        wishes: list[dict[str, Any]] = [{}, {}, {"claims": CLAIMS}, {"enable_cae": True}, {"enable_cae": True}]
        tokens = [colour.get_token(credential, SCOPE, **wish).token for wish in wishes]
    assert tokens == ["entra-1", "entra-1", "entra-2", "entra-3", "entra-3"]
    assert paths(server) == ["/contoso/oauth2/v2.0/token"] * 3
    forms = [dict(urllib.parse.parse_qsl(asked.body.decode())) for asked in server.asked]
    assert {(form["client_id"], form["scope"], form["client_assertion"]) for form in forms} == {
        ("pod", SCOPE, "assertion-1")
    }
    assert [form.get("claims", "") for form in forms][:2] == ["", CLAIMS]
    assert "CP1" in forms[2]["claims"]


def _entra_answer(exchange: Exchange) -> bytes:
    return token_body(f"entra-{len(exchange.server.asked)}")


# Connections


@pytest.mark.peer_defect(26)
def test_no_proxy_is_used(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback(give_tokens) as server, closed_port() as proxy:
        # An address of this machine too, but none of those that never have a proxy anyway.
        endpoint = server.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104  # nothing is bound to it
        set_variables(monkeypatch, IDENTITY_ENDPOINT=endpoint, IDENTITY_HEADER=HEADER_SECRET)
        set_variables(monkeypatch, HTTP_PROXY=proxy, http_proxy=proxy, HTTPS_PROXY=proxy, ALL_PROXY=proxy)
        assert colour.get_token(credential_of(colour), SCOPE).token == "token-1"


def test_a_credential_closes_its_sources_connections(app_service: Loopback) -> None:
    credential = ManagedIdentityCredential()
    assert credential._pools() == (credential._source.pool,)
    credential.close()


def test_a_credential_closes_the_connections_of_the_token_exchange(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exchange = {"AZURE_AUTHORITY_HOST": "login.microsoftonline.com", "AZURE_TENANT_ID": "contoso"}
    set_variables(monkeypatch, **exchange, AZURE_FEDERATED_TOKEN_FILE=str(tmp_path))
    family: Any = ManagedIdentityFamily(client_id="pod")
    assert family._pools() == (family._pool, *family._source.family._pools())


def test_nothing_is_asked_at_construction(app_service: Loopback, colour: Colour) -> None:
    credential_of(colour)
    assert not app_service.asked


# Elsewhere


def test_a_credential_is_pickled_as_its_arguments(app_service: Loopback, colour: Colour) -> None:
    credential = credential_of(colour, object_id="o-1", clock=time.time)
    colour.get_token(credential, SCOPE)
    data = pickle.dumps(credential)
    assert b"token-1" not in data
    assert HEADER_SECRET.encode() not in data
    again = pickle.loads(data)  # noqa: S301  # our own
    assert colour.get_token(again, SCOPE).token == "token-2"
    assert parameters(app_service.asked[1].path)["object_id"] == "o-1"


def test_a_managed_identity_may_stand_in_for_a_secret(app_service: Loopback) -> None:
    assertion = ClientAssertion.from_managed_identity(object_id="o-1")
    facts = TokenRequestFacts(client_id="c", tenant_id="t", token_endpoint="https://login.example/", now=NOW)
    fields = BlockingDriver(bare_pool()).run(assertion.authenticate_flow(facts))
    for pool in assertion.pools:
        pool.close()
    assert fields["client_assertion"] == "token-1"
    found = parameters(app_service.asked[0].path)
    assert (found["resource"], found["object_id"]) == ("api://AzureADTokenExchange", "o-1")
