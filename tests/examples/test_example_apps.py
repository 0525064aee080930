"""Both example applications do what their README files say, over real sockets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from example_apps.local import FASTAPI, ROOT, serving
from obo_middleware.testing import LocalEntra, LocalGraph

EXAMPLES = ("fastapi_graph", "flask_graph")
PROTECTED = ("/me", "/messages", "/users")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_fewer_than_sixty_lines(name: str) -> None:
    path = ROOT / "example_apps" / name / "app.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize(("user", "name"), [("alice", "Alice Adams"), ("bob", "Bob Brown")])
def test_each_user_gets_their_own_profile(api: httpx.Client, entra: LocalEntra, user: str, name: str) -> None:
    response = api.get("/me", headers=bearer(entra.sign_in(user)))
    assert response.json() == {"name": name, "mail": f"{user}@contoso.example", "client": entra.client.client_id}


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_each_user_gets_their_own_messages(api: httpx.Client, entra: LocalEntra, user: str) -> None:
    subjects = api.get("/messages", headers=bearer(entra.sign_in(user))).json()
    assert len(subjects) == 3
    assert all(subject.startswith(f"{user.capitalize()}: ") for subject in subjects)


def test_messages_need_the_scope_of_the_route(api: httpx.Client, entra: LocalEntra) -> None:
    token = bearer(entra.sign_in("alice", scopes=["something_else"]))
    refused = api.get("/messages", headers=token)
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="access_as_user"' in refused.headers["WWW-Authenticate"]
    assert api.get("/me", headers=token).status_code == 200


def test_users_are_listed_with_the_permission_of_the_application(
    api: httpx.Client, entra: LocalEntra, graph: LocalGraph
) -> None:
    names = api.get("/users", headers=bearer(entra.sign_in("bob"))).json()
    assert names[:2] == ["Alice Adams", "Bob Brown"]
    assert (graph.requests[-1].path, graph.requests[-1].user) == ("/v1.0/users", None)


@pytest.mark.parametrize("path", PROTECTED)
def test_nobody_gets_in_without_a_token(api: httpx.Client, path: str) -> None:
    response = api.get(path)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("path", PROTECTED)
def test_nobody_gets_in_with_a_token_for_somebody_else(api: httpx.Client, entra: LocalEntra, path: str) -> None:
    response = api.get(path, headers=bearer(entra.sign_in("alice", entra.graph, ["User.Read"])))
    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")


def test_health_is_public(api: httpx.Client) -> None:
    assert api.get("/health").json() == {"status": "up"}


def test_a_refusal_of_graph_is_told_as_such(api: httpx.Client, entra: LocalEntra, graph: LocalGraph) -> None:
    graph.answer_once(403)
    response = api.get("/me", headers=bearer(entra.sign_in("alice")))
    assert (response.status_code, response.json()["title"]) == (502, "Microsoft Graph refused")


def test_a_user_is_exchanged_once_however_often_they_call(api: httpx.Client, entra: LocalEntra) -> None:
    user = entra.add_user(f"often-{api.base_url.port}")
    entra.reset_counts()
    for _ in range(3):
        assert api.get("/me", headers=bearer(entra.sign_in(user))).status_code == 200
    assert entra.exchanges == 1


def test_the_fastapi_example_shows_how_to_authorize_in_its_pages(entra: LocalEntra, graph: LocalGraph) -> None:
    with serving(FASTAPI, graph.environment) as url, httpx.Client(base_url=url, trust_env=False) as client:
        schema = client.get("/openapi.json").json()
        assert client.get("/docs").status_code == 200
    assert schema["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert schema["paths"]["/me"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in schema["paths"]["/health"]["get"]


def test_the_flask_example_runs_under_flasks_own_server(entra: LocalEntra, graph: LocalGraph) -> None:
    command = ("flask", "--app", "example_apps.flask_graph.app", "run", "--port", "0")
    with serving(command, graph.environment) as url:
        response = httpx.get(f"{url}/me", headers=bearer(entra.sign_in("bob")), trust_env=False)
    assert response.json()["name"] == "Bob Brown"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_without_its_variables_says_which_one_to_set(name: str) -> None:
    command = [sys.executable, "-c", f"import example_apps.{name}.app"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tenant_id is missing: set the environment variable AZURE_TENANT_ID" in done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_readme_of_an_example_tells_the_variables_that_the_local_provider_needs(
    name: str, entra: LocalEntra, graph: LocalGraph
) -> None:
    told = exports(ROOT / "example_apps" / name / "README.md")
    needed = graph.environment
    needed["AZURE_AUTHORITY_HOST"] = "http://127.0.0.1:8400"
    needed["GRAPH_BASE_URL"] = "http://127.0.0.1:8401/v1.0"
    assert told == needed


def exports(path: Path) -> dict[str, str]:
    """Return the last value that a document exports for each variable."""
    return dict(re.findall(r"^export (\w+)=(.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
