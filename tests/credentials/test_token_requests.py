from __future__ import annotations

import urllib.parse
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AccessTokenInfo, ProviderUnavailableError, UnusableAnswerError
from credentials import _token_endpoint as module
from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import HttpRequest, SendRequest, Sleep
from credentials._token_endpoint import (
    Granted,
    UserAssertion,
    client_credentials_form,
    on_behalf_of_form,
    post_flow,
    secrets_in,
    token_request,
)
from tests.credentials.helpers import Drive, answer, play
from tests.credentials.processing import ALICE
from tests.credentials.servers import Exchange, Loopback, closed_port, loopback
from tests.marks import showing

REQUEST = HttpRequest(method="POST", url="https://login.example/t/oauth2/v2.0/token")


# Requests


def test_the_secrets_of_a_form_are_what_proves_the_application_and_the_user() -> None:
    form = client_credentials_form("app", ["a"])
    assert secrets_in(form) == ()
    for name in ("client_secret", "client_assertion", "assertion"):
        assert secrets_in(form | {name: "hidden"}) == ("hidden",)


def test_the_form_of_client_credentials_is_exactly_this() -> None:
    assert client_credentials_form("app", ["a/.default", "b"]) == {
        "client_id": "app",
        "grant_type": "client_credentials",
        "scope": "a/.default b",
    }


@pytest.mark.peer_defect(19)
def test_the_form_of_an_exchange_is_exactly_this() -> None:
    assert on_behalf_of_form("app", ["a", "b"], ALICE) == {
        "client_id": "app",
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": "user-token",
        "requested_token_use": "on_behalf_of",
        "scope": "a b",
        "client_info": "1",
    }


def test_a_request_is_a_form_with_the_id_of_the_request() -> None:
    request = token_request("https://login.example/token", {"a": "x&y=z", "scope": "s t", "ä": "ö"}, "the-id")
    assert (request.method, request.url) == ("POST", "https://login.example/token")
    assert dict(urllib.parse.parse_qsl(request.body.decode())) == {"a": "x&y=z", "scope": "s t", "ä": "ö"}
    headers = dict(request.headers)
    assert headers.pop("User-Agent").startswith("obo-middleware/")
    assert headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "client-request-id": "the-id",
        "x-ms-client-request-id": "the-id",
    }


@pytest.mark.attack(155)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=4))
def test_no_value_can_add_a_field(form: dict[str, str]) -> None:
    body = token_request("https://login.example/token", form, "id").body.decode("ascii")
    assert dict(urllib.parse.parse_qsl(body, keep_blank_values=True)) == form


# Attempts


def test_an_answer_below_500_is_the_answer() -> None:
    for status in (200, 302, 400, 401, 429):
        response = answer(status)
        played = play(post_flow(REQUEST), response)
        assert (played.result, played.effects) == (response, [SendRequest(REQUEST)])


def test_server_errors_are_asked_again_three_times_and_the_last_is_the_answer() -> None:
    last = answer(500, which="last")
    played = play(post_flow(REQUEST), answer(503), None, answer(502), None, answer(504), None, last)
    assert played.result is last
    ask = SendRequest(REQUEST)
    assert played.effects == [ask, Sleep(0.0), ask, Sleep(0.3), ask, Sleep(0.9), ask]


def test_a_second_attempt_may_succeed() -> None:
    assert play(post_flow(REQUEST), TransportError("ConnectError"), None, answer(200)).result.status == 200
    assert play(post_flow(REQUEST), answer(500), None, answer(200)).result.status == 200


@pytest.mark.attack(148)
def test_four_attempts_without_an_answer_are_an_unavailable_provider() -> None:
    lost = [TransportError("ConnectError"), None, TransportError("ReadError"), None]
    lost += [TransportError("ReadError"), None, TransportError("Timeout")]
    played = play(post_flow(REQUEST), *lost)
    assert isinstance(played.error, ProviderUnavailableError)
    assert str(played.error).endswith("did not answer: Timeout")
    assert played.error.__cause__ is lost[-1]
    assert len(played.effects) == 7


def test_an_answer_that_says_when_to_come_back_is_not_asked_again() -> None:
    response = answer(503, {"retry-after": "1"})
    assert play(post_flow(REQUEST), response).result is response


@pytest.mark.attack(141)
def test_an_answer_that_is_too_large_is_unusable_and_not_asked_for_again() -> None:
    played = play(post_flow(REQUEST), AnswerTooLargeError("the answer is too large"))
    assert isinstance(played.error, UnusableAnswerError)
    assert len(played.effects) == 1


# Attempts over a wire


def trouble(exchange: Exchange) -> None:
    match exchange.path:
        case "/bad":
            exchange.reply(400, b'{"error":"invalid_grant"}')
        case "/wait":
            exchange.reply(503, Retry_After="9")
        case "/large":
            exchange.reply(200, b"x" * 5_000_000)
        case "/redirect":
            exchange.reply(307, Location=exchange.server.url + "/elsewhere")
        case "/cut":
            exchange.close_connection = True
        case _:
            exchange.reply(500)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback(trouble) as running:
        yield running


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.0, 0.0, 0.01))


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize(
    ("path", "status", "requests"),
    [("/bad", 400, 1), ("/wait", 503, 1), *showing(143, ("/redirect", 307, 1)), ("/down", 500, 4)],
)
def test_a_provider_is_asked_so_often(drive: Drive, server: Loopback, path: str, status: int, requests: int) -> None:
    server.asked.clear()
    request = token_request(server.url + path, {"client_secret": "s"}, "same id")
    assert drive(post_flow(request)).status == status
    assert [asked.path for asked in server.asked] == [path] * requests
    assert {asked.headers["client-request-id"] for asked in server.asked} == {"same id"}


@pytest.mark.attack(148)
def test_a_cut_connection_is_tried_four_times(drive: Drive, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.0, 0.0, 0.01))
    server.asked.clear()
    with pytest.raises(ProviderUnavailableError):
        drive(post_flow(token_request(server.url + "/cut", {}, "id")))
    assert len(server.asked) == 4


@pytest.mark.attack(148)
def test_nobody_listening_is_an_unavailable_provider(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.0, 0.0, 0.01))
    with closed_port() as url, pytest.raises(ProviderUnavailableError, match="ConnectError"):
        drive(post_flow(token_request(url, {"client_secret": "hidden"}, "id")))


@pytest.mark.attack(141)
def test_five_megabytes_are_unusable(drive: Drive, server: Loopback) -> None:
    with pytest.raises(UnusableAnswerError, match="too large"):
        drive(post_flow(token_request(server.url + "/large", {}, "id")))


def test_an_assertion_shows_neither_token_nor_partition() -> None:
    assert "hidden" not in repr(UserAssertion(token="hidden", partition=b"hidden"))


def test_what_is_granted_shows_neither_token() -> None:
    shown = repr(Granted(AccessTokenInfo(token="access-1", expires_on=5), "refresh-1"))
    assert shown.endswith("refresh_token=<hidden>)")
    assert not [token for token in ("access-1", "refresh-1") if token in shown]
