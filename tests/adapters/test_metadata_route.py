"""The document about the API itself (RFC 9728): for everybody, from the settings, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from obo_middleware import ProtectedResource
from tests.adapters.harness import KINDS, Served, check_problem, parse_answer, serve
from tests.adapters.outcomes import INVALID, MISSING, invalid, realm
from tests.adapters.world import World

PATH = "/.well-known/oauth-protected-resource/mcp"
URL = f"https://api.example{PATH}"


@pytest.fixture(scope="module", params=KINDS)
def published(request: pytest.FixtureRequest, shared_world: World) -> Iterator[Served]:
    resource = ProtectedResource("https://api.example/mcp", scopes_supported=["access_as_user"])
    served = serve(request.param, shared_world.settings(protected_resource=resource))
    yield served
    served.stop()


def document(world: World) -> dict[str, object]:
    return {
        "resource": "https://api.example/mcp",
        "authorization_servers": [f"{world.entra.authority}/{world.entra.tenant_id}/v2.0"],
        "scopes_supported": ["access_as_user"],
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.attack(192)
def test_the_document_is_there_without_a_token(published: Served, world: World) -> None:
    answer = published.client.get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document(world)
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.attack(192)
@pytest.mark.parametrize("token", [b"Bearer opaque", b"Bearer a b", b"Basic eA=="])
def test_no_token_changes_the_document(published: Served, world: World, token: bytes) -> None:
    answer = parse_answer(published.raw(b"Authorization: " + token, path=PATH.encode()))
    assert (answer.status, answer.json()) == (200, document(world))


@pytest.mark.attack(191)
def test_a_foreign_host_does_not_change_the_document(published: Served, world: World) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}, {"Forwarded": "host=evil.example"}):
        answer = published.client.get(PATH, headers=headers)
        assert answer.json() == document(world)
        assert "evil" not in f"{answer.headers} {answer.text}"


@pytest.mark.parametrize(
    "path", [PATH + "/", PATH.removesuffix("/mcp"), PATH + "/x", "/mcp" + PATH, PATH.upper(), "/x/.." + PATH]
)
def test_no_other_path_is_the_documents(published: Served, world: World, path: str) -> None:
    answer = parse_answer(published.raw(path=path.encode()))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == f'{realm(world)}, resource_metadata="{URL}"'


def test_the_document_is_for_reading_only(published: Served, world: World) -> None:
    head = published.client.head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert published.client.request("OPTIONS", PATH).status_code == 204
    for method in ("POST", "PUT", "DELETE"):
        answer = published.client.request(method, PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_refusals_point_to_the_document(published: Served, world: World) -> None:
    about = f', resource_metadata="{URL}"'
    check_problem(published.get("/whoami"), 401, MISSING, challenge=realm(world) + about)
    check_problem(published.get("/whoami", "opaque"), 401, INVALID, challenge=invalid(world) + about)


def test_without_a_description_there_is_no_document(adapter: Served, world: World) -> None:
    check_problem(adapter.get(PATH), 401, MISSING, challenge=realm(world))
