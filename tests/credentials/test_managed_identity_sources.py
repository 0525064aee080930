"""The endpoints of App Service, Azure ML and Cloud Shell: what each is sent, and what its answers mean."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable

import pytest

from credentials import AuthenticationError, CredentialUnavailableError
from credentials._errors import TransportError
from credentials._managed_identity_answer import Identity, IdentitySource
from credentials._managed_identity_sources import CloudShell, Unavailable, app_service, azure_ml, direct_pool
from credentials._version import USER_AGENT
from tests.credentials.helpers import NOW, Drive, answer, play
from tests.credentials.identities import HEADER_SECRET, RESOURCE, give_tokens, parameters, query, sent
from tests.credentials.servers import loopback

ENDPOINT = "http://localhost:8081/msi/token"
TOKEN = answer(access_token="identity-token", expires_on=str(int(NOW) + 600))
NAMED = [Identity(client_id="c-1"), Identity(object_id="o-1"), Identity(resource_id="/subscriptions/1/é")]


def of_app_service(endpoint: str = ENDPOINT, secret: str = HEADER_SECRET) -> IdentitySource:
    return app_service({"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": secret})


def of_azure_ml(endpoint: str = ENDPOINT, secret: str = HEADER_SECRET) -> IdentitySource:
    return azure_ml({"MSI_ENDPOINT": endpoint, "MSI_SECRET": secret})


SOURCES: list[Callable[..., IdentitySource]] = [of_app_service, of_azure_ml, CloudShell]


# Requests


def test_app_service_is_asked_with_its_secret_header() -> None:
    played = play(of_app_service().token_flow(query()), TOKEN)
    (request,) = sent(played)
    assert played.result.token == "identity-token"
    assert (request.method, request.body) == ("GET", b"")
    assert request.url.partition("?")[0] == ENDPOINT
    assert parameters(request.url) == {"api-version": "2019-08-01", "resource": RESOURCE}
    assert request.headers == {"X-IDENTITY-HEADER": HEADER_SECRET, "User-Agent": USER_AGENT}


def test_azure_ml_is_asked_with_its_secret_header() -> None:
    played = play(of_azure_ml().token_flow(query()), TOKEN)
    (request,) = sent(played)
    assert played.result.token == "identity-token"
    assert (request.method, request.body) == ("GET", b"")
    assert request.url.partition("?")[0] == ENDPOINT
    assert parameters(request.url) == {"api-version": "2017-09-01", "resource": RESOURCE}
    assert request.headers == {"secret": HEADER_SECRET, "User-Agent": USER_AGENT}


def test_cloud_shell_is_sent_a_form() -> None:
    played = play(CloudShell(ENDPOINT).token_flow(query()), TOKEN)
    (request,) = sent(played)
    assert played.result.token == "identity-token"
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert dict(urllib.parse.parse_qsl(request.body.decode())) == {"resource": RESOURCE}
    assert request.headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Metadata": "true",
        "User-Agent": USER_AGENT,
    }


@pytest.mark.peer_defect(4)
@pytest.mark.parametrize(
    ("source", "names"),
    [(of_app_service, ["client_id", "object_id", "mi_res_id"]), (of_azure_ml, ["clientid", "object_id", "msi_res_id"])],
)
def test_an_identity_is_named_as_the_endpoint_wants_it(source: Callable[[], IdentitySource], names: list[str]) -> None:
    values = ["c-1", "o-1", "/subscriptions/1/é"]
    for identity, name, value in zip(NAMED, names, values, strict=True):
        (request,) = sent(play(source().token_flow(query(identity)), TOKEN))
        found = parameters(request.url)
        assert {key: found[key] for key in set(found) - {"api-version", "resource"}} == {name: value}


def test_azure_ml_tells_a_tokens_end_as_a_date() -> None:
    dated = answer(access_token="identity-token", expires_on="1/15/2027 8:00:00 PM +00:00")
    assert play(of_azure_ml().token_flow(query()), dated).result.expires_on == 1_800_043_200


# Over a real connection


@pytest.mark.parametrize("source", SOURCES)
def test_a_real_endpoint_gives_a_token(source: Callable[[str], IdentitySource], drive: Drive) -> None:
    with loopback(give_tokens) as server:
        drive.pool = (made := source(f"{server.url}/token")).pool
        assert drive(made.token_flow(query())).token == "token-1"
        made.pool.close()
    (asked,) = server.asked
    assert asked.path.partition("?")[0] == "/token"
    assert RESOURCE in urllib.parse.unquote(asked.path + asked.body.decode())


# Failures


@pytest.mark.parametrize("source", SOURCES)
def test_a_refusal_and_a_failure_are_told_with_the_sources_name(source: Callable[[str], IdentitySource]) -> None:
    made = source(ENDPOINT)
    with pytest.raises(AuthenticationError, match=f"{made.name} managed identity: HTTP status 400") as caught:
        assert play(made.token_flow(query()), answer(400, message="no")).result
    assert caught.value.status_code == 400
    failures = [TransportError("ConnectError"), None] * 3
    with pytest.raises(CredentialUnavailableError, match=f"{made.name} managed identity: no response"):
        assert play(made.token_flow(query()), *failures, TransportError("ConnectError")).result


@pytest.mark.parametrize("source", SOURCES)
def test_a_persistent_server_error_is_four_requests(source: Callable[[str], IdentitySource]) -> None:
    played = play(source(ENDPOINT).token_flow(query()), *[answer(500), None] * 3, answer(500))
    assert len(sent(played)) == 4
    assert isinstance(played.error, AuthenticationError)


@pytest.mark.parametrize("source", [of_app_service, of_azure_ml])
def test_the_header_secret_is_never_shown(source: Callable[[], IdentitySource]) -> None:
    made = source()
    assert HEADER_SECRET not in repr(made) + repr(sent(play(made.token_flow(query()), TOKEN)))
    for status in (403, 500):
        echo = answer(status, {"retry-after": "1"}, message=f"{HEADER_SECRET} is wrong", error=HEADER_SECRET)
        error = play(made.token_flow(query()), echo).error
        assert isinstance(error, AuthenticationError)
        assert HEADER_SECRET not in str(error) + repr(error.answer)


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "sécret", "\udcff"])
@pytest.mark.parametrize(("source", "variable"), [(of_app_service, "IDENTITY_HEADER"), (of_azure_ml, "MSI_SECRET")])
def test_a_secret_that_no_header_may_have_is_told_by_its_variable_only(
    source: Callable[..., IdentitySource], variable: str, secret: str
) -> None:
    with pytest.raises(CredentialUnavailableError, match=f"{variable} has characters") as caught:
        source(secret=secret)
    assert secret not in str(caught.value)


@pytest.mark.parametrize(("source", "variable"), [(of_app_service, "IDENTITY_ENDPOINT"), (of_azure_ml, "MSI_ENDPOINT")])
def test_an_endpoint_that_is_none_is_told_by_its_variable(source: Callable[..., IdentitySource], variable: str) -> None:
    with pytest.raises(CredentialUnavailableError, match=f"{variable} must be"):
        source(endpoint="localhost")


def test_a_stand_in_says_why_it_gives_no_token() -> None:
    with pytest.raises(CredentialUnavailableError, match=r"^set this$"):
        assert play(Unavailable("set this").token_flow(query())).result


def test_an_endpoint_with_tls_is_trusted_as_any_other_is() -> None:
    assert direct_pool("HTTPS://localhost")._ssl_context.get_ca_certs()
    assert not direct_pool("http://localhost")._ssl_context.get_ca_certs()
