"""Which requests need a token: public paths, exactly; optional authentication; where a token may come from."""

from __future__ import annotations

import pytest

from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import INVALID, MISSING, invalid, realm
from tests.adapters.world import World
from tests.marks import showing


def test_a_public_path_needs_no_token_and_has_no_user(adapter: Served, world: World) -> None:
    assert adapter.get("/public").json() == {"user": None}
    assert adapter.get("/public?from=nobody").json() == {"user": None}


def test_a_token_on_a_public_path_is_not_looked_at(adapter: Served, world: World) -> None:
    for token in (world.token(), "an-opaque-token"):
        assert adapter.get("/public", token).json() == {"user": None}


@pytest.mark.attack(16)
@pytest.mark.parametrize(
    "path",
    [
        *(b"/public/../whoami", b"/public/", b"/public/whoami", b"/Public", b"/public%2f..%2fwhoami", b"/public;x"),
        *(b"/public%00", b"/whoami?path=/public", b"/./public", b"/%2fpublic", b"/public%20", b"/public.json"),
    ],
)
def test_no_spelling_opens_another_path_than_the_public_one(adapter: Served, world: World, path: bytes) -> None:
    check_problem(parse_answer(adapter.raw(path=path)), 401, MISSING, challenge=realm(world))


@pytest.mark.attack(16)
def test_a_doubled_slash_opens_nothing(adapter: Served, world: World) -> None:
    # wsgiref and Werkzeug make one slash of two, so that theirs is the public path itself.
    status = parse_answer(adapter.raw(path=b"//public")).status
    assert status == (200 if adapter.blocking else 401)
    assert parse_answer(adapter.raw(path=b"//whoami")).status == 401


def test_a_percent_encoded_public_path_is_the_one_that_the_server_decodes(adapter: Served, world: World) -> None:
    assert parse_answer(adapter.raw(path=b"/p%75blic")).json() == {"user": None}


def test_a_path_outside_ascii_can_be_public(kind: str, start: Start, world: World) -> None:
    served = start(kind, public_paths=["/caf\u00e9"])
    # There is no such route, so the app itself is asked: not 401.
    assert parse_answer(served.raw(path=b"/caf%C3%A9")).status != 401
    assert parse_answer(served.raw(path=b"/caf%E9")).status == 401


def test_optional_authentication_lets_requests_without_a_token_through(kind: str, start: Start, world: World) -> None:
    served = start(kind, required=False)
    assert served.get("/whoami").json() == {"user": None}
    token = world.token("alice")
    assert served.get("/whoami", token).json()["user"] == world.object_id("alice")


@pytest.mark.parametrize("path", ["/me", "/scope", "/step", "/credential", "/keep"])
def test_optional_authentication_answers_401_where_a_user_is_needed(
    kind: str, start: Start, world: World, path: str
) -> None:
    check_problem(start(kind, required=False).get(path), 401, MISSING, challenge=realm(world))


def test_optional_authentication_still_lets_the_app_call_as_itself(kind: str, start: Start, world: World) -> None:
    assert start(kind, required=False).get("/users").status_code == 200


def test_optional_authentication_refuses_an_invalid_token(kind: str, start: Start, world: World) -> None:
    served = start(kind, required=False)
    for token in ("an-opaque-token", world.token(lifetime=-10), world.token(aud="api://other")):
        check_problem(served.get("/whoami", token), 401, INVALID, challenge=invalid(world))
    assert parse_answer(served.raw(b"Authorization: Bearer")).status == 400


@pytest.mark.parametrize(
    "name",
    [
        *(*showing(14, b"Authorization_"), b"Proxy-Authorization"),
        *showing(15, b"X-MS-TOKEN-AAD-ACCESS-TOKEN", b"X-Forwarded-Access-Token"),
    ],
)
def test_another_header_is_no_credential(adapter: Served, world: World, name: bytes) -> None:
    token = world.token().encode()
    answer = parse_answer(adapter.raw(name + b": Bearer " + token))
    check_problem(answer, 401, MISSING, challenge=realm(world))


@pytest.mark.attack(8, 9, 10, 11)
def test_a_token_in_the_query_a_cookie_or_a_form_is_no_credential(adapter: Served, world: World) -> None:
    token = world.token()
    query = f"/whoami?access_token={token}".encode()
    check_problem(parse_answer(adapter.raw(path=query)), 401, MISSING, challenge=realm(world))
    cookie = parse_answer(adapter.raw(f"Cookie: access_token={token}".encode()))
    check_problem(cookie, 401, MISSING, challenge=realm(world))
    form = adapter.client.post("/whoami", data={"access_token": token})
    check_problem(form, 401, MISSING, challenge=realm(world))
    beside = parse_answer(adapter.raw(f"Authorization: Bearer {world.token('bob')}".encode(), path=query))
    assert beside.json()["user"] == world.object_id("bob")


@pytest.mark.attack(3)
def test_the_scheme_is_case_insensitive_and_may_be_followed_by_spaces(adapter: Served, world: World) -> None:
    token = world.token("alice").encode()
    for scheme in (b"bearer ", b"BEARER ", b"Bearer   "):
        answer = parse_answer(adapter.raw(b"Authorization: " + scheme + token))
        assert answer.json()["user"] == world.object_id("alice")


def test_a_refused_head_request_gets_no_body(adapter: Served, world: World) -> None:
    head, _, body = adapter.raw(method=b"HEAD").partition(b"\r\n\r\n")
    assert head.split()[1] == b"401"
    assert body == b""


def test_an_error_let_through_by_a_head_request_gets_no_body(adapter: Served, world: World) -> None:
    line = f"Authorization: Bearer {world.token()}".encode()
    _, _, body = adapter.raw(line, path=b"/nowhere", method=b"HEAD").partition(b"\r\n\r\n")
    assert body == b""


@pytest.mark.attack(13)
def test_control_characters_in_the_header_are_never_a_500(adapter: Served, world: World) -> None:
    for value in (b"Bearer a\x00b", b"Bearer \x7f", b"Bearer a\x1b[31m"):
        data = adapter.raw(b"Authorization: " + value)
        # Some servers refuse such a request themselves, one of them in the form of HTTP/0.9.
        assert not data.startswith(b"HTTP/") or parse_answer(data).status == 400
