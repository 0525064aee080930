from __future__ import annotations

from typing import Any

import pytest

from obo_middleware import _calls
from obo_middleware._calls import Target
from obo_middleware._context import AsyncContext
from obo_middleware.errors import RefusedRequestError, RequestEndedError, WrongOriginError
from tests.core.faces import Change, Face
from tests.core.hostile import Answer, Scripted
from tests.core.kit import api
from tests.marks import showing

JSON = {"ok": True}


@pytest.mark.attack(152)
def test_the_users_token_goes_to_the_api(face: Face) -> None:
    response = face.get("alice", "/me")
    assert (response.status_code, response.json()) == (200, JSON)
    (asked,) = face.server.asked
    (token,) = face.tokens
    assert (asked.method, asked.path) == ("GET", "/v1/me")
    assert token != face.context("alice")._signed_in().assertion.token
    (request,) = face.entra.token_requests
    assert request.form["requested_token_use"] == "on_behalf_of"


def test_everything_below_the_base_path_may_be_called(face: Face) -> None:
    context = face.context()
    paths = ["me", "/me", "/me?a=b", "", "/", "/a//b", "/a.b/..c/d..", "/...", "/me?to=../x", "//evil.example/v1/me"]
    for path in paths:
        face.call(context, path)
    assert len(face.server.asked) == len(paths)
    assert all(path.startswith("/v1/") for path in face.server.paths)


@pytest.mark.parametrize("path", ["/v1/me", "/v1/", "/v1"])
def test_an_absolute_url_at_or_below_the_base_path_may_be_called(face: Face, path: str) -> None:
    face.get("alice", face.server.url + path)
    assert face.server.paths == [path]


@pytest.mark.parametrize("declared", ["https://api.example/v1", "https://api.example:443/v1"])
def test_the_port_of_a_scheme_may_be_written_or_not(face: Face, declared: str) -> None:
    target = Target(face.runtime.pool, api(declared), face.runtime.settings.clock)
    for url in ("https://api.example/v1/me", "https://api.example:443/v1/me"):
        target.check(face.library.URL(url))
    for url in ("http://api.example:443/v1/me", "http://api.example/v1/me", "https://api.example:80/v1/me"):
        with pytest.raises(WrongOriginError):
            target.check(face.library.URL(url))


def urls(base: str) -> list[str]:
    """Return URLs that look like the base's without being below it."""
    port = base.rpartition(":")[2]
    return [
        "https://evil.example/v1/me",
        f"https://127.0.0.1:{port}/v1/me",
        "http://127.0.0.1/v1/me",
        f"http://127.0.0.1:{int(port) ^ 1}/v1/me",
        f"http://localhost:{port}/v1/me",
        f"http://127.0.0.1.:{port}/v1/me",
        f"http://127.0.0.1.evil.example:{port}/v1/me",
        f"http://127.0.0.1:{port}@evil.example/v1/me",
        f"http://user@127.0.0.1:{port}/v1/me",
        f"http://user:pass@127.0.0.1:{port}/v1/me",
        f"http://127.0.0.1:{port}\\@evil.example/v1/me",
        f"http://127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}/v2/me",
        f"http://127.0.0.1:{port}/v1x/me",
        f"http://127.0.0.1:{port}/V1/me",
        f"http://127.0.0.1:{port}//v1/me",
        "../admin",
        "/../admin",
        "a/../../admin",
        "%2e%2e/admin",
        "/%2E%2e/admin",
        ".%2e/admin",
        "..%2fadmin",
        "..%2Fadmin",
        "..%5cadmin",
        "a/..\\..\\admin",
        "%2e/admin",
    ]


@pytest.mark.attack(161, 166, 167, 168)
def test_nothing_else_gets_the_token_not_even_from_the_provider(face: Face) -> None:
    context = face.context()
    for url in urls(face.server.url):
        with pytest.raises((WrongOriginError, face.library.InvalidURL)):
            face.call(context, url, follow_redirects=True)
    assert (face.server.connections, face.entra.exchanges) == (0, 0)


def encoded(times: int) -> str:
    """Return a per cent sign that was encoded over and over."""
    return "/100%" + "25" * times


@pytest.mark.attack(168)
def test_a_path_is_encoded_over_itself_eight_times_at_most(face: Face) -> None:
    context = face.context()
    face.call(context, encoded(8))
    for times in (9, 10, 5_000):
        with pytest.raises(WrongOriginError):
            face.call(context, encoded(times))
    assert face.server.paths == [f"/v1{encoded(8)}"]


@pytest.mark.attack(168)
def test_a_long_path_is_looked_through_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def unquote(path: bytes) -> bytes:
        looks.append(len(path))
        return path.replace(b"%25", b"%")

    monkeypatch.setattr("urllib.parse.unquote_to_bytes", unquote)
    assert _calls._climbs(encoded(20_000).encode())
    assert len(looks) < 10


@pytest.mark.attack(167)
def test_a_look_alike_host_gets_nothing(face: Face) -> None:
    with pytest.raises(WrongOriginError):
        face.get("alice", "https://gr\u0430ph.microsoft.com/v1/me")
    assert face.entra.exchanges == 0


def headers_of(host: str) -> Change:
    def change(request: Any) -> None:
        request.headers["Host"] = host

    return change


def set_authorization(request: Any) -> None:
    request.headers["Authorization"] = "Bearer another"


def drop_authorization(request: Any) -> None:
    del request.headers["Authorization"]


def double_authorization(request: Any) -> None:
    headers = request.headers
    request.headers = type(headers)([*headers.multi_items(), ("Authorization", "Bearer another")])


def break_the_seal(request: Any) -> None:
    request.extensions.clear()


def send_elsewhere(request: Any) -> None:
    request.url = request.url.copy_with(host="localhost")


CHANGES: list[Change] = [
    set_authorization,
    drop_authorization,
    double_authorization,
    break_the_seal,
    send_elsewhere,
    headers_of("evil.example"),
]


@pytest.mark.attack(163)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_request_that_a_hook_has_changed_is_not_sent(face: Face, change: Change) -> None:
    with pytest.raises(RefusedRequestError):
        face.get(change=change)
    assert face.server.connections == 0


def test_a_hook_that_changes_nothing_of_ours_is_welcome(face: Face) -> None:
    face.get(change=lambda request: request.headers.update({"X-Trace": "1"}))
    assert face.server.asked[0].headers["x-trace"] == "1"


@pytest.mark.attack(169)
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("value", ["Bearer mine", ""])
def test_an_authorization_header_of_the_handlers_is_refused(face: Face, name: str, value: str) -> None:
    with pytest.raises(RefusedRequestError):
        face.get(headers={name: value})
    with pytest.raises(RefusedRequestError):
        face.get(prepare=lambda client: client.headers.update({name: value}))
    assert face.server.connections == 0


@pytest.mark.attack(169)
@pytest.mark.parametrize("auth", [None, ("user", "password"), lambda request: request])
def test_an_auth_of_the_handlers_is_refused(face: Face, auth: Any) -> None:
    with pytest.raises(RefusedRequestError):
        face.get(auth=auth)
    assert face.server.connections == 0


@pytest.mark.attack(170)
def test_a_host_header_of_another_host_is_refused(face: Face) -> None:
    with pytest.raises(WrongOriginError):
        face.get(headers={"Host": "evil.example"})
    assert (face.server.connections, face.entra.exchanges) == (0, 0)


@pytest.mark.parametrize("follow", [*showing(162, False), *showing(163, True)])
def test_a_redirect_to_another_origin_is_not_followed(face: Face, follow: bool) -> None:
    with Scripted() as other:
        face.server.say("/v1/move", Answer(302, b"", [("Location", other.url + "/v1/me")]))
        if follow:
            with pytest.raises(WrongOriginError):
                face.get(url="/move", follow_redirects=True)
        else:
            assert face.get(url="/move").status_code == 302
        assert other.connections == 0
    assert face.server.paths == ["/v1/move"]


@pytest.mark.attack(168)
@pytest.mark.parametrize("to", ["/v2/me", "/v1/%2e%2e/v2", "http://localhost:1/v1/me"])
def test_a_redirect_out_of_the_base_path_is_not_followed(face: Face, to: str) -> None:
    face.server.say("/v1/move", Answer(302, b"", [("Location", to)]))
    with pytest.raises(WrongOriginError):
        face.get(url="/move", follow_redirects=True)
    assert face.server.paths == ["/v1/move"]


@pytest.mark.parametrize("code", [302, 307, 308])
def test_a_redirect_below_the_base_path_is_followed_with_the_token(face: Face, code: int) -> None:
    face.server.say("/v1/move", Answer(code, b"", [("Location", "/v1/me")]))
    assert face.get(url="/move", follow_redirects=True).json() == JSON
    assert face.server.paths == ["/v1/move", "/v1/me"]
    assert len(set(face.tokens)) == 1


@pytest.mark.attack(172)
def test_a_client_refuses_when_its_request_is_over(face: Face) -> None:
    context = face.context()
    assert face.call(context, "/me").status_code == 200
    context.end()
    with pytest.raises(RequestEndedError):
        face.call(context, "/me")
    assert len(face.server.asked) == 1


@pytest.mark.attack(172)
def test_a_request_that_ends_on_its_way_is_not_sent(face: Face) -> None:
    context = face.context()
    with pytest.raises(RequestEndedError):
        face.call(context, "/me", change=lambda _request: context.end())
    assert face.server.connections == 0


@pytest.mark.attack(172)
def test_a_request_that_another_users_client_has_signed_is_refused(face: Face) -> None:
    kept: list[Any] = []
    alice, bob = face.context("alice"), face.context("bob")
    face.call(alice, "/me", change=kept.append)
    alice.end()
    with pytest.raises(RefusedRequestError):
        send(face, bob, kept[0], auth=None)
    assert len(face.server.asked) == 1


@pytest.mark.parametrize("name", ["sni_hostname", "target"])
def test_extensions_that_lead_elsewhere_are_refused(face: Face, name: str) -> None:
    with pytest.raises(WrongOriginError):
        face.get(extensions={name: b"evil.example"})
    assert (face.server.connections, face.entra.exchanges) == (0, 0)


def test_the_request_of_a_redirect_may_be_sent_by_hand_below_the_base_path_only(face: Face) -> None:
    for to, allowed in (("/v1/me", True), ("/v2/me", False)):
        face.server.say("/v1/move", Answer(302, b"", [("Location", to)]))
        context = face.context()
        following = face.call(context, "/move").next_request
        if allowed:
            assert send(face, context, following).json() == JSON
        else:
            with pytest.raises(WrongOriginError):
                send(face, context, following)
    assert face.server.paths == ["/v1/move", "/v1/me", "/v1/move"]
    assert face.entra.exchanges == 1


def send(face: Face, context: AsyncContext, request: Any, **options: Any) -> Any:
    if face.blocking:
        return context.blocking_client("api").send(request, **options)
    return face.run(lambda: context.client("api").send(request, **options))
