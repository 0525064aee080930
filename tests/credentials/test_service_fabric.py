"""ServiceFabric: what it asks the node, when it asks nobody, and what the answers mean."""

from __future__ import annotations

import hashlib
import traceback
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AuthenticationError, ClientAuthenticationError, CredentialUnavailableError
from credentials._errors import ProviderUnavailableError, TransportError
from credentials._flow import HttpResponse
from credentials._managed_identity_answer import IdentityQuery
from credentials._service_fabric import ServiceFabric, digest_of, process_service_fabric_response
from credentials._types import Place
from tests.credentials.fabric_node import ENDPOINT, RESOURCE, SECRET_HEADER, asked, requests, thumbprint, wanted
from tests.credentials.helpers import NOW, answer, play, token_answer

SHA1 = "0123456789abcdef0123456789abcdef01234567"


def source(endpoint: str = ENDPOINT, header: str = SECRET_HEADER, digits: str = SHA1) -> ServiceFabric:
    return ServiceFabric(endpoint, header, digits)


def unavailable(made: ServiceFabric) -> str:
    """Return the reason for which nobody is asked."""
    played = play(made.token_flow(wanted()))
    assert not played.effects
    assert isinstance(played.error, CredentialUnavailableError)
    return str(played.error)


def parameters(query: IdentityQuery) -> dict[str, list[str]]:
    (request,) = requests(asked(source(), query, token_answer()))
    return urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query)


# Requests


def test_the_node_is_asked_for_the_resource_with_the_secret() -> None:
    played = asked(source(), wanted(), token_answer("fabric-token"))
    (request,) = requests(played)
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == f"{ENDPOINT}?api-version=2019-07-01-preview&resource=https%3A%2F%2Fvault.azure.net"
    assert request.headers["Secret"] == SECRET_HEADER
    assert "Metadata" not in request.headers
    assert played.result.token == "fabric-token"


def test_a_refused_token_is_named_by_its_hash() -> None:
    expected = hashlib.sha256(b"refused-token").hexdigest()
    assert parameters(wanted(refused="refused-token"))["token_sha256_to_refresh"] == [expected]


def test_capabilities_are_a_list_with_commas() -> None:
    assert parameters(wanted(capabilities=("CP1", "CP2")))["xms_cc"] == ["CP1,CP2"]


def test_nothing_else_is_asked() -> None:
    assert parameters(wanted()) == {"api-version": ["2019-07-01-preview"], "resource": [RESOURCE]}


@pytest.mark.parametrize("identity", [{"client_id": "c"}, {"object_id": "o"}, {"resource_id": "r"}])
def test_an_identity_cannot_be_chosen(identity: dict[str, Any]) -> None:
    played = play(source().token_flow(wanted(**identity)))
    assert not played.effects
    with pytest.raises(AuthenticationError, match="application's manifest"):
        assert played.result


def test_an_identity_named_for_the_default_chain_is_the_next_members_turn() -> None:
    with pytest.raises(CredentialUnavailableError, match="application's manifest"):
        assert play(source().token_flow(replace(wanted(client_id="c"), place=Place.DEFAULT))).result


# Variables


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:2377/token", "HTTP://localhost/", "localhost:2377", "https://", "", "https://a b/"]
)
def test_an_endpoint_without_tls_is_not_asked(endpoint: str) -> None:
    assert "IDENTITY_ENDPOINT" in unavailable(source(endpoint=endpoint))


@pytest.mark.parametrize(
    "digits", ["", SHA1[:-1], SHA1 + "0", SHA1[:-1] + "g", SHA1 + "\n", "\u0661" * 40, SHA1[:-2] + "0x"]
)
def test_without_a_sha1_thumbprint_nobody_is_asked(digits: str) -> None:
    assert "IDENTITY_SERVER_THUMBPRINT" in unavailable(source(digits=digits))


@pytest.mark.parametrize("header", ["", "a b", "a\r\nX-Evil: 1", "caf\u00e9", "x\x00"])
def test_a_secret_that_no_header_may_have_is_not_sent_and_not_shown(header: str) -> None:
    said = unavailable(source(header=header))
    assert "IDENTITY_HEADER" in said
    assert "X-Evil" not in said


def test_spaces_colons_and_case_of_a_thumbprint_do_not_count() -> None:
    pairs = [SHA1[i : i + 2] for i in range(0, 40, 2)]
    for written in (SHA1.upper(), ":".join(pairs), " ".join(pairs), f" {SHA1} "):
        assert digest_of(written) == bytes.fromhex(SHA1)


# Answers


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("SecretHeaderNotFound", "unauthorized_client"),
        ("ManagedIdentityNotFound", "invalid_client"),
        ("ArgumentNullOrEmpty", "invalid_scope"),
        ("InternalServerError", "InternalServerError"),
    ],
)
def test_a_refusal_has_oauths_name_and_the_services_words(code: str, error: str) -> None:
    refusal = answer(400, error={"code": code, "message": "what went wrong", "correlationId": "correlation"})
    with pytest.raises(AuthenticationError, match=f"{code}.*what went wrong") as caught:
        assert asked(source(), wanted(), refusal).result
    assert (caught.value.error, caught.value.status_code) == (error, 400)
    assert (caught.value.error_description, caught.value.correlation_id) == ("what went wrong", "correlation")


def test_a_refusal_under_oauths_name_stays_of_its_kind() -> None:
    refusal = answer(503, {"retry-after": "7"}, error={"code": "ManagedIdentityNotFound", "message": "not yet"})
    with pytest.raises(ProviderUnavailableError) as caught:
        assert asked(source(), wanted(), refusal).result
    assert (caught.value.error, caught.value.retry_after) == ("invalid_client", 7.0)


def test_a_failing_service_is_asked_again() -> None:
    played = asked(source(), wanted(), answer(500), None, token_answer())
    assert len(requests(played)) == 2
    assert played.result.token


def test_a_service_that_does_not_answer_is_not_there() -> None:
    played = asked(source(), wanted(), TransportError("ConnectError"))
    with pytest.raises(CredentialUnavailableError, match="no response from the Service Fabric endpoint: ConnectError"):
        assert played.result


@given(st.binary(max_size=80), st.sampled_from([200, 204, 302, 400, 404, 500]))
def test_no_answer_whatever_it_is_makes_another_error(body: bytes, status: int) -> None:
    response = HttpResponse(status=status, headers={}, body=body)
    with pytest.raises(ClientAuthenticationError):
        process_service_fabric_response(response, now=NOW, header=SECRET_HEADER)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["code", "message"]), inner),
        max_leaves=5,
    )
)
def test_no_error_member_whatever_it_is_makes_another_error(error: object) -> None:
    with pytest.raises(AuthenticationError):
        process_service_fabric_response(answer(400, error=error), now=NOW, header=SECRET_HEADER)


# Secrets


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("code", [SECRET_HEADER, "SecretHeaderNotFound"])
def test_no_error_shows_the_secret(status: int, code: str) -> None:
    echo = answer(status, error={"code": code, "message": f"the header was {SECRET_HEADER}"}, token="x")
    error = asked(source(), wanted(), echo).error
    assert isinstance(error, AuthenticationError)
    shown = "".join(traceback.format_exception(error))
    assert SECRET_HEADER not in shown + repr(error) + repr(vars(error))


def test_no_repr_shows_the_secret() -> None:
    played = asked(source(), wanted(refused="refused-token"), token_answer())
    shown = repr(source()) + repr(played.effects) + repr(wanted(refused="refused-token"))
    assert SECRET_HEADER not in shown
    assert "refused-token" not in shown


def test_the_thumbprint_of_a_real_certificate_is_read() -> None:
    assert len(digest_of(thumbprint())) == 20
