"""Every framework behind every server, asked by everybody: the answers, and the table of them in the documents."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from example_apps.local import ROOT
from tests.adapters.harness import bearer, check_problem
from tests.adapters.outcomes import INVALID, MISSING, MORE_IS_NEEDED, claims_in, invalid, realm
from tests.adapters.world import NO_TLS, World
from tests.frameworks.pages import apps_in, save
from tests.frameworks.processes import ASGI, WSGI, Command, Process

DOCUMENT = ROOT / "docs" / "frameworks.md"
BEGIN, END = "<!-- begin: what everybody gets -->", "<!-- end: what everybody gets -->"
ENDS = (0, -signal.SIGTERM)
"""How servers end that were asked to: uvicorn says by which signal."""
_CLAIMS = {"access_token": {"nbf": {"essential": True, "value": "1"}}}


class Framework(NamedTuple):
    """One framework: the page with its app, which of the page's blocks that is, and the name of the app in it."""

    page: str
    app: str = "app:app"
    block: int = 0
    mcp: bool = False


_TOOL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "me", "arguments": {}}}
_OF_MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}

ASGI_FRAMEWORKS = {
    "Starlette": Framework("starlette"),
    "FastAPI": Framework("fastapi"),
    "Litestar": Framework("litestar"),
    "Quart": Framework("quart"),
    "Django": Framework("django", "app:asgi"),
    "MCP SDK": Framework("mcp", mcp=True),
    "FastMCP": Framework("mcp", block=1, mcp=True),
}
WSGI_FRAMEWORKS = {
    "Flask": Framework("flask"),
    "Django": Framework("django", "app:wsgi", block=1),
    "Bottle": Framework("bottle"),
    "Pyramid": Framework("pyramid"),
}
COLUMNS = ("nobody", "user A", "user B", "expired", "consent missing", "claims challenge", "/health", "/stream")

_LIMITS = httpx.Limits(keepalive_expiry=1.0)
"""A client gives a connection up before any of the servers does: gunicorn hangs up after two seconds, unannounced."""


class Site:
    """An app behind a server, and a client for it."""

    def __init__(
        self,
        framework: Framework,
        command: Command,
        folder: Path,
        world: World,
        *,
        variables: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        save(code or apps_in(framework.page)[framework.block].code, folder)
        self.world = world
        self.mcp = framework.mcp
        self.process = Process(command, framework.app, folder, world, variables)
        self.client = httpx.Client(
            base_url=self.process.url, timeout=30.0, trust_env=False, verify=NO_TLS, limits=_LIMITS
        )

    def request(self, token: str | None) -> dict[str, Any]:
        """Return the request for the profile of the bearer of a token: of MCP servers, a call of the tool ``me``."""
        headers = {} if token is None else bearer(token)
        if self.mcp:
            return {"method": "POST", "url": "/mcp", "json": _TOOL, "headers": headers | _OF_MCP}
        return {"method": "GET", "url": "/me", "headers": headers}

    def profile_in(self, body: Any) -> Any:
        return json.loads(body["result"]["content"][0]["text"]) if self.mcp else body

    def ask(self, token: str | None) -> httpx.Response:
        return self.client.request(**self.request(token))

    def profile(self, answer: httpx.Response) -> Any:
        return self.profile_in(answer.json())

    def stop(self) -> int:
        self.client.close()
        return self.process.stop()


def row_of(site: Site) -> dict[str, str]:
    """Ask an app as everybody does, check each answer whole, and return in a few words what each was."""
    row = {name: check(site) for name, check in _CHECKS.items()}
    assert tuple(row) == COLUMNS
    return row


def _nobody(site: Site) -> str:
    answer = site.ask(None)
    challenge = answer.headers["www-authenticate"] if site.mcp else realm(site.world)
    check_problem(answer, 401, MISSING, challenge=challenge)
    assert not site.mcp or re.search(r'resource_metadata="http[^"]+/.well-known/oauth-protected-resource', challenge)
    return "401"


def _user(name: str) -> Callable[[Site], str]:
    def check(site: Site) -> str:
        answer = site.ask(site.world.token(name))
        assert answer.status_code == 200, answer.text
        assert site.profile(answer)["id"] == site.world.object_id(name)
        return "200, own profile"

    return check


def _expired(site: Site) -> str:
    answer = site.ask(site.world.token("alice", lifetime=-600))
    challenge = answer.headers["www-authenticate"] if site.mcp else invalid(site.world)
    check_problem(answer, 401, INVALID, challenge=challenge)
    assert challenge.startswith(invalid(site.world))
    return "401 invalid_token"


def _consent(site: Site) -> str:
    name = site.world.newcomer()
    site.world.entra.require_consent(name, site.world.entra.api, ["User.Read"])
    answer = site.ask(site.world.token(name))
    body = answer.json()
    assert (answer.status_code, body["status"]) == (403, 403)
    assert "User.Read" in body["scope"].split()
    assert body["consent_uri"].startswith(site.world.entra.authority)
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    return f"403 {body['error']}, consent link"


def _claims(site: Site) -> str:
    name = site.world.newcomer()
    site.world.graph.challenge(name, _CLAIMS, times=None)
    answer = site.ask(site.world.token(name, xms_cc=["cp1"]))
    body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
    challenge = answer.headers.get("www-authenticate")
    check_problem(answer, 401, body, challenge=challenge)
    assert claims_in(challenge) == _CLAIMS
    return "401 insufficient_claims"


def _health(site: Site) -> str:
    answer = site.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    return "200"


def _stream(site: Site) -> str:
    if site.mcp:
        return ""
    with site.client.stream("GET", "/stream", headers=bearer(site.world.token("alice"))) as answer:
        first, second = "".join(answer.iter_text()).splitlines()
    assert (answer.status_code, first) == (200, "begin")
    assert json.loads(second)["id"] == site.world.object_id("alice")
    return "200, in parts"


_CHECKS: Mapping[str, Callable[[Site], str]] = {
    "nobody": _nobody,
    "user A": _user("alice"),
    "user B": _user("bob"),
    "expired": _expired,
    "consent missing": _consent,
    "claims challenge": _claims,
    "/health": _health,
    "/stream": _stream,
}

# The table


def combinations() -> list[tuple[str, str, Framework, Command]]:
    """Return each framework with each server: their names, and what they are."""
    return [
        (name, server, framework, command)
        for frameworks, servers in ((ASGI_FRAMEWORKS, ASGI), (WSGI_FRAMEWORKS, WSGI))
        for name, framework in frameworks.items()
        for server, command in servers.items()
    ]


def line_of(name: str, server: str, row: Mapping[str, str]) -> str:
    return " | ".join(["", name, server, *(row[column] for column in COLUMNS), ""]).strip()


def documented() -> list[str]:
    """Return the lines of the table in the document, its head left out."""
    text = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return text.strip().splitlines()[2:]


def write(lines: list[str]) -> None:
    """Put a table of these lines into the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    head = line_of("framework", "server", {column: column for column in COLUMNS})
    table = "\n".join([head, "|---" * (len(COLUMNS) + 2) + "|", *lines])
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def check_row(name: str, server: str, serve: Callable[..., Site]) -> None:
    """Check that a framework behind a server answers as the document says, and leaves nothing open when it ends."""
    ((framework, command),) = [one[2:] for one in combinations() if one[:2] == (name, server)]
    site = serve(framework, command)
    assert line_of(name, server, row_of(site)) in documented()
    assert site.stop() in ENDS, site.process.said
    assert site.process.left == []
