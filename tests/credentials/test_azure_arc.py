"""AzureArc: what it asks the agent, how it proves itself, and whose answers it believes."""

from __future__ import annotations

import traceback
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, ClientAuthenticationError, CredentialUnavailableError
from credentials._azure_arc import AzureArc, arc_request, process_arc_response, process_challenge_response
from credentials._errors import TransportError
from credentials._flow import HttpResponse, SendRequest
from credentials._managed_identity_answer import Identity
from tests.credentials.arc_agent import ENDPOINT, KEY, RESOURCE, asked, challenge, key_file, requests, wanted
from tests.credentials.helpers import NOW, answer, token_answer

PATH = "/var/opt/azcmagent/tokens/0a1b.key"
CLIENT_ID = "3F2504E0-4f89-11d3-9a0c-0305e82c3301"
IDENTIFIERS = [
    ({"client_id": CLIENT_ID}, "client_id"),
    ({"object_id": CLIENT_ID}, "object_id"),
    ({"resource_id": "/subscriptions/1/Identity"}, "msi_res_id"),
]


def judged(**members: Any) -> str:
    identity = Identity(client_id=CLIENT_ID)
    return process_arc_response(token_answer(**members), identity=identity, now=NOW, key=KEY).token


# Requests


def test_the_first_request_asks_for_the_resource_without_a_proof(tmp_path: Path) -> None:
    first, _ = requests(asked(tmp_path, challenge(key_file(tmp_path)), token_answer()))
    assert (first.method, first.body) == ("GET", b"")
    address = ENDPOINT.replace("localhost", "127.0.0.1")
    assert first.url == f"{address}?api-version=2020-06-01&resource=https%3A%2F%2Fvault.azure.net"
    assert first.headers["Metadata"] == "true"
    assert "Authorization" not in first.headers


def test_the_second_request_is_the_first_with_the_content_of_the_key_file(tmp_path: Path) -> None:
    played = asked(tmp_path, challenge(key_file(tmp_path)), token_answer("arc-token"))
    first, second = requests(played)
    assert second.url == first.url
    assert second.headers == {**first.headers, "Authorization": f"Basic {KEY}"}
    assert played.result.token == "arc-token"


@pytest.mark.parametrize(("identity", "name"), IDENTIFIERS)
def test_an_identity_is_named_in_both_requests(tmp_path: Path, identity: dict[str, str], name: str) -> None:
    (value,) = identity.values()
    played = asked(tmp_path, challenge(key_file(tmp_path)), token_answer(**{name: value}), **identity)
    assert played.result.token
    expected = {"api-version": ["2020-06-01"], "resource": [RESOURCE], name: [value]}
    assert [urllib.parse.parse_qs(urllib.parse.urlsplit(r.url).query) for r in requests(played)] == [expected] * 2


def test_no_repr_shows_the_key(tmp_path: Path) -> None:
    request = arc_request(ENDPOINT, wanted(), KEY)
    assert KEY not in repr(request) + repr(SendRequest(request)) + repr(AzureArc(ENDPOINT))


# Where it asks


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_the_agent_is_asked_on_this_machine(tmp_path: Path, host: str) -> None:
    answers = challenge(key_file(tmp_path)), token_answer()
    assert asked(tmp_path, *answers, endpoint=f"http://{host}:1/token").result.token


@pytest.mark.parametrize("host", ["localhost:40342", "LocalHost:40342"])
def test_a_name_that_may_mean_another_address_of_this_machine_is_not_used(tmp_path: Path, host: str) -> None:
    played = asked(tmp_path, challenge(key_file(tmp_path)), token_answer(), endpoint=f"http://{host}/token")
    assert {request.url.split("?")[0] for request in requests(played)} == {"http://127.0.0.1:40342/token"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "http://10.0.0.1/",
        "http://127.0.0.1@evil.example/",
        "",
        "localhost",
        "ftp://localhost/",
        "http://",
        "http://localhost:x/",
    ],
)
def test_nobody_else_is_asked(tmp_path: Path, endpoint: str) -> None:
    played = asked(tmp_path, endpoint=endpoint)
    assert not played.effects
    with pytest.raises(CredentialUnavailableError, match="IDENTITY_ENDPOINT"):
        assert played.result


def test_without_an_answer_there_is_no_agent(tmp_path: Path) -> None:
    played = asked(tmp_path, *[TransportError("ConnectError"), None] * 3, TransportError("ConnectError"))
    with pytest.raises(CredentialUnavailableError, match="no response from the Azure Arc endpoint"):
        assert played.result


# The challenge


@pytest.mark.parametrize(
    "header",
    [f"Basic realm={PATH}", f"basic REALM={PATH}", f'BASIC realm="{PATH}"', f" Basic  realm = {PATH} "],
)
def test_the_challenge_names_the_key_file(header: str) -> None:
    response = HttpResponse(status=401, headers={"www-authenticate": header}, body=b"")
    assert process_challenge_response(response, now=NOW) == PATH


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("", "absent or not of the scheme Basic"),
        ("Bearer realm=" + PATH, "absent or not of the scheme Basic"),
        ("Basicrealm=" + PATH, "absent or not of the scheme Basic"),
        ("Basic", "not of the form"),
        ("Basic " + PATH, "not of the form"),
        ("Basic realms=" + PATH, "not of the form"),
        (f'Basic realm="{PATH}', "not of the form"),
        (f'Basic realm={PATH}"', "not of the form"),
        (f'Basic realm={PATH}, charset="UTF-8"', "not of the form"),
        (f"Basic realm={PATH}, Basic realm={PATH}", "not of the form"),
    ],
)
def test_any_other_challenge_is_refused(header: str, problem: str) -> None:
    response = HttpResponse(status=401, headers={"www-authenticate": header} if header else {}, body=b"")
    with pytest.raises(AuthenticationError, match=problem) as caught:
        process_challenge_response(response, now=NOW)
    assert "WWW-Authenticate" in str(caught.value)
    assert caught.value.status_code == 401


def test_a_token_without_a_challenge_is_not_the_agents(tmp_path: Path) -> None:
    with pytest.raises(CredentialUnavailableError, match="without a challenge"):
        assert asked(tmp_path, token_answer()).result


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_refusal_instead_of_a_challenge_is_told(tmp_path: Path, status: int) -> None:
    refusal = answer(status, error="invalid_resource", error_description="no such resource")
    with pytest.raises(AuthenticationError, match="no such resource") as caught:
        assert asked(tmp_path, refusal).result
    assert (caught.value.status_code, caught.value.error) == (status, "invalid_resource")


@pytest.mark.parametrize("status", [302, 404])
def test_a_web_page_instead_of_a_challenge_means_that_there_is_no_agent(tmp_path: Path, status: int) -> None:
    with pytest.raises(CredentialUnavailableError, match="not a JSON object"):
        assert asked(tmp_path, HttpResponse(status=status, headers={}, body=b"<html>")).result


def test_a_second_challenge_is_a_refusal(tmp_path: Path) -> None:
    again = HttpResponse(status=401, headers=challenge(key_file(tmp_path)).headers, body=b'{"error":"unauthorized"}')
    played = asked(tmp_path, again, again)
    assert len(requests(played)) == 2
    with pytest.raises(AuthenticationError, match="unauthorized"):
        assert played.result


@given(st.text(max_size=60))
def test_no_challenge_whatever_it_says_makes_another_error(header: str) -> None:
    response = HttpResponse(status=401, headers={"www-authenticate": header}, body=b"")
    try:
        process_challenge_response(response, now=NOW)
    except AuthenticationError as error:
        assert "WWW-Authenticate" in str(error)  # noqa: PT017  # most texts raise, some do not


# The answer


@pytest.mark.parametrize(("identity", "name"), IDENTIFIERS)
def test_an_answer_confirms_the_identity_in_any_case(tmp_path: Path, identity: dict[str, str], name: str) -> None:
    (value,) = identity.values()
    confirmed = token_answer(**{name: value.swapcase()})
    assert asked(tmp_path, challenge(key_file(tmp_path)), confirmed, **identity).result.token


def test_a_resource_is_confirmed_under_either_of_its_names(tmp_path: Path) -> None:
    confirmed = token_answer(mi_res_id="/SUBSCRIPTIONS/1")
    assert asked(tmp_path, challenge(key_file(tmp_path)), confirmed, resource_id="/subscriptions/1").result.token


@pytest.mark.parametrize(("identity", "name"), IDENTIFIERS)
def test_an_answer_that_confirms_nothing_is_refused(tmp_path: Path, identity: dict[str, str], name: str) -> None:
    with pytest.raises(AuthenticationError, match=f"did not confirm the {name}"):
        assert asked(tmp_path, challenge(key_file(tmp_path)), token_answer(), **identity).result


@pytest.mark.parametrize("told", [CLIENT_ID[:-1] + "2", "", None, 7, [CLIENT_ID]])
def test_an_answer_for_another_identity_is_refused(told: object) -> None:
    assert judged(client_id=CLIENT_ID)
    with pytest.raises(AuthenticationError, match="did not confirm"):
        judged(client_id=told)


def test_an_identity_is_not_confirmed_under_the_name_of_another_kind() -> None:
    with pytest.raises(AuthenticationError, match="did not confirm"):
        judged(object_id=CLIENT_ID)


def test_two_names_that_contradict_each_other_confirm_nothing() -> None:
    identity = Identity(resource_id="/one")
    told = token_answer(msi_res_id="/one", mi_res_id="/two")
    with pytest.raises(AuthenticationError, match="did not confirm"):
        process_arc_response(told, identity=identity, now=NOW, key=KEY)


@given(st.binary(max_size=80), st.sampled_from([200, 204, 302, 401, 404, 500]))
def test_no_answer_whatever_it_is_makes_another_error(body: bytes, status: int) -> None:
    response = HttpResponse(status=status, headers={}, body=body)
    with pytest.raises(ClientAuthenticationError):
        process_arc_response(response, identity=Identity(), now=NOW, key=KEY)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_no_error_shows_the_key(tmp_path: Path, status: int) -> None:
    echo = answer(status, error={"code": KEY, "message": f"the key was {KEY}"}, correlation_id=KEY)
    answers = [echo, *([None, echo] * 3 if status == 500 else [])]
    played = asked(tmp_path, challenge(key_file(tmp_path)), *answers)
    assert isinstance(played.error, AuthenticationError)
    shown = "".join(traceback.format_exception(played.error))
    assert KEY not in shown + repr(played.error) + repr(vars(played.error))
