"""DESIGN section 7: what the client of the API gets in each situation, the same in all four adapters."""

from __future__ import annotations

import base64

import pytest

from obo_middleware.testing import foreign_key
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import (
    INVALID,
    MALFORMED,
    MISSING,
    NO_SCOPE,
    OURS,
    TOO_WEAK,
    invalid,
    realm,
)
from tests.adapters.world import World
from tests.marks import showing


def test_a_signed_in_user_gets_their_own_answer(adapter: Served, world: World) -> None:
    for name in ("alice", "bob"):
        token = world.token(name)
        assert adapter.get("/me", token).json()["id"] == world.object_id(name)
        assert adapter.get("/messages", token).json()["value"]
        assert adapter.get("/whoami", token).json()["user"] == world.object_id(name)


def test_the_app_calls_as_itself_beside_its_user(adapter: Served, world: World) -> None:
    names = {user["displayName"] for user in adapter.get("/users", world.token()).json()["value"]}
    assert {"Alice Adams", "Bob Brown"} <= names
    assert [request.user for request in world.graph.requests] == [None]


def test_credentials_of_the_context_give_tokens(adapter: Served, world: World) -> None:
    answer = adapter.get("/credential", world.token())
    assert answer.status_code == 200
    assert answer.json()["user"] > world.clock()


@pytest.mark.attack(1, 2, 188)
def test_without_a_token_401_with_no_error(adapter: Served, world: World) -> None:
    check_problem(adapter.get("/me"), 401, MISSING, challenge=realm(world))
    other_scheme = adapter.client.get("/me", headers={"Authorization": "Basic YTpi"})
    check_problem(other_scheme, 401, MISSING, challenge=realm(world))


def test_the_challenge_without_a_token_names_the_scopes_needed(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["access_as_user", "orders.read"])
    check_problem(served.get("/me"), 401, MISSING, challenge=f'{realm(world)}, scope="access_as_user orders.read"')


@pytest.mark.parametrize(
    "value",
    [
        *(*showing(4, b"Bearer"), *showing(5, b"Bearer a b"), *showing(7, b"Bearer a,Bearer b")),
        *(*showing(13, b"Bearer caf\xc3\xa9", b"Bearer a\tb"), *showing([22, 39], b'Bearer {"a":1}')),
    ],
)
def test_a_malformed_header_400(adapter: Served, world: World, value: bytes) -> None:
    answer = parse_answer(adapter.raw(b"Authorization: " + value))
    check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


@pytest.mark.attack(6)
def test_a_doubled_header_400_although_each_of_them_would_do(adapter: Served, world: World) -> None:
    line = f"Authorization: Bearer {world.token()}".encode()
    for second in (line, line.replace(b"Authorization", b"authorization")):
        answer = parse_answer(adapter.raw(line, second))
        check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


@pytest.mark.attack(12, 22, 23, 41, 42, 60, 69, 76, 77, 79, 81, 96, 98, 153, 183, 188)
def test_every_invalid_token_gets_the_same_401(adapter: Served, world: World) -> None:
    good = world.token()
    head, payload, signature = good.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    bad = {
        "opaque": "an-opaque-token",
        "two segments": f"{head}.{payload}",
        "four segments": f"{good}.{signature}",
        "no signature": f"{head}.{payload}.",
        "alg none": f"{unsigned}.{payload}.{signature}",
        "too long": "a" * 16_385,
        "expired": world.token(lifetime=-10),
        "not yet valid": world.token(nbf=int(world.clock()) + 600),
        "no expiry": world.token(exp=None),
        "foreign key": world.token(key=foreign_key()),
        "key id of nobody": world.token(headers={"kid": "nobody"}),
        "key by address": world.token(headers={"jku": "https://keys.example/"}),
        "other audience": world.token(aud="api://other"),
        "other issuer": world.token(iss="https://issuer.example/v2.0"),
        "other tenant": world.token(tid="11111111-2222-3333-4444-555555555555"),
        "ID token": world.token(nonce="of the sign-in"),
        "bound to a key": world.token(cnf={"jkt": "x"}),
        "no user": world.token(oid=None),
    }
    for why, token in bad.items():
        response = adapter.get("/me", token)
        assert response.status_code == 401, why
        check_problem(response, 401, INVALID, challenge=invalid(world))
    assert world.entra.exchanges == 0
    assert world.graph.requests == []


@pytest.mark.attack(183)
def test_unknown_key_bad_signature_and_wrong_audience_get_identical_bytes(adapter: Served, world: World) -> None:
    token = world.token()
    forged = token.rpartition(".")[0] + "." + world.token().rpartition(".")[2]
    tokens = (world.token(headers={"kid": "nobody"}), forged, world.token(aud="api://other"))
    lines = (f"Authorization: Bearer {one}".encode() for one in tokens)
    answers = {
        tuple(line for line in adapter.raw(line).split(b"\r\n") if not line.lower().startswith(b"date:"))
        for line in lines
    }
    assert len(answers) == 1


@pytest.mark.attack(85)
def test_a_scope_that_the_route_needs_is_missing_403(adapter: Served, world: World) -> None:
    challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
    check_problem(adapter.get("/scope", world.token()), 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
    granted = world.token(scopes=["access_as_user", "orders.read"])
    assert adapter.get("/scope", granted).json()["scopes"] == ["access_as_user", "orders.read"]


@pytest.mark.attack(85)
def test_a_scope_that_every_route_needs_is_missing_403(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["orders.read"])
    challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
    token = world.token()
    for _ in range(2):  # seen for the first time, and remembered as valid
        check_problem(served.get("/whoami", token), 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
    assert served.get("/whoami", world.token(scopes=["orders.read"])).status_code == 200


@pytest.mark.attack(83, 84)
def test_an_application_without_a_user_403_and_nothing_is_exchanged(adapter: Served, world: World) -> None:
    response = adapter.get("/me", world.entra.app_token(roles=["Tasks.Run"]))
    check_problem(response, 403, NO_SCOPE, challenge=f'{realm(world)}, error="insufficient_scope"')
    assert world.entra.token_requests == []


@pytest.mark.attack(99)
def test_a_sign_in_too_weak_or_too_old_for_the_route_401(adapter: Served, world: World) -> None:
    now = int(world.clock())
    challenge = 'Bearer error="insufficient_user_authentication", acr_values="phr phrh", max_age="300"'
    weak = (
        {"acr": "phr"},
        {"acr": "phr", "auth_time": now - 301},
        {"acr": "1", "auth_time": now},
        {"acr": "phr", "auth_time": str(now)},
    )
    for claims in weak:
        check_problem(adapter.get("/step", world.token(**claims)), 401, TOO_WEAK, challenge=challenge)
    assert adapter.get("/step", world.token(acr="phrh", auth_time=now - 300)).status_code == 200


def test_an_api_that_is_not_declared_500_and_the_log_names_the_fix(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(adapter.get("/nowhere", world.token()), 500, OURS)
    assert "downstream_apis has no API 'nowhere', it has graph: correct the name or add it." in caplog.text


@pytest.mark.attack(161)
def test_a_request_to_a_foreign_origin_is_not_sent_500(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(adapter.get("/elsewhere", world.token()), 500, OURS)
    assert "its token is for" in caplog.text
    assert world.entra.token_requests == []
