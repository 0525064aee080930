"""The ``auth=`` object for Requests, which follows redirects by itself: where it may go with the token."""

from __future__ import annotations

import pytest

from obo_middleware.errors import RequestEndedError, WrongOriginError
from obo_middleware.requests import LeavingRedirectError, OnBehalfOfAuth
from tests.core.hostile import Answer, Scripted
from tests.core.test_requests_auth import JSON, Caller, caller

__all__ = ["caller"]


@pytest.mark.attack(163)
@pytest.mark.parametrize("follow", [False, True])
def test_a_redirect_to_another_origin_is_not_followed(caller: Caller, follow: bool) -> None:
    with Scripted() as other:
        caller.server.say("/v1/move", Answer(302, b"moved", [("Location", other.url + "/v1/me")]))
        with pytest.raises(LeavingRedirectError) as caught:
            caller.get("/move", allow_redirects=follow)
        assert other.connections == 0
        answer = caught.value.response
        assert (answer.status_code, answer.headers["Location"]) == (302, other.url + "/v1/me")
        assert answer.content == b"moved"
    assert caller.server.paths == ["/v1/move"]


LEAVING = [
    "/v2/me",
    "../v2",
    "/v1/%2e%2e/v2",
    "/v1/..%2fv2",
    "http://127.0.0.1:1/v1/x/%2e%2e/me",
    "//evil.example/v1/me",
    "http://localhost:1/v1/me",
    "http://127.0.0.1:1\\@evil.example/v1/me",
    "http://user:pass@127.0.0.1:1/v1/me",
    "http://127.0.0.1:99999/v1/me",
    "https://evil.example/v1/me",
    "file:///etc/passwd",
]


@pytest.mark.attack(164, 166, 168)
@pytest.mark.parametrize("to", LEAVING)
def test_a_redirect_out_of_the_base_path_is_not_followed(caller: Caller, to: str) -> None:
    where = to.replace(":1/", f":{caller.server.url.rpartition(':')[2]}/")
    caller.server.say("/v1/move", Answer(302, b"", [("Location", where)]))
    with pytest.raises(WrongOriginError):
        caller.get("/move")
    assert caller.server.paths == ["/v1/move"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_below_the_base_path_is_followed_with_the_token(caller: Caller, code: int) -> None:
    caller.server.say("/v1/move", Answer(code, b"", [("Location", "me")]))
    response = caller.get("/move")
    assert response.json() == JSON
    assert [before.status_code for before in response.history] == [code]
    assert caller.server.paths == ["/v1/move", "/v1/me"]
    assert len(set(caller.tokens)) == 1


def test_a_redirect_that_leads_nowhere_is_the_handlers(caller: Caller) -> None:
    caller.server.say("/v1/move", Answer(302, b"", [("Location", "")]))
    assert caller.get("/move").status_code == 302


@pytest.mark.attack(163)
def test_the_second_of_two_redirects_is_checked_too(caller: Caller) -> None:
    caller.server.say("/v1/move", Answer(302, b"", [("Location", "/v1/on")]))
    caller.server.say("/v1/on", Answer(302, b"", [("Location", "/v2/me")]))
    with pytest.raises(LeavingRedirectError):
        caller.get("/move")
    assert caller.server.paths == ["/v1/move", "/v1/on"]


@pytest.mark.attack(172)
def test_a_redirect_is_not_followed_when_the_request_is_over(caller: Caller) -> None:
    context = caller.context()

    def say(_asked: object) -> Answer:
        context.end()
        return Answer(302, b"", [("Location", "/v1/me")])

    caller.server.say("/v1/move", say)
    with pytest.raises(RequestEndedError):
        caller.get("/move", auth=OnBehalfOfAuth(context, "api"))
    assert caller.server.paths == ["/v1/move"]
