"""An API behind an API: the apps in docs/chains.md as they stand there, on real servers, and a client of theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from example_apps.local import ROOT
from obo_middleware.testing import LocalEntra, LocalGraph
from obo_middleware.testing._graph_check import Caller
from tests.adapters.harness import Served, bearer
from tests.adapters.servers import UvicornServer, WsgiServer
from tests.examples.blocks import blocks
from tests.testing.kit import access_token, http_client
from tests.testing.test_authorization_code import login, params, redeem

SECRET = "secret-of-the-profiles"
SCOPE = "access_as_user"


class ListeningGraph(LocalGraph):
    """A Graph that keeps the tokens it gets."""

    def __init__(self, entra: LocalEntra) -> None:
        super().__init__(entra)
        self.tokens: list[str] = []

    async def admit(self, token: str) -> Caller:
        self.tokens.append(token)
        return await super().admit(token)


class Inbox:
    """Keep the headers of the requests to a WSGI app, and the statuses of its answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        prefix = "HTTP_"
        self.headers.append({name[len(prefix) :].lower(): environ[name] for name in environ if name.startswith(prefix)})

        def start(status: str, *rest: Any) -> Any:
            self.statuses.append(int(status.split(maxsplit=1)[0]))
            return start_response(status, *rest)

        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    @property
    def tokens(self) -> list[str]:
        return [headers["authorization"].removeprefix("Bearer ") for headers in self.headers]


@dataclass(frozen=True)
class Chain:
    """The provider, both APIs and Graph, as a client of the first one sees them."""

    entra: LocalEntra
    graph: ListeningGraph
    profiles_id: str
    profiles_url: str
    inbox: Inbox
    portal: Served

    def sign_in(self, user: str, claims: str | None = None, *, able: bool = True) -> str:
        """Sign a user in interactively, as a client that is able to answer challenges; return the portal's token."""
        query = params(self.entra, **({} if claims is None else {"claims": claims}))
        capable = {"claims": json.dumps({"access_token": {"xms_cc": {"values": ["CP1"]}}})} if able else {}
        with http_client() as http:
            code = login(self.entra, http, query, user)["code"]
            return access_token(redeem(self.entra, http, code, **capable))

    def ask(self, token: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.portal.client.get("/greeting", headers=bearer(token) | dict(headers or {}))


def _app(start: str, variables: Mapping[str, str], edit: tuple[str, str]) -> Any:
    """Run the document's block that begins with an import, in an environment; return its app."""
    (code,) = [block.code for block in blocks([ROOT / "docs" / "chains.md"]) if start in block.code]
    names: dict[str, Any] = {"__name__": "chain"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        exec(compile(code.replace(*edit), "docs/chains.md", "exec"), names)  # noqa: S102  # our own document
    return names["app"]


def _environment(entra: LocalEntra, client_id: str, secret: str) -> dict[str, str]:
    return {
        "AZURE_TENANT_ID": entra.tenant_id,
        "AZURE_CLIENT_ID": client_id,
        "AZURE_CLIENT_SECRET": secret,
        "AZURE_AUTHORITY_HOST": entra.authority,
        "OBO_ALLOW_LOCAL_ISSUER": "true",
    }


def _register(entra: LocalEntra) -> str:
    """Register the profiles, and let the portal call them and nothing else."""
    graph = entra.graph.identifier_uris[0]
    profiles = entra.register_app("profiles", secret=SECRET, scopes=(SCOPE,), permissions={graph: ["User.Read"]})
    entra.update_app(entra.api, delegated={profiles.client_id: (SCOPE,)})
    return profiles.client_id


@contextmanager
def running_chain(edit: tuple[str, str] = ("", "")) -> Iterator[Chain]:
    """Serve the chain; ``edit`` replaces a text of the portal's code."""
    with LocalEntra() as entra, ListeningGraph(entra) as graph:
        profiles_id = _register(entra)
        more = {"PORTAL_CLIENT_ID": entra.api.client_id, "GRAPH_BASE_URL": graph.base_url}
        profiles = _app("from flask", _environment(entra, profiles_id, SECRET) | more, ("", ""))
        inbox = Inbox(profiles)
        behind = WsgiServer(inbox, werkzeugs=True)
        url = "http://{}:{}".format(*behind.address)
        more = {"PROFILES_CLIENT_ID": profiles_id, "PROFILES_URL": url}
        portal = _app("from fastapi", _environment(entra, entra.api.client_id, entra.api.secret) | more, edit)
        try:
            with Served("fastapi", UvicornServer(portal)) as served:
                yield Chain(entra, graph, profiles_id, url, inbox, served)
        finally:
            behind.stop()
            profiles.extensions["obo_middleware"].close()
