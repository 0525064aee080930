"""The one line about the settings that an application writes into the log when it starts."""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from obo_middleware import ClientAssertion, ClientCertificate, OnBehalfOf
from obo_middleware._started import configuration_of
from obo_middleware.redis import RedisTokenStore
from obo_middleware.testing import LocalEntra
from tests.core.kit import CLIENT, SECRET, TENANT, Run, api, bearer, settings, settings_for
from tests.credentials.helpers import certificate_pem, key_pem

PASSWORD = "p4ssw0rd"
KEY = base64.b64encode(b"c4n4ry" + bytes(26)).decode()


def lines_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if getattr(record, "event", "") == "obo.started"]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_it_is_said_once_at_the_start_of_a_server(
    entra: LocalEntra, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with OnBehalfOf(settings_for(entra)) as obo:
        assert lines_of(caplog) == []
        for _ in range(2):
            run(obo.runtime.warm_up_flow())
        run(obo.runtime.admit_flow(bearer(entra.sign_in("alice")), "/me"))
    (line,) = lines_of(caplog)
    assert (line.name, line.levelname) == ("obo_middleware", "INFO")
    assert "started" in line.getMessage()


def test_without_a_lifespan_it_is_said_with_the_first_request(
    entra: LocalEntra, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with OnBehalfOf(settings_for(entra)) as obo:
        for user in ("alice", "bob"):
            run(obo.runtime.admit_flow(bearer(entra.sign_in(user)), "/me"))
    assert len(lines_of(caplog)) == 1


def test_a_worker_says_it_before_its_first_call_as_the_application(caplog: pytest.LogCaptureFixture) -> None:
    with OnBehalfOf(settings(downstream_apis={"graph": api("https://graph.example")})) as obo:
        for _ in range(2):
            obo.blocking_app_client("graph").close()
    assert len(lines_of(caplog)) == 1


def test_message_and_field_say_the_same(caplog: pytest.LogCaptureFixture) -> None:
    apis = {"graph": api("https://graph.example/v1", scopes=["User.Read", "Mail.Read"])}
    with OnBehalfOf(settings(downstream_apis=apis, audiences=["api://a"])) as obo:
        obo.runtime.start()
    (line,) = lines_of(caplog)
    facts: dict[str, Any] = vars(line)["configuration"]
    versions = facts.pop("versions")
    assert versions["httpx"] == httpx.__version__
    assert list(versions) == ["obo-middleware", "httpx", "PyJWT", "cryptography"]
    assert facts == {
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_credential": "secret",
        "authority": "https://login.microsoftonline.com",
        "audiences": ["api://a"],
        "downstream_apis": {"graph": ["User.Read", "Mail.Read"]},
        "cache_partition": "session",
        "cache_size": 100_000,
        "token_store": False,
        "enable_cae": True,
        "telemetry": False,
    }
    assert "client_credential=secret, authority=https://login.microsoftonline.com" in line.getMessage()
    assert "downstream_apis=graph User.Read Mail.Read, " in line.getMessage()


@pytest.mark.attack(184)
def test_no_secret_is_in_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@proxy.example")
    store = RedisTokenStore(f"redis://:{PASSWORD}@127.0.0.1:1/0", keys=[KEY])
    file = tmp_path / PASSWORD
    for credential in (SECRET, ClientAssertion(lambda: PASSWORD), ClientAssertion.from_file(file)):
        with OnBehalfOf(settings(client_credential=credential, token_store=store)) as obo:
            obo.runtime.start()
    lines = lines_of(caplog)
    assert [vars(line)["configuration"]["token_store"] for line in lines] == [True] * 3
    text = caplog.text + repr([vars(line) for line in lines])
    assert PASSWORD not in text
    assert SECRET not in text
    assert KEY not in text


def test_of_the_credential_its_kind_is_said() -> None:
    kinds = {
        "secret": SECRET,
        "certificate": ClientCertificate(data=certificate_pem() + key_pem()),
        "function": ClientAssertion(lambda: "a"),
        "token file": ClientAssertion.from_file(os.devnull),
        "managed identity": ClientAssertion.from_managed_identity(),
    }
    assert {configuration_of(settings(client_credential=value))["client_credential"] for value in kinds.values()} == {
        *kinds
    }
