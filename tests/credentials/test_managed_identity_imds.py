"""The metadata service of virtual machines: requests, attempts, refusals, and how a chain finds out whether it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, CredentialUnavailableError, ProviderUnavailableError
from credentials import _managed_identity_sources as module
from credentials._errors import TransportError
from credentials._flow import HttpResponse, Sleep
from credentials._managed_identity_answer import Identity
from credentials._managed_identity_sources import Imds, check_probe_response, process_imds_response
from credentials._types import Place
from credentials._version import USER_AGENT
from tests.credentials.helpers import NOW, Drive, Played, answer, play
from tests.credentials.identities import RESOURCE, give_tokens, parameters, paths, query, sent
from tests.credentials.servers import Exchange, closed_port, loopback

URL = "http://169.254.169.254/metadata/identity/oauth2/token"
TOKEN = answer(access_token="identity-token", expires_on=str(int(NOW) + 600))
NO_HEADER = answer(400, error="invalid_request", error_description="Required metadata header not specified")
DOCKER = answer(403, error="connecting to 169.254.169.254:80: a socket operation to an Unreachable network")
SILENCE = TransportError("ConnectTimeout")
CHAINED = query(place=Place.CHAIN)


def ask(*answers: object, source: Imds | None = None, wanted: Any = None) -> Played[Any]:
    return play((source or Imds()).token_flow(wanted or query()), *answers)


def waits(played: Played[Any]) -> list[float]:
    return [effect.seconds for effect in played.effects if isinstance(effect, Sleep)]


# Requests


def test_the_service_is_asked_with_its_header_and_little_patience() -> None:
    played = ask(TOKEN)
    (request,) = sent(played)
    assert played.result.token == "identity-token"
    assert (request.method, request.url.partition("?")[0], request.body) == ("GET", URL, b"")
    assert parameters(request.url) == {"api-version": "2018-02-01", "resource": RESOURCE}
    assert request.headers == {"Metadata": "true", "User-Agent": USER_AGENT}
    assert (request.connect_timeout, request.timeout) == (2.0, 10.0)


@pytest.mark.peer_defect(4)
@pytest.mark.parametrize(
    ("identity", "named"),
    [
        (Identity(client_id="c-1"), {"client_id": "c-1"}),
        (Identity(object_id="o-1"), {"object_id": "o-1"}),
        (Identity(resource_id="/subscriptions/1"), {"msi_res_id": "/subscriptions/1"}),
    ],
)
def test_an_identity_is_named_as_the_service_wants_it(identity: Identity, named: dict[str, str]) -> None:
    (request,) = sent(ask(TOKEN, wanted=query(identity)))
    assert parameters(request.url) == {"api-version": "2018-02-01", "resource": RESOURCE, **named}


def test_another_base_url_may_end_in_slashes() -> None:
    (request,) = sent(ask(TOKEN, source=Imds("http://localhost:9//")))
    assert request.url.startswith("http://localhost:9/metadata/identity/oauth2/token?")


# Attempts


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503, 599])
def test_a_service_that_starts_throttles_or_fails_is_asked_six_times(status: int) -> None:
    played = ask(*[answer(status), None] * 5, answer(status, error="no", error_description="still not"))
    assert waits(played) == [0.0, 1.6, 3.2, 6.4, 12.8]
    assert len(sent(played)) == 6
    with pytest.raises(AuthenticationError, match="still not"):
        assert played.result


def test_a_service_that_is_being_updated_is_waited_for_seventy_seconds() -> None:
    played = ask(*[answer(410), None] * 5, TOKEN)
    assert (played.result.token, len(sent(played))) == ("identity-token", 6)
    assert waits(played) == [0.0, 5.0, 10.0, 20.0, 40.0]
    assert sum(waits(played)) >= 70


def test_a_service_that_does_not_answer_is_asked_three_times() -> None:
    played = ask(SILENCE, None, SILENCE, None, SILENCE)
    assert (waits(played), len(sent(played))) == ([0.0, 1.6], 3)
    with pytest.raises(CredentialUnavailableError, match=r"IMDS managed identity: no response .*ConnectTimeout"):
        assert played.result


@pytest.mark.parametrize("status", [302, 400, 401, 403])
def test_a_refusal_is_asked_for_once(status: int) -> None:
    assert len(sent(ask(answer(status)))) == 1


# Refusals


@pytest.mark.parametrize("status", [302, *range(401, 600)])
def test_other_refusals_have_their_status_and_text(status: int) -> None:
    with pytest.raises(AuthenticationError, match="no such luck") as caught:
        process_imds_response(answer(status, error="denied", error_description="no such luck"), query())
    assert caught.value.status_code == status
    assert isinstance(caught.value, ProviderUnavailableError) == (status == 429 or status >= 500)


@pytest.mark.peer_defect(11)
def test_an_identity_that_is_not_assigned_is_unavailable() -> None:
    refused = answer(400, error="invalid_request", error_description="Identity not found")
    texts = []
    for identity in (Identity(), Identity(client_id="c-1"), Identity(object_id="o-1"), Identity(resource_id="r-1")):
        with pytest.raises(CredentialUnavailableError, match="Identity not found") as caught:
            process_imds_response(refused, query(identity))
        texts.append(str(caught.value))
    assert "no system-assigned identity" in texts[0]
    assert all("the requested identity is not assigned" in text for text in texts[1:])


def test_a_gateway_that_cannot_reach_the_service_is_not_the_service() -> None:
    with pytest.raises(CredentialUnavailableError, match="Unreachable network"):
        process_imds_response(DOCKER, query())


@given(st.sampled_from([200, 302, 400, 403, 410, 500]), st.binary() | st.just(b"unreachable \xff"))
def test_any_answer_is_an_error_of_ours(status: int, body: bytes) -> None:
    response = HttpResponse(status=status, headers={}, body=body)
    with pytest.raises((AuthenticationError, CredentialUnavailableError)):
        process_imds_response(response, query())
    try:
        check_probe_response(response)
    except CredentialUnavailableError as error:
        assert "IMDS managed identity" in str(error)  # noqa: PT017  # either outcome is right


# Probes


def test_a_chain_probes_first_without_the_header() -> None:
    played = ask(NO_HEADER, TOKEN, wanted=CHAINED)
    probe, request = sent(played)
    assert played.result.token == "identity-token"
    assert probe.url == request.url
    assert (dict(probe.headers), probe.timeout) == ({"User-Agent": USER_AGENT}, 1.0)
    assert request.headers["Metadata"] == "true"


def test_a_default_credential_probes_too_and_a_lone_one_does_not() -> None:
    assert len(sent(ask(NO_HEADER, TOKEN, wanted=query(place=Place.DEFAULT)))) == 2
    assert len(sent(ask(TOKEN, wanted=query(place=Place.ALONE)))) == 1


def test_a_service_that_showed_itself_is_not_probed_again() -> None:
    source = Imds()
    ask(NO_HEADER, TOKEN, source=source, wanted=CHAINED)
    assert len(sent(ask(TOKEN, source=source, wanted=CHAINED))) == 1


def test_a_service_that_is_known_to_be_there_is_not_probed() -> None:
    assert len(sent(ask(TOKEN, source=Imds("http://localhost", probe=False), wanted=CHAINED))) == 1


@pytest.mark.parametrize("response", [NO_HEADER, answer(200), answer(403, error="no"), answer(404), answer(500)])
def test_any_answer_in_json_shows_the_service(response: HttpResponse) -> None:
    check_probe_response(response)


@pytest.mark.parametrize(
    "response",
    [DOCKER, *(HttpResponse(status=status, headers={}, body=b"<p>Hello!</p>") for status in (200, 400, 502))],
)
def test_other_answers_show_that_something_else_is_there(response: HttpResponse) -> None:
    with pytest.raises(CredentialUnavailableError, match="IMDS managed identity: there is no metadata service here"):
        check_probe_response(response)


@pytest.mark.parametrize("first", [SILENCE, DOCKER])
def test_an_absence_is_remembered_for_half_a_minute(first: object) -> None:
    source = Imds()
    for now, requests in ((NOW, 1), (NOW + 29, 0), (NOW + 30, 1), (NOW + 59, 0), (NOW - 3600, 1)):
        played = ask(*[first] * requests, source=source, wanted=query(place=Place.CHAIN, now=now))
        assert len(sent(played)) == requests, now
        with pytest.raises(CredentialUnavailableError, match="IMDS managed identity: there is no metadata service"):
            assert played.result


def test_a_service_that_comes_later_is_found() -> None:
    source = Imds()
    ask(SILENCE, source=source, wanted=CHAINED)
    later = query(place=Place.CHAIN, now=NOW + 30)
    assert ask(NO_HEADER, TOKEN, source=source, wanted=later).result.token == "identity-token"


def test_a_lone_credential_asks_although_an_absence_is_remembered() -> None:
    source = Imds()
    ask(SILENCE, source=source, wanted=CHAINED)
    assert ask(TOKEN, source=source).result.token == "identity-token"


# Over a real connection


def as_the_service(exchange: Exchange) -> None:
    if exchange.headers.get("Metadata") == "true":
        give_tokens(exchange)
    else:
        exchange.reply(400, NO_HEADER.body)


def test_a_real_service_is_probed_and_gives_a_token(drive: Drive) -> None:
    with loopback(as_the_service) as server:
        source = Imds(server.url)
        drive.pool = source.pool
        assert drive(source.token_flow(CHAINED)).token == "token-2"
        source.pool.close()
    assert paths(server) == ["/metadata/identity/oauth2/token"] * 2


def test_a_real_absence_is_told_and_remembered(drive: Drive) -> None:
    with closed_port() as url:
        source = Imds(url)
        drive.pool = source.pool
        for _ in range(3):
            with pytest.raises(CredentialUnavailableError, match="IMDS managed identity"):
                drive(source.token_flow(CHAINED))
        source.pool.close()


def test_a_real_service_that_fails_is_asked_six_times(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMDS_DELAYS", (0.0,) * 5)
    with loopback(lambda exchange: exchange.reply(500, b"{}")) as server:
        source = Imds(server.url)
        drive.pool = source.pool
        with pytest.raises(ProviderUnavailableError):
            drive(source.token_flow(query()))
        source.pool.close()
    assert len(server.asked) == 6
