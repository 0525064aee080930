"""docs/clients.md: all its blocks, one after the other, in an app that is served and called by its users."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from credentials import ClientSecretCredential
from example_apps.local import ROOT
from obo_middleware.testing import LocalEntra, LocalGraph
from tests.adapters.servers import UvicornServer
from tests.core.hostile import Answer, Asked, Scripted
from tests.credentials.azure_services import Vault, served
from tests.examples.blocks import blocks
from tests.frameworks.clients_graph import QUIET
from tests.frameworks.clients_world import FILES, MODELS, VAULT, answering, expose, model

pytestmark = QUIET

BLOCKS = list(blocks([ROOT / "docs" / "clients.md"]))
JSON = [("Content-Type", "application/json")]
PLACES = ("files.example.com", "your-resource.openai.azure.com", "your-vault.vault.azure.net")


class Page:
    """The app of the page, served; ``names`` are what its blocks leave."""

    def __init__(self, entra: LocalEntra, graph: LocalGraph, server: Scripted, names: dict[str, Any], url: str) -> None:
        self.entra, self.graph, self.server, self.names, self.url = entra, graph, server, names, url

    def ask(self, path: str, user: str = "alice", method: str = "GET", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.entra.sign_in(user)}"}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30.0, headers=headers) as client:
            return client.request(method, path, **options)

    def said(self, path: str, user: str = "alice", method: str = "GET", **options: Any) -> Any:
        return self.ask(path, user, method, **options).raise_for_status().json()


def placed(code: str, entra: LocalEntra, graph: LocalGraph, server: Scripted, vault: tuple[str, str]) -> str:
    """Return code with its placeholders replaced by what runs on this machine."""
    url, ca_path = vault
    values = {
        'tenant_id="..."': f'tenant_id="{entra.tenant_id}"',
        'client_id="..."': f'client_id="{entra.api.client_id}"',
        'client_credential="..."': f'client_credential="{entra.api.secret}", allow_local_issuer=True',
        'client_secret="..."': f'client_secret="{entra.api.secret}", allow_local_authority=True',
        "https://graph.microsoft.com/v1.0": graph.base_url,
        "https://files.example.com": server.url,
        "https://your-resource.openai.azure.com": server.url,
        '"https://your-vault.vault.azure.net", context.credential': (
            f'"{url}", context.credential, connection_verify="{ca_path}", verify_challenge_resource=False'
        ),
    }
    for placeholder, value in values.items():
        code = code.replace(placeholder, value)
    assert '"..."' not in code
    assert not any(place in code for place in PLACES)
    return code


def furnish(entra: LocalEntra, server: Scripted) -> None:
    """Register the APIs of the page, and have them answer."""
    for uri, scope in ((FILES, "Files.ReadWrite"), (MODELS, "user_impersonation"), (VAULT, "user_impersonation")):
        expose(entra, uri, scope)
    for name in ("report", "attachments", "greeting"):
        server.say(f"/v1/{name}", answering(entra, FILES))
    for path in ("/openai/v1/chat/completions", "/openai/deployments/gpt-4o/chat/completions"):
        server.say(path, model(entra))
    server.say("/v1/content", Answer(302, b"", [("Location", f"{server.url}/elsewhere?signature=1")]))
    server.say("/elsewhere", Answer(body=b"the content"))
    server.say("/msi/token", lambda _asked: Answer(200, json.dumps(machine_token(entra)).encode(), JSON))


def machine_token(entra: LocalEntra) -> dict[str, str]:
    """Return what the endpoint of a managed identity says: a token that the application may have for Graph."""
    given: dict[str, Any] = {"authority": entra.authority, "allow_local_authority": True}
    with ClientSecretCredential(entra.tenant_id, entra.api.client_id, entra.api.secret, **given) as credential:
        token = credential.get_token("https://graph.microsoft.com/.default")
    return {"access_token": token.token, "expires_on": str(token.expires_on), "resource": "r", "token_type": "Bearer"}


@contextmanager
def running(folder: Path) -> Iterator[Page]:
    names: dict[str, Any] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        entra = stack.enter_context(LocalEntra())
        graph, server = stack.enter_context(LocalGraph(entra)), stack.enter_context(Scripted())
        furnish(entra, server)
        vault = stack.enter_context(served(Vault(entra), folder))
        for name, value in graph.environment.items():
            patch.setenv(name, value)
        for block in BLOCKS:
            code = placed(block.code, entra, graph, server, (vault[0].url, vault[1]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of the SDK of Graph, see clients_graph.py
                exec(compile(code, str(block), "exec"), names)  # noqa: S102  # our own document
        app = UvicornServer(names["app"])
        stack.callback(app.stop)
        yield Page(entra, graph, server, names, "http://{}:{}".format(*app.address))
        names["obo"].close()


@pytest.fixture(scope="module")
def running_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture
def page(running_page: Page) -> Page:
    running_page.server.asked.clear()
    return running_page


USERS = pytest.mark.parametrize("user", ["alice", "bob"])
HELLO = {"alice": "Alice", "bob": "Bob"}


@USERS
def test_the_user_is_the_one_who_asks(page: Page, user: str) -> None:
    assert page.said("/me", user)["id"] == page.entra.users[user].object_id
    assert page.said("/requests/me", user)["id"] == page.entra.users[user].object_id
    assert page.said("/sdk/me", user) == page.entra.users[user].display_name
    assert page.ask("/secret", user).json() == f"greeting of {page.entra.users[user].object_id}"


@USERS
def test_all_pages_are_read(page: Page, user: str) -> None:
    for path in ("/subjects", "/sdk/subjects"):
        subjects = page.said(path, user)
        assert len(subjects) == 5
        assert all(subject.startswith(HELLO[user]) for subject in subjects)


@USERS
def test_the_model_answers_the_user(page: Page, user: str) -> None:
    for path in ("/answer", "/answer/by-deployment"):
        assert page.said(path, user) == f"Hello, {page.entra.users[user].object_id}"


def test_large_bodies_pass_through(page: Page) -> None:
    alice = page.entra.alice.object_id
    body = b"x" * 1_000_000
    assert page.said("/report", method="PUT", content=body) == {"user": alice, "length": len(body)}
    assert page.said("/report") == {"user": alice, "length": 0}
    assert page.said("/attachments", method="POST", content=b"a,b\n1,2\n")["user"] == alice
    assert b"a,b\n1,2\n" in page.server.asked[-1].body


def test_a_slow_api_is_504(page: Page) -> None:
    page.server.say("/v1/summary", Answer(body=b"{}", drip=20.0))
    assert page.ask("/summary").status_code == 504


def test_work_goes_on_after_the_request(page: Page) -> None:
    assert page.ask("/welcome", method="POST").status_code == 200
    asked = wait_for(page, "/v1/greeting")
    assert json.loads(asked.body) == {"hello": "Alice Adams"}


def wait_for(page: Page, path: str) -> Asked:
    """Wait until the work in the background is done, by asking the app something else."""
    for _ in range(200):
        found = [asked for asked in page.server.asked if asked.path == path]
        if found:
            return found[0]
        page.ask("/me")
    raise AssertionError("nothing came")


def test_the_application_calls_as_itself(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page.names["count_users_every_night"]() == 2
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{page.server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    assert page.names["count_users_with_the_chain"]() == 2
    assert "/msi/token" in page.server.asked[-1].path

    async def start_up() -> Any:
        try:
            return await page.names["names_at_start_up"]()
        finally:
            await page.names["obo"].runtime.pool.aclose()

    assert asyncio.run(start_up()) == ["Alice Adams", "Bob Brown"]


def test_a_redirect_that_leaves_is_followed_by_hand_without_a_token(page: Page) -> None:
    assert page.said("/requests/content") == "the content"
    assert ["authorization" in asked.headers for asked in page.server.asked] == [True, False]


def test_the_settings_are_what_they_say(page: Page) -> None:
    names = page.names
    assert names["settings_of_the_patient"].downstream_apis["graph"].retry_within == 20.0
    assert (names["settings_of_tomorrow"].http.__name__, names["settings_of_tomorrow"].http2) == ("httpx2", True)
