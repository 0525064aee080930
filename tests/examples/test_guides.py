"""The guides: all their blocks in apps that are served, with what they call played on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from example_apps.local import ROOT
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.adapters.servers import UvicornServer
from tests.core.hostile import Answer, Asked, Scripted
from tests.credentials.azure_services import ACCOUNT, STORAGE, VAULT, BlobService, Vault, served
from tests.examples.blocks import blocks
from tests.frameworks.clients_world import expose, whose

GRAPH = "https://graph.microsoft.com"
FILES = "/v1.0/me/drive/root:/a%20b.txt:/content"


def names_of(guide: str, entra: LocalEntra, **places: str) -> dict[str, Any]:
    """Run the blocks of a guide, with what its reader fills in filled in; return the names that they leave."""
    values = {
        'tenant_id="..."': f'tenant_id="{entra.tenant_id}"',
        'client_id="..."': f'client_id="{entra.api.client_id}"',
        'client_credential="..."': f'client_credential="{entra.api.secret}", authority="{entra.authority}", '
        "allow_local_issuer=True",
    }
    names: dict[str, Any] = {"__name__": guide}
    for block in blocks([ROOT / "docs" / f"{guide}.md"]):
        code = block.code
        for placeholder, value in {**values, **places}.items():
            code = code.replace(placeholder, value)
        assert '"..."' not in code
        exec(compile(code, str(block), "exec"), names)  # noqa: S102  # our own documents
    return names


@contextmanager
def asking(app: Any, entra: LocalEntra) -> Iterator[httpx.Client]:
    """Serve an app, and give a client that asks it as Alice."""
    server = UvicornServer(app)
    headers = {"Authorization": f"Bearer {entra.sign_in('alice')}"}
    url = "http://{}:{}".format(*server.address)
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=30.0, headers=headers) as client:
            yield client
    finally:
        server.stop()


class PlayedGraph:
    """What the guide asks of Graph and LocalGraph does not have, on a server that checks whose token it gets."""

    def __init__(self, entra: LocalEntra, server: Scripted) -> None:
        self.entra, self.server = entra, server
        self.stored = b""
        self.throttled = 0
        server.say("/v1.0/me", self.me)
        server.say("/v1.0/me/messages", self.messages)
        server.say("/v1.0/users", self.users)
        server.say("/v1.0/$batch", self.batch)
        server.say("/v1.0/me/sendMail", lambda asked: Answer(202, b""))
        server.say(FILES, self.file)
        server.say("/elsewhere", lambda asked: Answer(401 if "authorization" in asked.headers else 200, self.stored))

    def me(self, asked: Asked) -> Answer:
        if self.throttled:
            self.throttled -= 1
            return Answer(429, b"", [("Retry-After", "0" if self.throttled else "7200")])
        fields = parse_qs(urlsplit(asked.path).query)["$select"][0].split(",")
        profile = {"id": whose(self.entra, asked, GRAPH), "displayName": "Alice", "mail": "a@b.example"}
        return in_json({name: value for name, value in profile.items() if name in fields})

    def messages(self, asked: Asked) -> Answer:
        query = parse_qs(urlsplit(asked.path).query)
        first = int(query.get("$skip", ["0"])[0])
        page: dict[str, Any] = {"value": [{"subject": f"message {first}"}, {"subject": f"message {first + 1}"}]}
        if first < 4:
            page["@odata.nextLink"] = f"{self.server.url}/v1.0/me/messages?$skip={first + 2}"
        return in_json(page)

    def users(self, _asked: Asked) -> Answer:
        return in_json({"value": [{"displayName": "Alice"}, {"displayName": "Bob"}]})

    def batch(self, asked: Asked) -> Answer:
        found = [
            {"id": one["id"], "status": 200, "body": {"of": one["url"]}} for one in json.loads(asked.body)["requests"]
        ]
        return in_json({"responses": [{"id": "other", "status": 403, "body": {}}, *reversed(found)]})

    def file(self, asked: Asked) -> Answer:
        assert whose(self.entra, asked, GRAPH) == self.entra.alice.object_id
        if asked.method == "PUT":
            self.stored = asked.body
            return in_json({"size": len(asked.body)})
        return Answer(302, b"", [("Location", f"{self.server.url}/elsewhere?signature=1")])


def in_json(body: Any) -> Answer:
    return Answer(200, json.dumps(body).encode(), [("Content-Type", "application/json")])


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[PlayedGraph, httpx.Client]]:
    with LocalEntra() as entra, Scripted() as server:
        scopes = ("User.Read", "Mail.Read", "Files.ReadWrite", "User.Read.All")
        entra.update_app(entra.graph, scopes=scopes)
        entra.update_app(entra.api, delegated={entra.graph.client_id: scopes})
        graph = PlayedGraph(entra, server)
        names = names_of("guide-graph", entra, **{"https://graph.microsoft.com/v1.0": f"{server.url}/v1.0"})
        with asking(names["app"], entra) as client:
            yield graph, client


def test_only_the_fields_that_are_named_come(played: tuple[PlayedGraph, httpx.Client]) -> None:
    graph, client = played
    mine = {"id": graph.entra.alice.object_id, "displayName": "Alice", "mail": "a@b.example"}
    assert client.get("/profile").json() == mine


def test_all_pages_come(played: tuple[PlayedGraph, httpx.Client]) -> None:
    assert played[1].get("/subjects").json() == [f"message {number}" for number in range(6)]


def test_a_batch_brings_what_went_well(played: tuple[PlayedGraph, httpx.Client]) -> None:
    answer = played[1].get("/start-page").json()
    assert set(answer) == {"me", "mail"}
    assert answer["me"] == {"of": "/me?$select=displayName"}


def test_a_wait_that_is_too_long_is_the_clients(played: tuple[PlayedGraph, httpx.Client]) -> None:
    graph, client = played
    graph.throttled = 1
    answer = client.get("/profile")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7200")


def test_mail_is_sent(played: tuple[PlayedGraph, httpx.Client]) -> None:
    graph, client = played
    assert client.post("/letters", params={"to": "bob@contoso.example", "subject": "Hello"}).status_code == 202
    sent = json.loads(graph.server.asked[-1].body)["message"]
    assert sent["toRecipients"] == [{"emailAddress": {"address": "bob@contoso.example"}}]


def test_a_file_goes_up_and_comes_down_without_the_token(played: tuple[PlayedGraph, httpx.Client]) -> None:
    graph, client = played
    path = "/files/a%20b.txt"
    assert client.put(path, content=b"x" * 1000).json() == {"size": 1000}
    assert client.get(path).content == graph.stored == b"x" * 1000
    assert "authorization" not in graph.server.asked[-1].headers


def test_the_application_reads_the_directory(played: tuple[PlayedGraph, httpx.Client]) -> None:
    assert played[1].get("/directory").json() == ["Alice", "Bob"]


def test_clients_of_the_azure_sdk_read_as_the_user(tmp_path: Path) -> None:
    with LocalEntra() as entra:
        for uri in (VAULT, STORAGE):
            expose(entra, uri, "user_impersonation")
        (tmp_path / "blobs").mkdir()
        with (
            served(Vault(entra), tmp_path) as (vault, trusted),
            served(BlobService(entra), tmp_path / "blobs") as (storage, trusted_too),
        ):
            options = f'connection_verify="{trusted}", verify_challenge_resource=False'
            places = {
                '"https://your-vault.vault.azure.net"': f'"{vault.url}"',
                '"https://your-account.blob.core.windows.net"': f'"{storage.url}/{ACCOUNT}"',
                "(VAULT, context.credential)": f"(VAULT, context.credential, {options})",
                "(VAULT, context.blocking_credential)": f"(VAULT, context.blocking_credential, {options})",
                "(ACCOUNT, context.credential)": f'(ACCOUNT, context.credential, connection_verify="{trusted_too}")',
            }
            names = names_of("guide-azure-sdk", entra, **places)
            with asking(names["app"], entra) as client:
                answers = [client.get(path).json() for path in ("/orders/7", "/greeting", "/greeting/blocking")]
    alice = entra.alice.object_id
    assert answers == [f"7 of {alice}", f"greeting of {alice}", f"greeting of {alice}"]


def test_a_thread_goes_on_as_the_user_after_the_request(entra: LocalEntra, graph: LocalGraph) -> None:
    names = names_of("guide-background", entra, **{"https://graph.microsoft.com/v1.0": graph.base_url})
    client = names["app"].test_client()
    headers = {"Authorization": f"Bearer {entra.sign_in('alice')}"}
    assert client.post("/letters", headers=headers).status_code == 202
    names["threads"].shutdown(wait=True)
    assert names["written"] == ["Alice Adams"]
    names["app"].extensions["obo_middleware"].close()


class SigningIn:
    """A client that has MSAL's methods: it has a weak token, and gets a strong one from whoever signs in."""

    def __init__(self, entra: LocalEntra) -> None:
        self.entra = entra
        self.asked_for: list[str] = []

    def acquire_token_silent(self, _scopes: Sequence[str], _account: object) -> dict[str, str]:
        return {"access_token": self.entra.sign_in("alice", xms_cc=["cp1"])}

    def acquire_token_interactive(self, _scopes: Sequence[str], *, claims_challenge: str) -> dict[str, str]:
        self.asked_for.append(claims_challenge)
        return {"access_token": self.entra.sign_in("alice", xms_cc=["cp1"], amr=["pwd", "mfa"])}


def test_a_client_steps_up_and_calls_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalEntra() as entra, LocalGraph(entra) as graph:
        entra.require_mfa("alice")
        for name, value in graph.environment.items():
            monkeypatch.setenv(name, value)
        names = names_of("from-msal", entra, **{"https://graph.microsoft.com/v1.0": graph.base_url})
        with asking(names["app"], entra) as api:
            application = SigningIn(entra)
            answer = names_of("guide-step-up", entra)["call"](api, "/me", application, None, ["access_as_user"])
        assert answer.json()["id"] == entra.alice.object_id
        assert len(application.asked_for) == 1
        assert "access_token" in json.loads(application.asked_for[0])
