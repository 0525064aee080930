"""The OIDC exchange of Azure Pipelines by hand: the request, and what each answer means."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, CredentialUnavailableError, ProviderUnavailableError, UnusableAnswerError
from credentials import _token_endpoint as token_endpoint
from credentials._azure_pipelines import PipelinesAssertion, oidc_request, process_oidc_response
from credentials._client_authentication import TokenRequestFacts
from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import Flow, HttpResponse, SendRequest, Sleep
from tests.credentials.helpers import NOW, answer, play

URI = "https://dev.azure.com/contoso/1/_apis/distributedtask/hubs/build/plans/2/jobs/3/oidctoken"
TOKEN = "canary-of-a-job's-token"
FACTS = TokenRequestFacts(client_id="c", tenant_id="t", token_endpoint="https://login.example/t", now=NOW)


@pytest.fixture
def uri(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what sets the variable of the agent."""
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", URI)
    return lambda value: monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", value)


def flow(organization_url: str = "") -> Flow[dict[str, str]]:
    proof = PipelinesAssertion(
        service_connection_id="a/b c", system_access_token=TOKEN, organization_url=organization_url
    )
    return proof.authenticate_flow(FACTS)


def process(response: HttpResponse) -> str:
    return process_oidc_response(response, now=NOW, system_access_token=TOKEN)


def page(status: int, body: bytes = b"<html>Sign in</html>", headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status=status, headers=headers or {}, body=body)


# The request


def test_the_request_is_as_azure_devops_wants_it() -> None:
    request = oidc_request(URI, "a/b c&d=é", TOKEN)
    assert (request.method, request.body) == ("POST", b"")
    assert request.url == f"{URI}?api-version=7.1&serviceConnectionId=a%2Fb%20c%26d%3D%C3%A9"
    assert {name: value for name, value in request.headers.items() if name != "User-Agent"} == {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "X-TFS-FedAuthRedirect": "Suppress",
    }
    assert TOKEN not in repr(request)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        (f"{URI}/", f"{URI}?"),
        (f"{URI}?audience=x%20y", f"{URI}?audience=x%20y&"),
        (f"{URI}?", f"{URI}?"),
        (f"{URI}?API-version=6.0&serviceConnectionId=other&a&&b=", f"{URI}?a&b=&"),
        (f"{URI}#part", f"{URI}?"),
    ],
)
def test_a_query_is_kept_and_ours_stands_once(uri: str, url: str) -> None:
    assert oidc_request(uri, "id", TOKEN).url == f"{url}api-version=7.1&serviceConnectionId=id"


@pytest.mark.peer_defect(23)
@given(st.text(min_size=1, max_size=20))
def test_any_id_stays_one_value(text: str) -> None:
    query = urllib.parse.urlsplit(oidc_request(f"{URI}?x=1", text, TOKEN).url).query
    assert urllib.parse.parse_qs(query) == {"x": ["1"], "api-version": ["7.1"], "serviceConnectionId": [text]}


def test_the_assertion_becomes_form_fields(uri: Callable[[str], None]) -> None:
    uri(URI)
    played = play(flow(), answer(oidcToken="the-assertion"))
    assert played.result == {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "the-assertion",
    }
    assert played.effects == [SendRequest(oidc_request(URI, "a/b c", TOKEN))]


def test_a_failing_server_is_asked_again(uri: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    uri(URI)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0, 0.5))
    played = play(flow(), page(500), None, TransportError("Timeout"), None, answer(oidcToken="late"))
    assert played.result["client_assertion"] == "late"
    assert [effect for effect in played.effects if isinstance(effect, Sleep)] == [Sleep(0.0), Sleep(0.5)]


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (TransportError("ConnectError"), ProviderUnavailableError, "OIDC endpoint of Azure Pipelines did not answer"),
        (AnswerTooLargeError("large"), UnusableAnswerError, "OIDC endpoint of Azure Pipelines's answer is too large"),
    ],
)
def test_no_answer_is_told(
    uri: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[Exception], text: str
) -> None:
    uri(URI)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())
    played = play(flow(), failure)
    assert type(played.error) is kind
    assert text in str(played.error)


# Where the job's token may go


@pytest.mark.parametrize("value", [None, ""])
def test_outside_a_job_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("SYSTEM_OIDCREQUESTURI", raising=False)
    if value is not None:
        monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", value)
    played = play(flow())
    assert isinstance(played.error, CredentialUnavailableError)
    assert str(played.error).startswith("Missing value for the SYSTEM_OIDCREQUESTURI environment variable")
    assert played.effects == []


@pytest.mark.parametrize(
    "value",
    [
        "http://dev.azure.com/x",
        "http://localhost.evil.example/x",
        "ftp://127.0.0.1/x",
        "//dev.azure.com/x",
        "dev.azure.com/x",
        "https:///x",
        "https://user@dev.azure.com/x",
        "https://user:word@dev.azure.com/x",
        "https://@dev.azure.com/x",
        "https://dev.azure.com:port/x",
        "https://dev.azure.com:99999/x",
        "https://[dev/x",
        "https://dev.azure.com/x y",
        "https://dev.azure.com/é",
        " https://dev.azure.com/x",
        "https://dev.azure.com/x\r\nX-Evil: 1",
    ],
)
def test_the_jobs_token_goes_over_tls_to_a_plain_address_only(uri: Callable[[str], None], value: str) -> None:
    uri(value)
    played = play(flow())
    assert isinstance(played.error, CredentialUnavailableError)
    assert "SYSTEM_OIDCREQUESTURI" in str(played.error)
    assert played.effects == []
    with pytest.raises(ValueError, match="organization_url"):
        flow(value)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:1"])
def test_plain_http_goes_to_this_machine(uri: Callable[[str], None], host: str) -> None:
    uri(f"http://{host}/x")
    assert play(flow(), answer(oidcToken="a")).result


@pytest.mark.parametrize(
    "organization", ["https://dev.azure.com/contoso", "https://DEV.azure.com", "https://dev.azure.com:443/?x"]
)
def test_the_organizations_host_may_get_it(uri: Callable[[str], None], organization: str) -> None:
    uri(URI)
    assert play(flow(organization), answer(oidcToken="a")).result


@pytest.mark.parametrize(
    "organization",
    [
        "https://dev.azure.com.evil.example",
        "https://azure.com",
        "https://contoso.visualstudio.com",
        "https://dev.azure.com:444",
        "http://127.0.0.1:443",
    ],
)
def test_another_host_than_the_organizations_gets_nothing(uri: Callable[[str], None], organization: str) -> None:
    uri(URI)
    played = play(flow(organization))
    assert type(played.error) is AuthenticationError
    assert "dev.azure.com:443" in str(played.error)
    assert str(urllib.parse.urlsplit(organization).hostname) in str(played.error)
    assert played.effects == []


# The answer


@pytest.mark.parametrize("status", [203, 302, 401])
def test_a_bad_system_token_is_told_what_to_check(status: int) -> None:
    with pytest.raises(AuthenticationError, match=f"HTTP status {status}.*SYSTEM_ACCESSTOKEN is mapped") as caught:
        process(page(status))
    assert (type(caught.value), caught.value.status_code) == (AuthenticationError, status)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, AuthenticationError),
        (400, AuthenticationError),
        (403, AuthenticationError),
        (404, AuthenticationError),
        (429, ProviderUnavailableError),
        (500, ProviderUnavailableError),
        (503, ProviderUnavailableError),
    ],
)
def test_a_refusal_has_the_status_and_a_short_text(status: int, kind: type[AuthenticationError]) -> None:
    body = json.dumps({"message": "The service\nconnection is not there. " + "x" * 1000}).encode()
    with pytest.raises(AuthenticationError, match=r"The service.*connection is not there") as caught:
        process(page(status, body, {"retry-after": "7"}))
    assert (type(caught.value), caught.value.status_code, caught.value.retry_after) == (kind, status, 7)
    assert f"HTTP status {status}" in str(caught.value)
    assert "SYSTEM_ACCESSTOKEN" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_refusal_repeats_no_token() -> None:
    body = f"{TOKEN} eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.signature".encode()
    with pytest.raises(AuthenticationError) as caught:
        process(page(400, body))
    assert "<secret> <token>" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"<html>", "not a JSON object.*SYSTEM_ACCESSTOKEN"),
        (b"", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (b'["x"]', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "not found"),
        (b'{"oidcToken":null}', "not found"),
        (b'{"oidcToken":""}', "not found"),
        (b'{"oidcToken":5}', "not found"),
        (b'{"oidcToken":"a b"}', "not found"),
        (b'{"oidcToken":"a\\r\\nb"}', "not found"),
        (b'{"OidcToken":"a"}', "not found"),
    ],
)
def test_an_answer_without_a_usable_token_is_told(body: bytes, problem: str) -> None:
    with pytest.raises(UnusableAnswerError, match=problem) as caught:
        process(page(200, body))
    assert caught.value.status_code == 200


@given(st.integers(100, 999), st.binary(max_size=60) | st.text(max_size=60).map(os.fsencode))
def test_garbage_is_an_authentication_error(status: int, body: bytes) -> None:
    with pytest.raises(AuthenticationError):
        process(page(status, body))


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_any_json_is_a_token_or_an_authentication_error(value: Any) -> None:
    try:
        assert process(answer(oidcToken=value)) == value
    except AuthenticationError:
        assert not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value or not value


# Construction


@pytest.mark.parametrize("name", ["service_connection_id", "system_access_token"])
@pytest.mark.parametrize("value", ["", " ", "\ud800", "a\nb", None, 5])
def test_an_empty_value_is_refused(name: str, value: Any) -> None:
    usual: dict[str, Any] = {"service_connection_id": "id", "system_access_token": "token"}
    with pytest.raises(ValueError, match=name):
        PipelinesAssertion(**(usual | {name: value}))


def test_a_token_that_no_header_may_have_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="system_access_token") as caught:
        PipelinesAssertion(service_connection_id="id", system_access_token="canary\r\nX-Evil: 1")
    assert "canary" not in str(caught.value)
