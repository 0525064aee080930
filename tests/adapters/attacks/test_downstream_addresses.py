"""A token goes to its own API and nowhere else, however a handler spells the address of another one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from obo_middleware.errors import WrongOriginError
from tests.adapters.attacks.conftest import Recorder
from tests.adapters.attacks.handlers import Call, Deed, Sent, Way, desk
from tests.adapters.harness import check_problem
from tests.adapters.outcomes import OURS
from tests.adapters.world import World
from tests.core.hostile import Scripted


def check_refused(way: Way, world: World, deed: Deed, why: str) -> None:
    """Check that what a handler tries raises a typed error there, which becomes a 500, and that no token is asked for.

    The user is new, so that there is no token yet.
    """
    desk.errors.clear()
    check_problem(way.do(deed, world.token()), 500, OURS)
    assert [type(error) for error in desk.errors] == [WrongOriginError], why
    assert world.entra.token_requests == [], why


def nothing_came(api: Scripted, evil: Recorder) -> bool:
    return (api.asked, evil.connections, evil.received) == ([], 0, b"")


# What the API's address is at these tests: http://127.0.0.1:{own}/v1; the recorder's is http://127.0.0.1:{evil}.

OTHERS = {
    "161 another port": "http://127.0.0.1:{evil}/v1/me",
    "161 another host": "http://localhost:{evil}/v1/me",
    "161 another host at our port": "http://localhost:{own}/v1/me",
    "161 another scheme": "https://127.0.0.1:{own}/v1/me",
    "161 another path": "http://127.0.0.1:{own}/v2/me",
    "161 a longer path": "http://127.0.0.1:{own}/v1x/me",
    "166 our host as the user": "http://127.0.0.1:{own}@127.0.0.1:{evil}/v1/me",
    "166 our host as the user, encoded": "http://127.0.0.1%3A{own}@127.0.0.1:{evil}/v1/me",
    "166 a user at our host": "http://user@127.0.0.1:{own}/v1/me",
    "166 a user and a password at our host": "http://user:password@127.0.0.1:{own}/v1/me",
    "166 a backslash": "http://127.0.0.1:{own}\\@127.0.0.1:{evil}/v1/me",
    "166 our host as the beginning": "http://127.0.0.1.evil.example:{evil}/v1/me",
    "167 a dot behind the host": "http://127.0.0.1.:{own}/v1/me",
    "167 no port": "http://127.0.0.1/v1/me",
    "167 another spelling of the address": "http://127.1:{own}/v1/me",
    "167 the address as a number": "http://2130706433:{own}/v1/me",
    "167 the address in IPv6": "http://[::ffff:127.0.0.1]:{own}/v1/me",
    "168 above the base path": "../admin",
    "168 above it, absolute": "http://127.0.0.1:{own}/v1/../admin",
    "168 the root": "http://127.0.0.1:{own}/",
    "168 from the root": "/../admin",
    "168 in the middle": "a/../../admin",
    "168 at the end": "a/%2e%2e",
    "168 a dot": "a/./b/%2e/c",
    "168 dots encoded": "%2e%2e/admin",
    "168 one dot encoded": ".%2E/admin",
    "168 the slash encoded": "..%2fadmin",
    "168 all encoded": "%2e%2e%2fadmin",
    "168 encoded twice": "%252e%252e/admin",
    "168 encoded three times": "%25252e%25252e%25252fadmin",
    "168 a backslash": "..\\admin",
    "168 a backslash encoded": "..%5cadmin",
    "168 a backslash encoded twice": "..%255cadmin",
    "168 a parameter of the segment": "..;a=b/admin",
    "168 a parameter, encoded": "..%3ba=b/admin",
    "168 encoded a thousand times": "%" + 1000 * "25" + "2e/admin",
}


def by_case(table: Mapping[str, str]) -> list[Any]:
    """Return the rows of each case as one parameter: the names of the rows begin with the case's number."""
    cases: dict[str, dict[str, str]] = {}
    for name, url in table.items():
        cases.setdefault(name[:3], {})[name[4:]] = url
    return [pytest.param(urls, id=case, marks=pytest.mark.attack(int(case))) for case, urls in cases.items()]


@pytest.mark.parametrize("urls", by_case(OTHERS))
def test_no_other_address_gets_a_token(
    way: Way, world: World, api: Scripted, evil: Recorder, urls: dict[str, str]
) -> None:
    for why, url in urls.items():
        given = url.format(own=api.url.rpartition(":")[2], evil=evil.port)
        check_refused(way, world, Call(given, options={"follow_redirects": True}), why)
    assert nothing_came(api, evil)


# Graph's own address. Nothing is connected to: the names that were looked up tell.

LOOK_ALIKES = {
    "164 plain http": "http://graph.microsoft.com/v1.0/me",
    "164 plain http at the port of https": "http://graph.microsoft.com:443/v1.0/me",
    "166 our host as the user": "https://graph.microsoft.com@evil.example/v1.0/me",
    "166 our host and port as the user": "https://graph.microsoft.com:443@evil.example/v1.0/me",
    "166 a backslash": "https://graph.microsoft.com\\@evil.example/v1.0/me",
    "166 our host as the beginning": "https://graph.microsoft.com.evil.example/v1.0/me",
    "166 our host as the end": "https://evil-graph.microsoft.com/v1.0/me",
    "166 our host in the path": "https://evil.example/graph.microsoft.com/v1.0/me",
    "166 a fragment": "https://evil.example#@graph.microsoft.com/v1.0/me",
    "166 a query": "https://evil.example?@graph.microsoft.com/v1.0/me",
    "166 a fragment behind ours": "https://graph.microsoft.com#@evil.example/v1.0/me",
    "167 a dot behind the host": "https://graph.microsoft.com./v1.0/me",
    "167 another port": "https://graph.microsoft.com:8443/v1.0/me",
    "167 a Cyrillic letter": "https://gr\u0430ph.microsoft.com/v1.0/me",
    "167 a Cyrillic letter in its ASCII form": "https://xn--grph-63d.microsoft.com/v1.0/me",
    "167 the port of http": "https://graph.microsoft.com:80/v1.0/me",
    "168 another version": "https://graph.microsoft.com/beta/me",
}
SAME = (
    "https://GRAPH.Microsoft.com/v1.0/me",
    "HTTPS://graph.microsoft.com/v1.0/me",
    "https://graph.microsoft.com:443/v1.0/me",
    "/me",
)


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names that are looked up, all of which nobody knows."""
    names: list[str] = []
    real: Any = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name[:1].isdigit():
            return real(host, *arguments, **options)
        names.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.mark.parametrize("urls", by_case(LOOK_ALIKES))
def test_no_look_alike_of_graph_gets_a_token(
    way: Way, world: World, looked_up: list[str], urls: dict[str, str]
) -> None:
    for why, url in urls.items():
        check_refused(way, world, Call(url, api="real", options={"follow_redirects": True}), why)
    assert looked_up == []


class Reaching:
    """Call a URL, and tell whether the client tried to connect."""

    def __init__(self, url: str) -> None:
        self._call = Call(url, api="real")

    async def awaitable(self, context: Any) -> Any:
        try:
            return await self._call.awaitable(context)
        except httpx.ConnectError:
            return {"tried": True}

    def blocking(self, context: Any, client: Any) -> Any:
        try:
            return self._call.blocking(context, client)
        except httpx.ConnectError:
            return {"tried": True}


@pytest.mark.attack(167)
def test_the_same_address_in_another_spelling_is_the_same(way: Way, world: World, looked_up: list[str]) -> None:
    for url in SAME:
        assert way.do(Reaching(url), world.token("alice")).json() == {"tried": True}, url
    assert looked_up == ["graph.microsoft.com"] * len(SAME)


# Other ways to name an address than by the URL of a call


def _base_url(evil: str) -> Call:
    return Call("/me", prepare=lambda client: setattr(client, "base_url", evil))


def _request(evil: str) -> Sent:
    return Sent(lambda client: client.build_request("GET", f"{evil}/v1/me"))


def _foreign_request(evil: str) -> Sent:
    return Sent(lambda _client: httpx.Request("GET", f"{evil}/v1/me"))


def _without_auth(evil: str) -> Sent:
    return Sent(lambda client: client.build_request("GET", f"{evil}/v1/me"), options={"auth": None})


def _url_in_hook(evil: str) -> Call:
    return Call(hook=lambda request: setattr(request, "url", httpx.URL(f"{evil}/v1/me")))


def _host_header(evil: str) -> Call:
    return Call(options={"headers": {"Host": evil.removeprefix("http://")}})


def _host_of_the_client(evil: str) -> Call:
    return Call(prepare=lambda client: client.headers.update({"Host": evil.removeprefix("http://")}))


def _host_in_hook(evil: str) -> Call:
    return Call(hook=lambda request: request.headers.update({"Host": evil.removeprefix("http://")}))


def _target(evil: str) -> Call:
    return Call(options={"extensions": {"target": f"{evil}/v1/me".encode()}})


def _server_name(_evil: str) -> Call:
    return Call(options={"extensions": {"sni_hostname": "evil.example"}})


ELSEWHERE: tuple[Callable[[str], Deed], ...] = (
    *(_base_url, _request, _foreign_request, _without_auth, _url_in_hook),
    *(_host_header, _host_of_the_client, _host_in_hook, _target, _server_name),
)


@pytest.mark.attack(161)
@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=lambda deed: deed.__name__.strip("_"))
def test_nothing_but_the_url_of_its_api_leads_a_client(
    way: Way, world: World, api: Scripted, evil: Recorder, elsewhere: Callable[[str], Deed]
) -> None:
    newcomer = world.token()
    desk.errors.clear()
    check_problem(way.do(elsewhere(evil.url), newcomer), 500, OURS)
    assert [type(error) for error in desk.errors] == [WrongOriginError]
    assert nothing_came(api, evil)
