"""What all sources of a managed identity have in common: URLs, identifiers, attempts, tokens and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import (
    AccessTokenInfo,
    AuthenticationError,
    CredentialUnavailableError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import HttpRequest, HttpResponse, Sleep
from credentials._managed_identity_answer import (
    Identity,
    IdentityQuery,
    ask_flow,
    endpoint_url,
    identity_request,
    process_identity_response,
)
from tests.credentials.helpers import NOW, answer, play
from tests.credentials.identities import RESOURCE, parameters, sent

GET = HttpRequest(method="GET", url="http://localhost/token")


def process(response: HttpResponse, secret: str = "") -> AccessTokenInfo:
    return process_identity_response(response, source="Test", now=NOW, secret=secret)


# What is asked


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/token",
        "https://10.0.0.1:8080/msi/token?x=1",
        "http://[::1]:42/token",
        "http://name_with_underscore:1/",
    ],
)
def test_a_usable_endpoint_is_taken_as_it_is(url: str) -> None:
    assert endpoint_url("MSI_ENDPOINT", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "localhost/token",
        "//localhost/token",
        "ftp://localhost/token",
        "file:///etc/passwd",
        "http://",
        "http:///token",
        "http://:80/token",
        "http://user:hush@localhost/token",
        "http://localhost:99999/token",
        "http://localhost:port/token",
        "http://[::1/token",
        "http://[v1.x]y/token",
        "http://localhost/token#part",
        "http://localhost/token#",
        "http://localhost/a token",
        "http://localhost/tok\nen",
        "http://loc\\alhost/token",
        "http://lócalhost/token",
        "http://localhost/tökén",
        "http://localhost/\udcff",
        " http://localhost/token",
        "",
    ],
)
def test_an_unusable_endpoint_is_told_by_the_name_of_its_variable_only(url: str) -> None:
    with pytest.raises(CredentialUnavailableError, match="MSI_ENDPOINT must be the http or https URL") as caught:
        endpoint_url("MSI_ENDPOINT", url)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_endpoint_may_have_to_be_https() -> None:
    assert endpoint_url("X", "https://localhost", schemes=("https",)) == "https://localhost"
    with pytest.raises(CredentialUnavailableError, match="X must be the https URL"):
        endpoint_url("X", "http://localhost", schemes=("https",))


@given(st.text() | st.text(st.characters(codec="ascii")).map("http://".__add__))
def test_any_endpoint_is_usable_or_unavailable(text: str) -> None:
    try:
        assert endpoint_url("X", text) == text
    except CredentialUnavailableError as error:
        assert "X must be" in str(error)  # noqa: PT017  # either outcome is right


def test_an_identifier_stands_under_each_endpoints_own_name() -> None:
    assert Identity().parameters() == {}
    assert Identity(client_id="c").parameters() == {"client_id": "c"}
    assert Identity(object_id="o").parameters() == {"object_id": "o"}
    assert Identity(resource_id="r").parameters() == {"mi_res_id": "r"}
    named = [Identity(client_id="c"), Identity(object_id="o"), Identity(resource_id="r")]
    found = [each.parameters(client_id="x", object_id="y", resource_id="z") for each in named]
    assert found == [{"x": "c"}, {"y": "o"}, {"z": "r"}]


def test_parameters_are_encoded_and_added_to_those_of_the_endpoint() -> None:
    request = identity_request("http://localhost/token?a=1", {"resource": "api://x&y=z é"}, {"Metadata": "true"})
    assert parameters(request.url) == {"a": "1", "resource": "api://x&y=z é"}
    assert (request.method, request.body, request.timeout, request.connect_timeout) == ("GET", b"", 10.0, 2.0)
    assert set(request.headers) == {"User-Agent", "Metadata"}


def test_a_query_does_not_show_the_refused_token() -> None:
    shown = repr(IdentityQuery(resource=RESOURCE, identity=Identity(), now=NOW, refused="hush"))
    assert "hush" not in shown


# Attempts


def test_a_failing_endpoint_is_asked_four_times() -> None:
    played = play(ask_flow(GET, "Test"), *[answer(500), None] * 3, answer(503))
    assert played.result.status == 503
    assert [effect.seconds for effect in played.effects if isinstance(effect, Sleep)] == [0.0, 0.3, 0.9]
    assert sent(played) == [GET] * 4


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 410, 429])
def test_an_answer_that_no_other_attempt_would_change_is_the_last(status: int) -> None:
    assert play(ask_flow(GET, "Test"), answer(status)).result.status == status


def test_an_endpoint_that_says_when_to_come_back_is_left_alone() -> None:
    assert play(ask_flow(GET, "Test"), answer(503, {"retry-after": "7"})).result.status == 503


def test_no_answer_means_that_there_is_no_endpoint() -> None:
    played = play(ask_flow(GET, "Test"), *[TransportError("ConnectError"), None] * 3, TransportError("ReadTimeout"))
    with pytest.raises(CredentialUnavailableError, match=r"Test managed identity: no response from .*: ReadTimeout"):
        assert played.result.status
    assert sent(played) == [GET] * 4


def test_an_answer_that_is_too_large_is_not_asked_for_again() -> None:
    played = play(ask_flow(GET, "Test"), AnswerTooLargeError("the answer is too large"))
    with pytest.raises(UnusableAnswerError, match="Test managed identity: the answer is too large"):
        assert played.result.status


# Tokens


@pytest.mark.parametrize(
    ("expires_on", "end"),
    [
        (int(NOW) + 600, int(NOW) + 600),
        (str(int(NOW) + 600), int(NOW) + 600),
        ("01/15/2027 20:00:00 +00:00", 1_800_043_200),
        ("1/15/2027 8:00:00 PM +00:00", 1_800_043_200),
        ("01/15/2027 12:00:00 PM +00:00", 1_800_014_400),
        ("1/16/2027 12:00:00 AM +00:00", 1_800_057_600),
        ("1/15/2027 11:59:59 AM +00:00", 1_800_014_399),
    ],
)
def test_the_end_of_a_token_is_told_in_seconds_or_as_a_date(expires_on: object, end: int) -> None:
    info = process(answer(access_token="identity-token", expires_on=expires_on))
    assert (info.token, info.expires_on, info.token_type) == ("identity-token", end, "Bearer")
    assert isinstance(info.expires_on, int)


@pytest.mark.parametrize(
    "expires_on",
    [
        "13/45/2027 20:00:00 +00:00",
        "01/15/2027 20:00:00 +02:00",
        "1/15/0000 8:00:00 PM +00:00",
        "soon",
        None,
        [],
        "\u0661",
    ],
)
def test_a_token_without_a_plausible_end_counts_as_ending_now(expires_on: object) -> None:
    assert process(answer(access_token="identity-token", expires_on=expires_on)).expires_on == int(NOW)


def test_a_life_is_as_good_as_an_end_and_the_content_type_says_nothing() -> None:
    response = answer(200, {"content-type": "text/plain"}, access_token="identity-token", expires_in="7200")
    info = process(response)
    assert (info.expires_on, info.refresh_on) == (int(NOW) + 7200, int(NOW) + 3600)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({}, "no usable access_token"),
        ({"access_token": "hush"}, "does not say when"),
        ({"access_token": "", "expires_on": 1}, "no usable access_token"),
        ({"access_token": ["hush"], "expires_on": 1}, "no usable access_token"),
        ({"access_token": "hush hush", "expires_on": 1}, "no usable access_token"),
        ({"access_token": "hush", "token_type": "pop", "expires_on": 1}, "token_type"),
    ],
)
def test_an_answer_that_is_no_token_is_unusable_and_not_shown(members: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnusableAnswerError, match=f"Test managed identity: the answer .*{problem}") as caught:
        process(answer(**members))
    assert caught.value.status_code == 200
    assert "hush" not in str(caught.value)


# Refusals


@pytest.mark.peer_defect(11)
@pytest.mark.parametrize("status", [302, *range(401, 600)])
def test_a_refusal_has_its_status_and_says_what_the_endpoint_said(status: int) -> None:
    with pytest.raises(AuthenticationError, match=r"Test managed identity: HTTP status .*no such luck") as caught:
        process(answer(status, error="denied", error_description="no such luck"))
    error = caught.value
    assert (error.status_code, error.error, error.error_description) == (status, "denied", "no such luck")
    assert isinstance(error, ProviderUnavailableError) == (status == 429 or status >= 500)


def test_a_provider_that_throttles_says_for_how_long() -> None:
    with pytest.raises(ProviderUnavailableError) as caught:
        process(answer(429, {"retry-after": "12"}, error="slow down"))
    assert caught.value.retry_after == 12.0


@pytest.mark.parametrize(
    ("members", "error", "description", "correlation_id"),
    [
        ({"statusCode": 400, "message": "bad resource"}, None, "bad resource", ""),
        ({"error": {"code": "Nope", "message": "not you", "correlationId": "c"}}, "Nope", "not you", "c"),
        ({"error": {"code": "Nope"}, "correlationId": "c"}, "Nope", "", "c"),
        ({"error": "denied", "error_description": "no", "correlation_id": "c"}, "denied", "no", "c"),
        ({"code": "Nope", "message": "not you"}, "Nope", "not you", ""),
        ({}, None, "", ""),
        ({"error": 7, "error_description": ["x"], "message": {"y": 1}}, None, "", ""),
    ],
)
def test_each_services_own_names_are_understood(
    members: dict[str, Any], error: str | None, description: str, correlation_id: str
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        process(answer(403, **members))
    found = caught.value
    assert (found.error, found.error_description, found.correlation_id) == (error, description, correlation_id)
    assert all(text in str(found) for text in (error or "", description or "HTTP status 403"))


@pytest.mark.parametrize("body", [b"", b"<html>hush</html>", b"[]", b'"hush"', b'{"a":1,"a":2}', b"\xff", b"{"])
@pytest.mark.parametrize("status", [200, 302, 403, 500])
def test_what_is_no_json_object_comes_from_something_else(body: bytes, status: int) -> None:
    with pytest.raises(CredentialUnavailableError, match=f"HTTP status {status}: not a JSON object") as caught:
        process(HttpResponse(status=status, headers={}, body=body))
    assert "hush" not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.peer_defect(9)
def test_the_secret_and_tokens_are_not_shown_although_the_endpoint_echoes_them() -> None:
    said = {"message": "header-secret is not right, and eyJhbGciOiJub25l.e30.x is no token", "code": "header-secret"}
    with pytest.raises(AuthenticationError, match="<secret> is not right, and <token> is") as caught:
        process(answer(403, error=said, access_token="hush"), secret="header-secret")
    shown = str(caught.value) + repr(caught.value.answer)
    assert not any(text in shown for text in ("header-secret", "eyJ", "hush"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2)
)
NAMES = st.sampled_from(["access_token", "expires_on", "expires_in", "token_type", "refresh_in", "error", "message"])
BODIES = st.binary() | st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES)).map(
    lambda members: json.dumps(members).encode()
)


@given(BODIES, st.sampled_from([200, 302, 400, 403, 500]), st.dictionaries(st.just("retry-after"), st.text()))
def test_any_answer_is_a_token_or_an_error_of_ours(body: bytes, status: int, headers: dict[str, str]) -> None:
    try:
        assert process(HttpResponse(status=status, headers=headers, body=body)).token
    except (AuthenticationError, CredentialUnavailableError) as error:
        assert "Test managed identity" in str(error)  # noqa: PT017  # either outcome is right
