"""DESIGN section 7: what the client of the API gets in each situation, the same in all four adapters."""

from __future__ import annotations

import base64
import json
import logging
import urllib.parse

import pytest

from obo_middleware.testing import foreign_key
from tests.adapters.conftest import Start
from tests.adapters.harness import Served, check_problem, parse_answer
from tests.adapters.outcomes import (
    DOWN,
    INVALID,
    MALFORMED,
    MISSING,
    MORE_IS_NEEDED,
    NO_SCOPE,
    OURS,
    TOO_WEAK,
    UNUSABLE,
    claims_challenge,
    claims_in,
    invalid,
    realm,
)
from tests.adapters.world import World


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


def test_without_a_token_401_with_no_error(adapter: Served, world: World) -> None:
    check_problem(adapter.get("/me"), 401, MISSING, challenge=realm(world))
    other_scheme = adapter.client.get("/me", headers={"Authorization": "Basic YTpi"})
    check_problem(other_scheme, 401, MISSING, challenge=realm(world))


def test_the_challenge_without_a_token_names_the_scopes_needed(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["access_as_user", "orders.read"])
    check_problem(served.get("/me"), 401, MISSING, challenge=f'{realm(world)}, scope="access_as_user orders.read"')


@pytest.mark.parametrize(
    "value",
    [b"Bearer", b"Bearer a b", b"Bearer a,Bearer b", b"Bearer caf\xc3\xa9", b'Bearer {"a":1}', b"Bearer a\tb"],
)
def test_a_malformed_header_400(adapter: Served, world: World, value: bytes) -> None:
    answer = parse_answer(adapter.raw(b"Authorization: " + value))
    check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


def test_a_doubled_header_400_although_each_of_them_would_do(adapter: Served, world: World) -> None:
    line = f"Authorization: Bearer {world.token()}".encode()
    for second in (line, line.replace(b"Authorization", b"authorization")):
        answer = parse_answer(adapter.raw(line, second))
        check_problem(answer, 400, MALFORMED, challenge=f'{realm(world)}, error="invalid_request"')


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


def test_a_scope_that_the_route_needs_is_missing_403(adapter: Served, world: World) -> None:
    challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
    check_problem(adapter.get("/scope", world.token()), 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
    granted = world.token(scopes=["access_as_user", "orders.read"])
    assert adapter.get("/scope", granted).json()["scopes"] == ["access_as_user", "orders.read"]


def test_a_scope_that_every_route_needs_is_missing_403(kind: str, start: Start, world: World) -> None:
    served = start(kind, required_scopes=["orders.read"])
    challenge = f'{realm(world)}, error="insufficient_scope", scope="orders.read"'
    token = world.token()
    for _ in range(2):  # seen for the first time, and remembered as valid
        check_problem(served.get("/whoami", token), 403, NO_SCOPE | {"scope": "orders.read"}, challenge=challenge)
    assert served.get("/whoami", world.token(scopes=["orders.read"])).status_code == 200


def test_an_application_without_a_user_403_and_nothing_is_exchanged(adapter: Served, world: World) -> None:
    response = adapter.get("/me", world.entra.app_token(roles=["Tasks.Run"]))
    check_problem(response, 403, NO_SCOPE, challenge=f'{realm(world)}, error="insufficient_scope"')
    assert world.entra.token_requests == []


def test_consent_missing_403_with_the_scopes_and_a_link(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_consent(name, world.entra.api, ["Mail.Read"])
    response = adapter.get("/me", world.token(name))
    body = response.json()
    link = urllib.parse.urlsplit(body.pop("consent_uri"))
    expected = {"title": "Consent is needed to call another API for this user", "scope": "User.Read Mail.Read"}
    assert body == NO_SCOPE | expected
    assert response.headers["www-authenticate"] == (
        f'{realm(world)}, error="insufficient_scope", scope="User.Read Mail.Read"'
    )
    query = dict(urllib.parse.parse_qsl(link.query))
    assert f"{link.scheme}://{link.netloc}" == world.entra.authority
    assert (query["client_id"], query["scope"], query["prompt"]) == (
        world.client_id,
        "User.Read Mail.Read",
        "consent",
    )


def test_the_provider_asks_for_mfa(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    able = adapter.get("/me", world.token(name, xms_cc=["cp1"]))
    claims = claims_in(able.headers["www-authenticate"])
    assert "capolids" in json.dumps(claims)
    body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
    check_problem(able, 401, body, challenge=claims_challenge(world, claims))
    world.entra.forgive_mfa(name)


def test_the_provider_asks_for_mfa_of_a_client_that_cannot_answer(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    check_problem(adapter.get("/me", world.token(name)), 403, {"title": MORE_IS_NEEDED, "status": 403})
    world.entra.forgive_mfa(name)


def test_a_user_who_did_what_was_asked_gets_in(adapter: Served, world: World) -> None:
    name = world.newcomer()
    world.entra.require_mfa(name)
    assert adapter.get("/me", world.token(name, xms_cc=["cp1"])).status_code == 401
    assert adapter.get("/me", world.token(name, xms_cc=["cp1"], amr=["pwd", "mfa"])).status_code == 200
    world.entra.forgive_mfa(name)


@pytest.mark.parametrize("able", [True, False])
def test_the_downstream_api_asks_for_what_the_provider_does_not_give(adapter: Served, world: World, able: bool) -> None:
    name = world.newcomer()
    world.graph.challenge(name)
    response = adapter.get("/me", world.token(name, xms_cc=["cp1"] if able else None))
    if able:
        body = {"title": MORE_IS_NEEDED, "status": 401, "error": "insufficient_claims"}
        claims = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
        check_problem(response, 401, body, challenge=claims_challenge(world, claims, spaced=True))
    else:
        check_problem(response, 403, {"title": MORE_IS_NEEDED, "status": 403})
    assert len(world.graph.requests) == 1


def test_a_session_that_ended_at_the_provider_401_invalid_token(adapter: Served, world: World) -> None:
    name = world.newcomer()
    token = world.token(name)
    world.entra.revoke(name, end_session=True)
    check_problem(adapter.get("/me", token), 401, INVALID, challenge=invalid(world))


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


def test_a_provider_that_does_not_answer_503(adapter: Served, world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.entra.drop_connections()
    check_problem(adapter.get("/me", world.token()), 503, DOWN, retry_after="5")
    assert len(world.entra.token_requests) == 4
    assert "the token endpoint did not answer" in caplog.text


def test_a_provider_that_throttles_503_with_its_own_retry_after(adapter: Served, world: World) -> None:
    world.entra.throttle(retry_after=17)
    token = world.token()
    check_problem(adapter.get("/me", token), 503, DOWN, retry_after="17")
    world.clock.advance(7)
    check_problem(adapter.get("/me", token), 503, DOWN, retry_after="10")
    assert len(world.entra.token_requests) == 1


def test_a_provider_out_of_order_503(adapter: Served, world: World) -> None:
    world.entra.outage(status=500)
    check_problem(adapter.get("/me", world.token()), 503, DOWN, retry_after="5")


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"token_type":"Bearer","expires_in":3600}', b'{"access_token":"a","token_type":"pop"}']
)
def test_an_answer_of_the_provider_that_is_none_502(adapter: Served, world: World, body: bytes) -> None:
    world.entra.answer_once(body=body)
    token = world.token()
    check_problem(adapter.get("/me", token), 502, UNUSABLE)
    assert adapter.get("/me", token).status_code == 200


def test_a_wrong_secret_500_and_only_the_log_says_what_to_fix(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    registered = world.entra.api
    world.entra.update_app(registered, secrets=())
    world.entra.add_secret(registered, "another-secret")
    try:
        check_problem(adapter.get("/me", world.token()), 500, OURS)
    finally:
        world.entra.update_app(registered, secrets=registered.secrets)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any("AADSTS7000215" in text and world.client_id in text for text in errors)
    assert len(world.entra.token_requests) == 1


def test_an_api_that_is_not_declared_500_and_the_log_names_the_fix(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(adapter.get("/nowhere", world.token()), 500, OURS)
    assert "downstream_apis has no API 'nowhere', it has graph: correct the name or add it." in caplog.text


def test_a_request_to_a_foreign_origin_is_not_sent_500(
    adapter: Served, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(adapter.get("/elsewhere", world.token()), 500, OURS)
    assert "its token is for" in caplog.text
    assert world.entra.token_requests == []
