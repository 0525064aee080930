"""What azure-identity does wrong with managed identities and we do not, both shown against the same endpoint."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import credentials
from credentials import _token_endpoint as token_endpoint
from tests.credentials.fabric_node import SECRET_HEADER, flipped, node, server_context, thumbprint
from tests.credentials.identities import HEADER_SECRET, SCOPE, forget_azure, set_variables
from tests.credentials.peer_defects import (
    ASYNC_PEER,
    BLOCKING_PEER,
    OURS,
    PEERS,
    answer_of,
    ask,
    of_the_machine,
    still,
)
from tests.credentials.servers import Exchange, Loopback, loopback

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:msal.*")
JSON = {"Content_Type": "application/json"}
CANARY = "canary-of-a-token"
RESOURCE = SCOPE.removesuffix("/.default")


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_machine(monkeypatch)
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())


class Endpoint:
    """Answer as App Service's endpoint does, the same to every request until told otherwise."""

    def __init__(self) -> None:
        self.give_token()

    def give_token(self, **members: Any) -> None:
        usual = {"access_token": "identity-token", "expires_on": str(int(time.time()) + 86_400), "resource": RESOURCE}
        self.say(200, **(usual | members))

    def say(self, status: int, **members: Any) -> None:
        self.status, self.body = status, json.dumps(members).encode()

    def __call__(self, exchange: Exchange) -> None:
        exchange.reply(self.status, self.body, **JSON)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def app_service(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with loopback(endpoint) as server:
        set_variables(monkeypatch, IDENTITY_ENDPOINT=f"{server.url}/token", IDENTITY_HEADER=HEADER_SECRET)
        yield server


def identity(library: Any, **more: Any) -> Any:
    theirs = {"retry_total": 0} if library in PEERS else {}
    return library.ManagedIdentityCredential(**theirs, **more)


@pytest.mark.peer_defect(4)
def test_a_resource_id_has_the_name_that_the_endpoint_knows(app_service: Loopback) -> None:
    def names(library: Any) -> set[str]:
        assert answer_of(identity(library, identity_config={"resource_id": "/a/b"}), SCOPE) == "identity-token"
        return set(urllib.parse.parse_qs(urllib.parse.urlsplit(app_service.asked[-1].path).query))

    for library in OURS:
        assert names(library) == {"api-version", "resource", "mi_res_id"}
    still("mi_res_id" not in names(ASYNC_PEER), "the awaitable peer sends a resource id under an unknown name")


@pytest.mark.peer_defect(5)
def test_a_node_with_another_certificate_never_sees_the_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = server_context(tmp_path)

    def seen(library: Any) -> tuple[Any, bytes]:
        with node(context) as server:
            set_variables(monkeypatch, IDENTITY_ENDPOINT=server.url)
            answer = answer_of(identity(library), SCOPE)
        return answer, server.received

    set_variables(monkeypatch, IDENTITY_HEADER=SECRET_HEADER, IDENTITY_SERVER_THUMBPRINT=flipped(thumbprint(), 7))
    for library in OURS:
        answer, received = seen(library)
        assert isinstance(answer, credentials.AuthenticationError)
        assert received == b""
    _, received = seen(ASYNC_PEER)
    still(SECRET_HEADER.encode() in received, "the awaitable peer sends the secret to a node with any certificate")


@pytest.mark.peer_defect(6)
def test_a_valid_token_survives_a_failing_endpoint(app_service: Loopback, endpoint: Endpoint) -> None:
    ahead = [0.0]

    def fail() -> None:
        endpoint.say(403, error={"code": "Forbidden", "message": "no"})
        ahead[0] = 50_000.0

    def twice(library: Any, **more: Any) -> tuple[Any, Any]:
        endpoint.give_token(refresh_in=0)
        ahead[0] = 0.0
        return ask(identity(library, **more), SCOPE, between=fail)

    for library in OURS:
        before = len(app_service.asked)
        assert twice(library, clock=lambda: time.time() + ahead[0]) == ("identity-token", "identity-token")
        assert len(app_service.asked) == before + 2
    first, second = twice(ASYNC_PEER)
    assert first == "identity-token"
    still(isinstance(second, Exception), "a token that is valid for a day is given up when its renewal fails")


@pytest.mark.peer_defect(9)
def test_no_token_stands_in_the_text_of_an_error(
    app_service: Loopback, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.say(200, access_token=CANARY, token_type="Bearer")
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    set_variables(monkeypatch, MSI_ENDPOINT=app_service.url, MSI_SECRET=HEADER_SECRET)
    for library in OURS:
        error = answer_of(identity(library), SCOPE)
        assert isinstance(error, credentials.AuthenticationError)
        assert CANARY not in str(error)
    for library in PEERS:
        error = answer_of(identity(library), SCOPE)
        still(CANARY in str(error), "an answer of Azure ML that lacks its time is shown, the token included")


@pytest.mark.peer_defect(11)
@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_a_refusal_in_either_colour(app_service: Loopback, endpoint: Endpoint, status: int) -> None:
    endpoint.say(status, error={"code": "no", "message": "no"})
    for library in OURS:
        error = answer_of(identity(library), SCOPE)
        assert isinstance(error, credentials.AuthenticationError)
        assert error.status_code == status
    theirs = [answer_of(identity(library), SCOPE) for library in PEERS]
    kinds = [isinstance(error, BLOCKING_PEER.CredentialUnavailableError) for error in theirs]
    still(kinds == [True, False], "the same refusal is 'unavailable' when blocking, and a refusal when awaited")


@pytest.mark.peer_defect(26)
def test_the_metadata_service_is_asked_without_a_proxy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.give_token(expires_in="86400")
    with loopback(endpoint) as service, loopback(endpoint) as proxy:
        # An address of this machine too, but none of those for which we use no proxy anyway.
        address = service.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104  # nothing is bound to it
        set_variables(monkeypatch, AZURE_POD_IDENTITY_AUTHORITY_HOST=address)
        set_variables(monkeypatch, HTTP_PROXY=proxy.url, http_proxy=proxy.url)
        for library in OURS:
            assert answer_of(identity(library), SCOPE) == "identity-token"
        assert (len(service.asked), proxy.asked) == (2, [])
        assert answer_of(identity(BLOCKING_PEER), SCOPE) == "identity-token"
        still(proxy.asked, "the metadata service is asked through the environment's proxy")
