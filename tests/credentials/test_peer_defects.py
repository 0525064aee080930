"""What azure-identity does wrong with a provider and we do not, both shown against the same provider."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

import credentials
from credentials import _token_endpoint as token_endpoint
from obo_middleware.testing import LocalEntra
from tests.credentials.federation import foreign_token, trust_issuer
from tests.credentials.helpers import GRAPH, SECRET, certificate_pem, claims_of, in_threads, key_pem
from tests.credentials.identities import forget_azure, set_variables
from tests.credentials.peer_defects import (
    ASYNC_PEER,
    BLOCKING_PEER,
    OURS,
    PEERS,
    SCOPE,
    answer_of,
    ask,
    by_certificate,
    by_secret,
    local_entra,
    of_the_machine,
    on_behalf_of,
    options_of,
    still,
    token_file,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:msal.*")
PEM = key_pem() + certificate_pem() + certificate_pem("root")
ROOT_FIRST = certificate_pem("root") + certificate_pem() + key_pem()
DELEGATED = f"{GRAPH}/User.Read"


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with local_entra() as entra:
        yield entra


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_machine(monkeypatch)
    forget_azure(monkeypatch)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", ())


def last_form(entra: LocalEntra) -> dict[str, str]:
    return dict(entra.token_requests[-1].form)


def header_of(assertion: str) -> dict[str, Any]:
    return jwt.get_unverified_header(assertion.replace("=", ""))


@pytest.mark.peer_defect(1)
def test_a_certificates_chain_is_sent_and_the_assertion_is_a_proper_jws(entra: LocalEntra) -> None:
    def assertion(library: Any) -> str:
        assert isinstance(answer_of(by_certificate(library, entra, PEM, send_certificate_chain=True)), str)
        return last_form(entra)["client_assertion"]

    for library in OURS:
        ours = assertion(library)
        assert "=" not in ours
        assert (header_of(ours)["alg"], len(header_of(ours)["x5c"])) == ("PS256", 2)
    theirs = assertion(ASYNC_PEER)
    still("x5c" not in header_of(theirs), "the awaitable CertificateCredential ignores send_certificate_chain")
    still("=" in theirs, "its assertions are padded, which RFC 7515 section 2 does not allow")
    blocking = header_of(assertion(BLOCKING_PEER))
    still((blocking["alg"], "x5t" in blocking) == ("RS256", True), "the blocking one signs with RS256 and names SHA-1")


@pytest.mark.peer_defect(2)
def test_an_assertion_is_for_the_tenant_that_is_asked(entra: LocalEntra) -> None:
    other = entra.add_tenant()
    user = entra.sign_in(entra.add_user("dave", tenant=other))

    def audience(library: Any) -> Any:
        credential = on_behalf_of(
            library, entra, user, client_certificate=PEM, additionally_allowed_tenants=[other.tenant_id]
        )
        answer = answer_of(credential, DELEGATED, tenant_id=other.tenant_id)
        return claims_of(last_form(entra)["client_assertion"].replace("=", ""))["aud"], answer

    for library in OURS:
        aud, answer = audience(library)
        assert aud == f"{entra.authority}/{other.tenant_id}/oauth2/v2.0/token"
        assert claims_of(answer)["tid"] == other.tenant_id
    aud, answer = audience(ASYNC_PEER)
    still(f"/{entra.tenant_id}/" in aud, "the awaitable OnBehalfOfCredential names the default tenant as audience")
    still("AADSTS700023" in str(answer), "so that the provider refuses its assertion")


@pytest.mark.peer_defect(3)
def test_false_does_not_send_the_chain(entra: LocalEntra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    path.write_bytes(PEM)
    names = {"AZURE_TENANT_ID": entra.tenant_id, "AZURE_CLIENT_ID": entra.api.client_id}
    set_variables(monkeypatch, **names, AZURE_CLIENT_CERTIFICATE_PATH=str(path))
    set_variables(monkeypatch, AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="false")

    def sends_chain(library: Any) -> bool:
        assert isinstance(answer_of(library.EnvironmentCredential(**options_of(library, entra))), str)
        return "x5c" in header_of(last_form(entra)["client_assertion"])

    assert [sends_chain(library) for library in OURS] == [False, False]
    still(sends_chain(BLOCKING_PEER), 'AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="false" sends the chain')


@pytest.mark.peer_defect(6)
def test_a_valid_token_survives_an_outage(entra: LocalEntra) -> None:
    ahead = [0.0]
    body = json.dumps({"access_token": "short-lived", "token_type": "Bearer", "expires_in": 200}).encode()

    def twice(library: Any, **more: Any) -> tuple[Any, Any]:
        entra.forget_faults()
        entra.answer_once(200, {"content-type": "application/json"}, body)
        ahead[0] = 0.0
        return ask(by_secret(library, entra, **more), between=begin_outage)

    def begin_outage() -> None:
        entra.outage(500)
        ahead[0] = 120.0  # by when ours wants a new token

    for library in OURS:
        asked_before = entra.requests_to("token")
        assert twice(library, clock=lambda: time.time() + ahead[0]) == ("short-lived", "short-lived")
        assert entra.requests_to("token") == asked_before + 2
    first, second = twice(BLOCKING_PEER)
    assert first == "short-lived"
    still(isinstance(second, Exception), "a token that is valid for 200 s is given up in an outage")


@pytest.mark.peer_defect(7)
def test_a_refusal_is_not_repeated_once_its_reason_is_gone(entra: LocalEntra) -> None:
    def twice(library: Any) -> tuple[Any, Any]:
        entra.answer_once(400, {"content-type": "application/json"}, b'{"error":"invalid_request"}')
        return ask(by_secret(library, entra))

    for library in OURS:
        first, second = twice(library)
        assert isinstance(first, credentials.AuthenticationError)
        assert isinstance(second, str)
    _, second = twice(BLOCKING_PEER)
    still(isinstance(second, Exception), "a refusal is repeated for 60 s without asking the provider again")


@pytest.mark.peer_defect(8)
def test_callers_at_once_share_one_request(entra: LocalEntra) -> None:
    def in_tasks(credential: Any) -> int:
        async def main() -> None:
            async with credential:
                await asyncio.gather(*[credential.get_token(SCOPE) for _ in range(4)])

        entra.reset_counts()
        asyncio.run(main())
        return entra.requests_to("token")

    def threads(credential: Any) -> int:
        entra.reset_counts()
        with credential:
            assert all(isinstance(answer, tuple) for answer in in_threads(4, lambda: credential.get_token(SCOPE)))
        return entra.requests_to("token")

    entra.think_time = 0.1
    assert (threads(by_secret(OURS[0], entra)), in_tasks(by_secret(OURS[1], entra))) == (1, 1)
    still(threads(by_secret(BLOCKING_PEER, entra)) > 1, "four threads cost more than one request")
    still(in_tasks(by_secret(ASYNC_PEER, entra)) > 1, "four tasks cost more than one request")


@pytest.mark.peer_defect(10)
@pytest.mark.peer_defect(17)
def test_a_token_file_is_stripped_and_a_missing_one_makes_unavailable(entra: LocalEntra, tmp_path: Path) -> None:
    trust_issuer(entra)
    token = foreign_token(exp=time.time() + 3600)
    path = token_file(tmp_path, token + "\n")

    def answer(library: Any, where: Path) -> Any:
        options = options_of(library, entra, tenant_id=entra.tenant_id, client_id=entra.api.client_id)
        return answer_of(library.WorkloadIdentityCredential(token_file_path=str(where), **options))

    for library in OURS:
        assert isinstance(answer(library, path), str)
        assert last_form(entra)["client_assertion"] == token
        missing = answer(library, tmp_path / "none")
        assert isinstance(missing, credentials.CredentialUnavailableError)
        assert "none" in str(missing)
    for library in PEERS:
        answer(library, path)
        still(last_form(entra)["client_assertion"] == token + "\n", "the file's line end is sent along")
        still(isinstance(answer(library, tmp_path / "none"), FileNotFoundError), "a missing file ends every chain")


@pytest.mark.peer_defect(18)
def test_a_tenant_is_checked_before_it_becomes_part_of_a_url(entra: LocalEntra) -> None:
    def answer(library: Any) -> Any:
        credential = by_secret(library, entra, additionally_allowed_tenants=["*"])
        return answer_of(credential, tenant_id="x/../organizations/oauth2/v2.0/token?")

    for library in OURS:
        refused = answer(library)
        assert isinstance(refused, ValueError)
        assert entra.connections == 0
    answer(ASYNC_PEER)
    still(entra.connections, "a tenant with slashes and a question mark is sent, with the secret")


@pytest.mark.peer_defect(19)
def test_no_other_scope_is_asked_for_than_wanted(entra: LocalEntra) -> None:
    def scope(library: Any) -> str:
        credential = on_behalf_of(library, entra, entra.sign_in("alice"), client_secret=SECRET)
        assert isinstance(answer_of(credential, DELEGATED), str)
        return last_form(entra)["scope"]

    assert [scope(library) for library in OURS] == [DELEGATED, DELEGATED]
    still("offline_access" in scope(BLOCKING_PEER), "the blocking OnBehalfOfCredential asks for offline_access")


@pytest.mark.peer_defect(21)
def test_the_end_that_an_answer_names_comes_before_the_life_that_it_tells(entra: LocalEntra) -> None:
    end = int(time.time()) + 600
    body = {"access_token": "a", "token_type": "Bearer", "expires_in": 3600, "expires_on": end}

    def expires_on(library: Any) -> Any:
        entra.answer_once(200, {"content-type": "application/json"}, json.dumps(body).encode())
        with by_secret(library, entra) as credential:
            return credential.get_token(SCOPE).expires_on

    assert expires_on(credentials) == end
    still(expires_on(BLOCKING_PEER) != end, "the blocking ClientSecretCredential knows no expires_on")


@pytest.mark.peer_defect(24)
def test_the_certificate_of_the_key_is_found_wherever_it_stands(entra: LocalEntra) -> None:
    for library in OURS:
        assert isinstance(answer_of(by_certificate(library, entra, ROOT_FIRST)), str)
    for library in PEERS:
        refused = answer_of(by_certificate(library, entra, ROOT_FIRST))
        still(isinstance(refused, Exception), "the first certificate of a file is taken for the key's")


@pytest.mark.peer_defect(25)
def test_an_empty_variable_counts_as_not_set(
    entra: LocalEntra, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "certificate.pem"
    path.write_bytes(PEM)
    names = {"AZURE_TENANT_ID": entra.tenant_id, "AZURE_CLIENT_ID": entra.api.client_id}
    set_variables(monkeypatch, **names, AZURE_CLIENT_SECRET="", AZURE_CLIENT_CERTIFICATE_PATH=str(path))
    for library in OURS:
        assert isinstance(answer_of(library.EnvironmentCredential(**options_of(library, entra))), str)
    for library in PEERS:
        made = can_be_made(library.EnvironmentCredential, **options_of(library, entra))
        still(not made, "an empty AZURE_CLIENT_SECRET hides the certificate, and no credential can be made")


def can_be_made(kind: Any, **options: Any) -> bool:
    try:
        kind(**options)
    except ValueError:
        return False
    return True


def test_a_mended_defect_is_told_in_so_many_words() -> None:
    with pytest.raises(AssertionError, match=r"azure-identity [0-9.]+ does not show this defect any more: it leaks"):
        still(shown=False, what="it leaks")
