"""The ``auth=`` object for Requests: where the token goes, whose it is, and which requests are sent again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import pytest
import requests

from example_apps.local import ROOT
from obo_middleware._context import AsyncContext, BlockingContext, Context
from obo_middleware._runtime import Runtime
from obo_middleware.errors import (
    ConfigurationError,
    MissingTokenError,
    RefusedRequestError,
    RequestEndedError,
    WrongOriginError,
)
from obo_middleware.requests import OnBehalfOfAuth
from obo_middleware.testing import LocalEntra
from tests.core.hostile import Answer, Scripted
from tests.core.kit import World, api, settings_for
from tests.core.test_auth_boundary import urls
from tests.marks import showing

JSON = {"ok": True}


@dataclass
class Caller(World):
    """An application with one API named ``api``, which it calls with Requests."""

    server: Scripted

    def auth(self, user: str = "alice", **options: Any) -> OnBehalfOfAuth:
        return OnBehalfOfAuth(self.context(user), "api", **options)

    def get(self, url: str = "", method: str = "GET", *, auth: Any = None, **options: Any) -> requests.Response:
        """Send one request, as alice unless told otherwise."""
        where = url if "://" in url else f"{self.server.url}/v1{url or '/me'}"
        return requests.request(method, where, auth=auth or self.auth(), timeout=5, **options)

    @property
    def tokens(self) -> list[str]:
        """The bearer tokens that the API got."""
        return [asked.headers["authorization"].removeprefix("Bearer ") for asked in self.server.asked]


@pytest.fixture
def caller(entra: LocalEntra, server: Scripted) -> Iterator[Caller]:
    server.say("/v1/me", JSON)
    runtime = Runtime(settings_for(entra, downstream_apis={"api": api(server.url + "/v1")}))
    yield Caller(entra, runtime, server)
    runtime.close()


# Whose token


@pytest.mark.attack(152)
@pytest.mark.parametrize("kind", [AsyncContext, BlockingContext])
def test_the_users_token_goes_to_the_api(caller: Caller, kind: type[Context]) -> None:
    context = kind(caller.runtime, caller.valid("alice"))
    assert caller.get(auth=OnBehalfOfAuth(context, "api")).json() == JSON
    (token,) = caller.tokens
    assert token != context._signed_in().assertion.token
    (request,) = caller.entra.token_requests
    assert request.form["requested_token_use"] == "on_behalf_of"


def test_the_application_calls_as_itself(caller: Caller) -> None:
    caller.get(auth=caller.auth(as_app=True))
    (request,) = caller.entra.token_requests
    assert request.form["grant_type"] == "client_credentials"


def test_a_session_may_have_it_for_all_its_calls(caller: Caller) -> None:
    with requests.Session() as session:
        session.auth = caller.auth()
        for _ in range(3):
            assert session.get(caller.server.url + "/v1/me", timeout=5).json() == JSON
    assert (len(set(caller.tokens)), caller.entra.exchanges, caller.server.connections) == (1, 1, 1)


def test_threads_may_share_it(caller: Caller) -> None:
    auth = caller.auth()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: caller.get(auth=auth).json(), range(40)))
    assert answers == [JSON] * 40
    assert (len(set(caller.tokens)), caller.entra.exchanges) == (1, 1)


def test_two_users_at_once_have_a_token_each(caller: Caller) -> None:
    auths = {user: caller.auth(user) for user in ("alice", "bob")}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda user: caller.get(f"/{user}", auth=auths[user]), ["alice", "bob"] * 20))
    came = {(asked.path, asked.headers["authorization"]) for asked in caller.server.asked}
    assert sorted(path for path, _ in came) == ["/v1/alice", "/v1/bob"]
    assert len({authorization for _, authorization in came}) == 2


def test_no_such_api_and_no_user_are_said_at_once(caller: Caller) -> None:
    with pytest.raises(ConfigurationError):
        OnBehalfOfAuth(caller.context(), "other")
    with pytest.raises(MissingTokenError):
        OnBehalfOfAuth(AsyncContext(caller.runtime, None), "api")


def test_its_text_names_the_api_and_shows_no_token(caller: Caller) -> None:
    auth = caller.auth()
    caller.get(auth=auth)
    assert repr(auth) == f"OnBehalfOfAuth('{caller.server.url}/v1')"


# Where it goes


@pytest.mark.parametrize("path", ["/v1/me", "/v1/", "/v1", "/v1//me", "/v1/a.b/..c", "/v1/me?to=../x", "/v1/x/../me"])
def test_everything_at_or_below_the_base_path_may_be_called(caller: Caller, path: str) -> None:
    caller.get(caller.server.url + path)
    assert len(caller.tokens) == 1
    assert caller.server.paths[0].startswith("/v1")


def absolute(base: str) -> list[str]:
    """Return URLs that look like the base's without being below it."""
    made = [url if "://" in url else f"{base}/v1/{url.removeprefix('/')}" for url in urls(base)]
    return [*made, "ftp://127.0.0.1/v1/me", "ftp://127.0.0.1:port/v1/me", f"{base}/v1/a/%2e%2e/me", f"{base}/v1/..;/me"]


@pytest.mark.attack(161, 164, 166, 167, 168)
def test_nothing_else_gets_the_token_not_even_from_the_provider(caller: Caller) -> None:
    auth = caller.auth()
    for url in absolute(caller.server.url):
        with pytest.raises((WrongOriginError, requests.exceptions.InvalidURL)):
            caller.get(url, auth=auth)
    assert (caller.server.connections, caller.entra.exchanges) == (0, 0)


@pytest.mark.parametrize("declared", ["https://api.example/v1", "https://api.example:443/v1"])
def test_the_port_of_a_scheme_may_be_written_or_not(entra: LocalEntra, declared: str) -> None:
    runtime = Runtime(settings_for(entra, downstream_apis={"api": api(declared)}))
    context = World(entra, runtime).context()
    for url in ("https://api.example/v1/me", "https://api.example:443/v1/me", "HTTPS://API.example/v1/me"):
        assert "Authorization" in requests.Request("GET", url, auth=OnBehalfOfAuth(context, "api")).prepare().headers
    runtime.close()


@pytest.mark.attack(169)
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION", "Authorization "])
@pytest.mark.parametrize("value", ["Bearer mine", ""])
def test_an_authorization_header_of_the_handlers_is_refused(caller: Caller, name: str, value: str) -> None:
    with pytest.raises(RefusedRequestError):
        caller.get(headers={name: value})
    with requests.Session() as session:
        session.headers[name] = value
        with pytest.raises(RefusedRequestError):
            session.get(caller.server.url + "/v1/me", auth=caller.auth(), timeout=5)
    assert (caller.server.connections, caller.entra.exchanges) == (0, 0)


@pytest.mark.attack(170)
@pytest.mark.parametrize("value", ["evil.example", b"evil.example"])
def test_a_host_header_of_another_host_is_refused(caller: Caller, value: Any) -> None:
    with pytest.raises(WrongOriginError):
        caller.get(headers={"Host": value})
    assert (caller.server.connections, caller.entra.exchanges) == (0, 0)
    own = caller.server.url.removeprefix("http://")
    assert caller.get(headers={"Host": own}).json() == JSON


def test_a_netrc_file_does_not_replace_the_token(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    caller.get()
    assert caller.server.asked[0].headers["authorization"].startswith("Bearer eyJ")


# For how long


@pytest.mark.attack(172)
def test_it_refuses_when_its_request_is_over(caller: Caller) -> None:
    context = caller.context()
    auth = OnBehalfOfAuth(context, "api")
    assert caller.get(auth=auth).status_code == 200
    context.end()
    with pytest.raises(RequestEndedError):
        caller.get(auth=auth)
    assert len(caller.server.asked) == 1


@pytest.mark.attack(172)
def test_in_another_users_request_it_is_refused(caller: Caller) -> None:
    kept, at_hand = caller.auth("alice"), caller.context("bob")
    with pytest.raises(RefusedRequestError):
        at_hand.run(caller.get, auth=kept)
    assert (caller.server.connections, caller.entra.exchanges) == (0, 0)


COOKIE = Answer(headers=[("Set-Cookie", "session=alice")])


@pytest.mark.parametrize(("shut", "sent"), [*showing(171, (True, False)), (False, True)])
def test_cookies_are_the_sessions_unless_it_keeps_none(caller: Caller, shut: bool, sent: bool) -> None:
    caller.server.say("/v1/cookie", COOKIE)
    with requests.Session() as session:
        if shut:
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for path, user in (("/cookie", "alice"), ("/me", "bob")):
            session.get(f"{caller.server.url}/v1{path}", auth=caller.auth(user), timeout=5)
    assert ("cookie" in caller.server.asked[1].headers) is sent


# Traces


def test_the_trace_of_the_request_goes_on(caller: Caller) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    context = AsyncContext(caller.runtime, caller.valid(), trace=trace)
    auth = OnBehalfOfAuth(context, "api")
    caller.get(auth=auth)
    caller.get(auth=auth, headers={"traceparent": "mine"})
    caller.get()
    assert [asked.headers.get("traceparent") for asked in caller.server.asked] == [trace, "mine", None]


WITHOUT = """
import sys
sys.modules["requests"] = None
try:
    import obo_middleware.requests
except ImportError as error:
    print(error)
"""


def test_without_requests_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "obo_middleware.requests needs Requests: pip install 'obo-middleware[requests]'\n"
