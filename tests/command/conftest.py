"""A provider and a Graph for each file, and the command run in this process as a shell would run it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from obo_middleware import ClientSecret, DownstreamApi, Settings
from obo_middleware.command import main
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.command.kit import Diagnosed, Make, Run, Said


@pytest.fixture(scope="module")
def entra() -> Iterator[LocalEntra]:
    with LocalEntra() as running:
        yield running


@pytest.fixture(scope="module")
def graph(entra: LocalEntra) -> Iterator[LocalGraph]:
    with LocalGraph(entra) as running:
        yield running


@pytest.fixture
def variables(entra: LocalEntra, graph: LocalGraph, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment of an app of the local provider."""
    found = graph.environment
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runs(*words: str) -> Said:
        code = main(words)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return runs


@pytest.fixture
def settings(entra: LocalEntra, graph: LocalGraph) -> Make:
    """Make settings that are right, but for what is changed."""

    def make(**changes: Any) -> Settings:
        right: dict[str, Any] = {
            "tenant_id": entra.tenant_id,
            "client_id": entra.api.client_id,
            "client_credential": ClientSecret(entra.api.secret),
            "authority": entra.authority,
            "allow_local_issuer": True,
            "downstream_apis": {"graph": DownstreamApi(graph.base_url, scopes=["User.Read"])},
        }
        return Settings(**(right | changes))

    return make


@pytest.fixture
def diagnosed(run: Run, monkeypatch: pytest.MonkeyPatch) -> Diagnosed:
    """Have the doctor look at settings, and return status, message and fix of what is not in order, by name."""

    def look(given: Settings) -> dict[str, tuple[str, str, str]]:
        monkeypatch.setattr("obo_middleware.command._doctor.settings_of", lambda _: given)
        said = run("doctor", "app:settings", "--json")
        document = json.loads(said.out)
        assert (said.code, document["ok"]) in ((0, True), (1, False))
        assert document["ok"] == all(check["status"] != "failure" for check in document["checks"])
        found = {check.pop("name"): tuple(check.values()) for check in document["checks"]}
        local = ("warning", "127.0.0.1 is this machine: for development only", "")
        return {name: check for name, check in found.items() if check[0] != "ok" and check != local}

    return look
