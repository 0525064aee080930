"""What the doctor finds: each mistake alone, in settings that are right but for it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from obo_middleware import ClientCertificate, DownstreamApi
from obo_middleware.redis import RedisTokenStore, SecretKey
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.command.kit import HERE, NOW, Diagnosed, Make, Run, certificate
from tests.shared.servers import REDIS, Server, free_port


def test_right_settings_have_nothing_wrong(settings: Make, diagnosed: Diagnosed) -> None:
    assert diagnosed(settings()) == {}


# What the environment says


def test_a_missing_variable_is_named(run: Run) -> None:
    said = run("doctor")
    assert (said.code, said.err) == (1, "")
    assert said.out.splitlines() == [
        "failure  settings tenant_id is missing",
        "         -> set the environment variable AZURE_TENANT_ID, or pass tenant_id=...",
    ]


@pytest.mark.usefixtures("variables")
def test_the_environment_is_looked_at_without_an_app(run: Run, entra: LocalEntra) -> None:
    said = run("doctor", "--offline")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"ok       settings tenant {entra.tenant_id}, client {entra.api.client_id}",
        f"ok       audiences {entra.api.client_id}, api://{entra.api.client_id}",
        "warning  authority 127.0.0.1 is this machine: for development only",
        "ok       client_credential a secret",
    ]


def test_a_certificate_without_its_key_is_a_wrong_setting(
    run: Run, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "api.pem"
    path.write_bytes(certificate(HERE, days=90).split(b"-----BEGIN CERTIFICATE", 1)[1])
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(path))
    said = run("doctor")
    assert said.code == 1
    assert said.out.startswith("failure  settings client_credential cannot be used")
    assert said.out.rstrip().endswith("correct AZURE_CLIENT_CERTIFICATE_PATH")


# What the provider says of the application


def test_a_wrong_tenant_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    found = diagnosed(settings(tenant_id="11111111-2222-4333-8444-555555555555"))
    status, message, fix = found["sign-in of the app"]
    assert (status, "AADSTS90002" in message) == ("failure", True)
    assert fix.startswith("the tenant is unknown: set tenant_id to the Directory (tenant) ID")
    assert found["provider, tokens 2.0"][0] == "failure"


def test_an_unknown_client_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    found = diagnosed(settings(client_id="11111111-2222-4333-8444-555555555555"))
    status, message, fix = found["sign-in of the app"]
    assert (status, "AADSTS700016" in message) == ("failure", True)
    assert fix.startswith("the application is not in the tenant: set client_id to the Application (client) ID")


def test_a_wrong_secret_is_found_and_not_shown(settings: Make, diagnosed: Diagnosed) -> None:
    ((name, (status, message, fix)),) = diagnosed(settings(client_credential="wrong~secret~value")).items()
    assert (name, status, "AADSTS7000215" in message) == ("sign-in of the app", "failure", True)
    assert fix.startswith("the secret is wrong: set client_credential to the Value of a secret, not to its Secret ID")
    assert fix.endswith("(docs/troubleshooting.md#aadsts7000215)")
    assert "wrong~secret" not in message


def test_a_secret_that_has_expired_is_found(settings: Make, diagnosed: Diagnosed, entra: LocalEntra) -> None:
    entra.add_secret(entra.api, "old~secret", expires_on=NOW - 1)
    ((_, (status, message, fix)),) = diagnosed(settings(client_credential="old~secret")).items()
    assert (status, "AADSTS7000222" in message) == ("failure", True)
    assert fix.startswith("the secret has expired: make a new one in 'Certificates & secrets'")


def test_a_certificate_that_is_not_registered_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    own = ClientCertificate(data=certificate(HERE, days=90))
    ((_, (status, message, fix)),) = diagnosed(settings(client_credential=own)).items()
    assert (status, "AADSTS700027" in message) == ("failure", True)
    assert fix.startswith("the certificate is not the application's: upload it in")


def test_a_refusal_of_what_was_asked_for_is_none_of_the_credential(
    settings: Make, diagnosed: Diagnosed, graph: LocalGraph
) -> None:
    unknown = DownstreamApi(graph.base_url, scopes=["api://nobody/read"])
    ((_, (status, message, _)),) = diagnosed(settings(downstream_apis={"nobody": unknown})).items()
    assert (status, message.startswith("accepted, but not for api://nobody/.default")) == ("warning", True)


def test_an_error_that_nobody_foresaw_is_shown_with_its_number(
    settings: Make, diagnosed: Diagnosed, entra: LocalEntra
) -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS7000229: no principal.", "error_codes": [7000229]}
    entra.answer_once(400, {"Content-Type": "application/json"}, json.dumps(body).encode())
    ((_, (status, message, fix)),) = diagnosed(settings()).items()
    assert (status, "AADSTS7000229" in message) == ("failure", True)
    assert fix == "look the AADSTS number up at https://login.microsoftonline.com/error"


def test_with_many_tenants_there_is_none_to_sign_the_app_in(settings: Make, diagnosed: Diagnosed) -> None:
    found = diagnosed(settings(tenant_id="organizations", allowed_tenants=["*"], downstream_apis={}))
    assert found["sign-in of the app"] == ("skipped", "tenant_id names no tenant to ask in", "")


def test_metadata_of_somebody_else_are_found(settings: Make, diagnosed: Diagnosed, entra: LocalEntra) -> None:
    document = {"issuer": "https://login.example/other/v2.0", "jwks_uri": f"{entra.authority}/keys"}
    body = json.dumps(document).encode()
    entra.answer_once(200, {"Content-Type": "application/json"}, body, endpoint="metadata")
    found = diagnosed(settings(token_versions=["2.0"]))
    assert found["provider, tokens 2.0"][::2] == ("failure", "correct tenant_id and authority")


# What stands in the way


def test_a_provider_that_cannot_be_reached_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    found = diagnosed(settings(authority=f"http://127.0.0.1:{free_port()}"))
    assert found["clock"] == ("skipped", "the provider did not say what time it is", "")
    for name in ("provider, tokens 1.0", "provider, tokens 2.0", "sign-in of the app"):
        status, _, fix = found[name]
        assert (status, fix.startswith("check authority, tenant_id, and the way there")) == ("failure", True)


@pytest.mark.parametrize(("apart", "status"), [(-100, "warning"), (100, "warning"), (1000, "failure")])
def test_a_clock_that_is_wrong_is_found(settings: Make, diagnosed: Diagnosed, apart: int, status: str) -> None:
    found = diagnosed(settings(clock=lambda: time.time() + apart))
    assert found["clock"][0] == status
    assert found["clock"][1].endswith("seconds from the provider's: good tokens are refused, and ended ones accepted")
    assert found["clock"][2] == "set this machine's clock, by NTP"


def test_an_api_that_cannot_be_reached_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    found = diagnosed(settings(downstream_apis={"orders": DownstreamApi(url, scopes=["User.Read"])}))
    ((name, (status, message, fix)),) = found.items()
    assert (name, status) == ("downstream_apis[orders]", "failure")
    assert message.endswith("cannot be reached: ConnectError")
    assert fix.startswith("correct base_url, or the way there")


def test_an_api_whose_certificate_is_not_trusted_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    with LocalEntra(tls=True) as stranger:
        api = DownstreamApi(stranger.authority, scopes=["https://graph.microsoft.com/User.Read"])
        ((_, (status, message, _)),) = diagnosed(settings(downstream_apis={"orders": api})).items()
    assert (status, "certificate is not trusted" in message) == ("failure", True)


# The shared cache


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with Server(REDIS, requirepass="secret") as server:
        yield server


KEY = SecretKey.generate()


def test_a_shared_cache_that_is_there_is_in_order(settings: Make, diagnosed: Diagnosed, store: Server) -> None:
    url = f"redis://:secret@127.0.0.1:{store.port}"
    assert diagnosed(settings(token_store=RedisTokenStore(url, keys=KEY))) == {}


def test_a_shared_cache_that_is_down_is_found(settings: Make, diagnosed: Diagnosed) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    found = diagnosed(settings(token_store=RedisTokenStore(url, keys=KEY)))
    assert found["token_store"][:2] == ("failure", "it cannot be reached (ConnectionError)")
    assert found["token_store"][2].startswith("start it, or correct host and port in token_store")


def test_a_wrong_password_of_the_shared_cache_is_found(settings: Make, diagnosed: Diagnosed, store: Server) -> None:
    url = f"redis://:guess@127.0.0.1:{store.port}"
    status, message, _ = diagnosed(settings(token_store=RedisTokenStore(url, keys=KEY)))["token_store"]
    assert (status, message.startswith("token_store refuses our user or password")) == ("failure", True)
    assert "guess" not in message


# How it is shown


def test_the_log_is_left_alone(settings: Make, diagnosed: Diagnosed) -> None:
    before = list(logging.getLogger("obo_middleware").handlers)
    diagnosed(settings())
    assert logging.getLogger("obo_middleware").handlers == before
