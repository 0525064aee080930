"""MCP servers, asked by the clients of both SDKs: whose data a tool returns, and how a client learns what is needed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.auth import utils as discovery

from tests.adapters.harness import bearer
from tests.adapters.outcomes import INVALID, MISSING, NO_SCOPE, OURS
from tests.adapters.world import World
from tests.frameworks.conftest import Serve
from tests.frameworks.matrix import ASGI_FRAMEWORKS, ENDS, Site
from tests.frameworks.mcp_clients import (
    CLIENTS,
    RESOURCE,
    Person,
    Proxy,
    call_by_sdk,
    call_signed_in_by_oneself,
    refusal_by_sdk,
)
from tests.frameworks.pages import apps_in
from tests.frameworks.processes import ASGI

SERVERS = ("MCP SDK", "FastMCP")
APPS = pytest.mark.parametrize("block", [0, 1], ids=SERVERS)
WHAT_A_MODEL_READS = {"MCP SDK": "Error executing tool me", "FastMCP": "Consent is needed to call another API"}
AT_ONCE = 20
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPTED = {"Accept": "application/json, text/event-stream"}
_OF_THE_TOOLS = ("ctx.request_context.request.state.obo", "get_http_request().state.obo")
"""How each of the two apps gets at the context in a tool."""


def begin(serve: Serve, server: str, code: str = "") -> Site:
    """Serve an app, and wait until it answers: the SDKs' clients have less patience than a server's start may need."""
    site: Site = serve(ASGI_FRAMEWORKS[server], ASGI["uvicorn"], code=code)
    assert site.client.get("/health").json() == {"status": "ok"}
    return site


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, serve: Serve) -> Site:
    return begin(serve, request.param)


def changed(block: int, *changes: tuple[str, str], above: str = "") -> str:
    """Return an app of the page with some of its words replaced, and code above what it makes."""
    code = apps_in("mcp")[block].code.replace("\nsettings = ", f"\n{above}\nsettings = ", 1)
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    return code


def serve_changed(serve: Serve, block: int, *changes: tuple[str, str], above: str = "") -> Site:
    return begin(serve, SERVERS[block], changed(block, *changes, above=above))


def unconsenting(world: World) -> str:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["User.Read"])
    return name


def session_of(site: Site, name: str) -> dict[str, str]:
    begun = site.client.post("/mcp", json=INITIALIZE, headers=bearer(site.world.token(name)) | ACCEPTED)
    return {"Mcp-Session-Id": begun.raise_for_status().headers["mcp-session-id"]}


def ask_in(site: Site, session: Mapping[str, str], name: str) -> httpx.Response:
    call = site.request(site.world.token(name))
    return site.client.request(**call | {"headers": {**call["headers"], **session}})


def result_in(events: str) -> Any:
    (data,) = [line.removeprefix("data: ") for line in events.splitlines() if line.startswith("data: {")]
    return json.loads(data)["result"]


# Whose data


@pytest.mark.parametrize("client", CLIENTS)
def test_each_call_of_a_tool_has_the_user_who_made_it(site: Site, world: World, client: str) -> None:
    call, url, names = CLIENTS[client], f"{site.process.url}/mcp", ("alice", "bob")

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(call(url, world.token(name), "me", AT_ONCE) for name in names))

    given = [[profile["id"] for profile in profiles] for profiles in asyncio.run(main())]
    assert given == [[world.object_id(name)] * AT_ONCE for name in names]


def test_a_tool_may_return_a_list(site: Site, world: World) -> None:
    (given,) = asyncio.run(call_by_sdk(f"{site.process.url}/mcp", world.token("alice"), "messages"))
    assert given["result"]
    assert all(isinstance(subject, str) for subject in given["result"])


@APPS
def test_a_client_that_a_tool_kept_serves_no_later_call_of_anybody(block: int, serve: Serve, world: World) -> None:
    kept = ('obo.client("graph").get("/me")', 'kept.setdefault("graph", obo.client("graph")).get("/me")')
    site = serve_changed(serve, block, kept, above="kept: dict[str, Any] = {}\n")
    assert site.profile(site.ask(world.token("alice")))["id"] == world.object_id("alice")
    for name in ("bob", "alice"):
        refused = site.ask(world.token(name))
        assert (refused.status_code, refused.json()) == (500, OURS)


@pytest.mark.attack(172)
@APPS
def test_a_call_in_the_session_of_somebody_else_is_still_its_bearers(block: int, serve: Serve, world: World) -> None:
    """With sessions a task of the first request may do the work of the later ones; the context is that of each."""
    site = serve_changed(serve, block, ("stateless_http=True", "stateless_http=False"))
    session = session_of(site, "alice")
    for name in ("alice", "bob", "alice", "bob"):
        answer = ask_in(site, session, name)
        assert answer.status_code == 200, answer.text
        assert site.profile(answer)["id"] == world.object_id(name)


@APPS
def test_a_session_may_be_kept_for_the_user_who_began_it(block: int, serve: Serve, world: World) -> None:
    (binding,) = [one.code for one in apps_in("mcp") if "class OwnSessions" in one.code]
    binding += "\n\ndef bound(app: Any, settings: Settings) -> Any:\n"
    binding += "    return OnBehalfOfMiddleware(OwnSessions(app), settings=settings)\n"
    changes = ("stateless_http=True", "stateless_http=False"), ("app = OnBehalfOfMiddleware(", "app = bound(")
    site = serve_changed(serve, block, *changes, above=binding)
    session = session_of(site, "alice")
    others = bearer(world.token("bob")) | ACCEPTED | session
    assert ask_in(site, session, "bob").status_code == 404
    assert [site.client.request(verb, "/mcp", headers=others).status_code for verb in ("GET", "DELETE")] == [404, 404]
    assert site.profile(ask_in(site, session, "alice"))["id"] == world.object_id("alice")


# What a client learns


def test_a_client_finds_the_authorization_server_and_signs_its_user_in(site: Site, world: World) -> None:
    """RFC 9728 and OAuth 2.1, all done by the SDK's own client, which has no more than the server's URL and an id."""
    person, proxy = Person(world, "bob"), Proxy(site.process.url)
    given = asyncio.run(call_signed_in_by_oneself(proxy, person, "me"))
    assert given["id"] == world.object_id("bob")
    assert proxy.asked[:2] == ["/mcp", "/.well-known/oauth-protected-resource/mcp"]
    (wanted,) = person.wanted
    assert wanted["scope"].split()[0] == f"api://{world.client_id}/access_as_user"
    assert wanted["resource"] == RESOURCE


def test_who_has_no_valid_token_is_told_where_to_get_one(site: Site, world: World) -> None:
    forged = world.token("alice")[:-8] + "AAAAAAAA"
    for token, body in ((None, MISSING), (forged, INVALID), (world.token("alice", lifetime=-600), INVALID)):
        refused = site.ask(token)
        assert (refused.status_code, refused.json()) == (401, body)
        named = discovery.extract_resource_metadata_from_www_auth(httpx2.Response(401, headers=refused.headers))
        assert named == "https://mcp.example/.well-known/oauth-protected-resource/mcp"
    document = site.client.get("/.well-known/oauth-protected-resource/mcp").raise_for_status().json()
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [world.entra.issuer]


def test_a_client_learns_which_scope_is_missing(site: Site, world: World) -> None:
    refused = site.ask(world.token(unconsenting(world)))
    assert refused.status_code == 403
    challenge = httpx2.Response(403, headers=refused.headers)
    assert discovery.extract_scope_from_www_auth(challenge) == "User.Read Mail.Read"
    assert refused.json()["title"] != NO_SCOPE["title"]


@APPS
def test_a_tool_may_need_a_scope_of_the_token(block: int, serve: Serve, world: World) -> None:
    wanting = (
        'await obo.client("graph").get("/me")',
        'obo.require("profile.write") and await obo.client("graph").get("/me")',
    )
    refused = serve_changed(serve, block, wanting).ask(world.token("alice"))
    assert (refused.status_code, refused.json()) == (403, NO_SCOPE | {"scope": "profile.write"})
    challenge = httpx2.Response(403, headers=refused.headers)
    assert discovery.extract_field_from_www_auth(challenge, "error") == "insufficient_scope"


@APPS
def test_where_the_answer_has_begun_the_tool_fails_with_what_a_model_may_read(
    block: int, serve: Serve, world: World
) -> None:
    """Without ``json_response`` the answer is a stream of events, which begins before the tool does."""
    site = serve_changed(serve, block, ("json_response=True", "json_response=False"))
    with site.client.stream(**site.request(world.token(unconsenting(world)))) as answer:
        events = "".join(answer.iter_text())
    assert answer.status_code == 200
    result = result_in(events)
    assert result["isError"] is True
    assert WHAT_A_MODEL_READS[SERVERS[block]] in result["content"][0]["text"]
    assert "AADSTS" not in events


@APPS
def test_a_client_of_the_newest_protocol_gets_the_challenge_with_streams_too(
    block: int, serve: Serve, world: World
) -> None:
    """There a stream begins with the first notification, or late; before that the answer has not begun."""
    site = serve_changed(serve, block, ("json_response=True", "json_response=False"))
    status, challenge = asyncio.run(refusal_by_sdk(f"{site.process.url}/mcp", world.token(unconsenting(world)), "me"))
    assert status == 403
    assert 'error="insufficient_scope"' in challenge


@pytest.mark.parametrize("as_json", [True, False])
@APPS
def test_a_tool_may_tell_the_model_what_is_missing(block: int, as_json: bool, serve: Serve, world: World) -> None:
    (telling,) = [one.code for one in apps_in("mcp") if "def telling" in one.code]
    if SERVERS[block] == "FastMCP":
        telling = telling.replace("from mcp.server.mcpserver.exceptions", "from fastmcp.exceptions", 1)
    context = _OF_THE_TOOLS[block]
    changes = (f"{context}.answering()", f"telling({context})"), ("json_response=True", f"json_response={as_json}")
    site = serve_changed(serve, block, *changes, above=telling)
    answer = site.ask(world.token(unconsenting(world)))
    result = answer.json()["result"] if as_json else result_in(answer.text)
    assert (answer.status_code, result["isError"]) == (200, True)
    text = result["content"][0]["text"]
    told = json.loads(text[text.index("{") :])
    assert (told["status"], told["scope"]) == (403, "User.Read Mail.Read")
    assert told["consent_uri"].startswith(world.entra.authority)
    assert "AADSTS" not in text


# What is left


def test_a_server_that_stops_leaves_nothing_open_and_has_said_nothing_of_a_token(site: Site, world: World) -> None:
    """Tools that failed too: an SDK logs what a tool raised, with the code around it."""
    tokens = [world.token("alice"), world.token(unconsenting(world))]
    assert [site.ask(token).status_code for token in tokens] == [200, 403]
    asyncio.run(call_by_sdk(f"{site.process.url}/mcp", tokens[0], "me", 3))
    assert site.stop() in ENDS, site.process.said
    assert site.process.left == []
    said = "".join(site.process.said.split())  # logs are broken into lines
    assert not any(part in said for token in tokens for part in token.split(".")[1:])
