"""MSAL for Python and azure-identity, unmodified, beside ours: the same answers for the same form fields."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import azure.identity
import azure.identity.aio
import jwt
import msal
import pytest

from credentials import ClientCertificate, aio
from credentials import ClientSecretCredential as OurClientSecretCredential
from credentials import OnBehalfOfCredential as OurOnBehalfOfCredential
from credentials._authority import Authority
from credentials._client_credentials import ApplicationCredential, AsyncApplicationCredential
from credentials._confidential_client import ConfidentialClient
from credentials._credential import TokenEngine
from credentials._family import pool_for
from obo_middleware.testing import LocalEntra, TokenRequest
from tests.credentials.helpers import GRAPH, SECRET, certificate_pem, claims_of, key_pem

DEFAULT = f"{GRAPH}/.default"
DELEGATED = f"{GRAPH}/User.Read"
PEM = key_pem() + certificate_pem()

# Where we differ from a peer, and why. A field that differs and is not listed here fails the test.
ACCEPTED: dict[tuple[str, str], str] = {
    ("msal", "client_info"): "MSAL asks for client_info with every grant; we do for users, the only ones it tells of",
    ("msal", "scope"): "MSAL adds openid, profile and offline_access; we keep no refresh token, so we ask for none",
    ("identity", "client_info"): "azure-identity's blocking credentials are MSAL's",
    ("identity", "scope"): "azure-identity's blocking credentials are MSAL's",
    ("identity.aio", "client_info"): "its client credentials have none, and neither have ours",
}
ACCEPTED_IN_ASSERTIONS: dict[tuple[str, str], str] = {
    ("msal", "alg"): "RS256, which Entra advises against; we sign with PS256",
    ("msal", "x5t"): "SHA-1; we name the certificate by its SHA-256 hash",
    ("msal", "x5t#S256"): "see x5t",
    ("msal", "nbf"): "MSAL leaves it out; Entra's documentation asks for it",
    ("identity", "alg"): "azure-identity's blocking credentials are MSAL's",
    ("identity", "x5t"): "azure-identity's blocking credentials are MSAL's",
    ("identity", "x5t#S256"): "azure-identity's blocking credentials are MSAL's",
    ("identity", "nbf"): "azure-identity's blocking credentials are MSAL's",
    ("identity.aio", "x5t#S256"): "azure-identity pads its base64url, which RFC 7515 does not allow",
    ("identity.aio", "iat"): "left out there; RFC 7523 allows both",
}
PER_REQUEST = {"jti", "iat", "nbf", "exp"}


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalEntra]:
    with LocalEntra(tls=True) as entra:
        entra.add_certificate(entra.api, certificate_pem())
        yield entra


@pytest.fixture(autouse=True)
def _no_other_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what makes the library `requests`, and so MSAL, trust others than it is told to."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def options(entra: LocalEntra) -> dict[str, Any]:
    return {"authority": entra.authority, "connection_verify": entra.ca_pem_path, "disable_instance_discovery": True}


def names(entra: LocalEntra) -> tuple[str, str]:
    return entra.tenant_id, entra.api.client_id


def run(credential: Any, scope: str) -> str:
    async def main() -> str:
        async with credential:
            return str((await credential.get_token(scope)).token)

    return asyncio.run(main())


def run_blocking(credential: Any, scope: str) -> str:
    with credential:
        return str(credential.get_token(scope).token)


# MSAL


def msal_app(entra: LocalEntra, credential: Any) -> Any:
    return msal.ConfidentialClientApplication(
        entra.api.client_id,
        authority=f"{entra.authority}/{entra.tenant_id}",
        client_credential=credential,
        instance_discovery=False,
        verify=entra.ca_pem_path,
    )


def thumbprinted() -> dict[str, str]:
    """Return MSAL's certificate with the thumbprint that it has put into `x5t` since its beginnings."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    sha1 = x509.load_pem_x509_certificate(certificate_pem()).fingerprint(hashes.SHA1()).hex()  # noqa: S303  # theirs
    return {"private_key": key_pem().decode(), "thumbprint": sha1}


def msal_for_itself(credential: Any) -> Callable[[LocalEntra, str], str]:
    def get(entra: LocalEntra, _assertion: str) -> str:
        return str(msal_app(entra, credential).acquire_token_for_client([DEFAULT])["access_token"])

    return get


def msal_on_behalf_of(credential: Any) -> Callable[[LocalEntra, str], str]:
    def get(entra: LocalEntra, assertion: str) -> str:
        answer = msal_app(entra, credential).acquire_token_on_behalf_of(assertion, [DELEGATED])
        return str(answer["access_token"])

    return get


# azure-identity


def identity(kind: str, proof: dict[str, Any], *, awaitable: bool) -> Callable[[LocalEntra, str], str]:
    library: Any = azure.identity.aio if awaitable else azure.identity
    go = run if awaitable else run_blocking

    def get(entra: LocalEntra, assertion: str) -> str:
        arguments = proof | options(entra)
        if kind == "OnBehalfOfCredential":
            arguments["user_assertion"] = assertion
        scope = DELEGATED if kind == "OnBehalfOfCredential" else DEFAULT
        return go(getattr(library, kind)(*names(entra), **arguments), scope)

    return get


# Ours


def ours_by_secret(entra: LocalEntra, _assertion: str, *, awaitable: bool) -> str:
    if awaitable:
        return run(aio.ClientSecretCredential(*names(entra), SECRET, **options(entra)), DEFAULT)
    return run_blocking(OurClientSecretCredential(*names(entra), SECRET, **options(entra)), DEFAULT)


def ours_by_certificate(entra: LocalEntra, _assertion: str, *, awaitable: bool) -> str:
    client = ConfidentialClient(
        authority=Authority.parse(entra.authority),
        tenant_id=entra.tenant_id,
        client_id=entra.api.client_id,
        authentication=ClientCertificate(data=PEM),
        engine=TokenEngine(),
    )
    kind = AsyncApplicationCredential if awaitable else ApplicationCredential
    credential = kind.of(client, pool_for(entra.ca_pem_path))
    credential._owns_pool = True  # nobody else uses it here, so it is closed with the credential
    return run(credential, DEFAULT) if awaitable else run_blocking(credential, DEFAULT)


def ours_on_behalf_of(entra: LocalEntra, assertion: str, *, awaitable: bool, by_certificate: bool) -> str:
    proof: dict[str, Any] = {"client_certificate": PEM} if by_certificate else {"client_secret": SECRET}
    arguments = {"user_assertion": assertion, **proof, **options(entra)}
    if awaitable:
        return run(aio.OnBehalfOfCredential(*names(entra), **arguments), DELEGATED)
    return run_blocking(OurOnBehalfOfCredential(*names(entra), **arguments), DELEGATED)


OURS: dict[str, Callable[..., str]] = {
    "secret": ours_by_secret,
    "certificate": ours_by_certificate,
    "on behalf of, secret": lambda *args, **kwargs: ours_on_behalf_of(*args, by_certificate=False, **kwargs),
    "on behalf of, certificate": lambda *args, **kwargs: ours_on_behalf_of(*args, by_certificate=True, **kwargs),
}
SECRET_PROOF = {"client_secret": SECRET}
PEERS: dict[str, dict[str, Callable[[LocalEntra, str], str]]] = {
    "msal": {
        "secret": msal_for_itself(SECRET),
        "certificate": msal_for_itself(thumbprinted()),
        "on behalf of, secret": msal_on_behalf_of(SECRET),
        "on behalf of, certificate": msal_on_behalf_of(thumbprinted()),
    },
    **{
        name: {
            "secret": identity("ClientSecretCredential", SECRET_PROOF, awaitable=awaitable),
            "certificate": identity("CertificateCredential", {"certificate_data": PEM}, awaitable=awaitable),
            "on behalf of, secret": identity("OnBehalfOfCredential", SECRET_PROOF, awaitable=awaitable),
            "on behalf of, certificate": identity(
                "OnBehalfOfCredential", {"client_certificate": PEM}, awaitable=awaitable
            ),
        }
        for name, awaitable in (("identity", False), ("identity.aio", True))
    },
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:msal.*")
@pytest.mark.parametrize("awaitable", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("grant", OURS)
@pytest.mark.parametrize("peer", PEERS)
def test_we_get_what_a_peer_gets_and_ask_what_it_asks(
    entra: LocalEntra, peer: str, grant: str, awaitable: bool
) -> None:
    assertion = entra.sign_in("alice")
    theirs, ours = PEERS[peer][grant](entra, assertion), OURS[grant](entra, assertion, awaitable=awaitable)
    wanted = ("aud", "iss", "tid", "oid", "sub", "appid", "appidacr", "scp", "roles", "idtyp", "ver")
    assert {n: claims_of(theirs).get(n) for n in wanted} == {n: claims_of(ours).get(n) for n in wanted}
    their_request, our_request = entra.token_requests
    assert our_request.tenant == their_request.tenant
    assert unlisted(peer, fields_of(their_request), fields_of(our_request), ACCEPTED) == {}
    if "certificate" in grant:
        their_proof, our_proof = proof_of(their_request), proof_of(our_request)
        assert unlisted(peer, their_proof, our_proof, ACCEPTED_IN_ASSERTIONS) == {}


def unlisted(
    peer: str, theirs: dict[str, Any], ours: dict[str, Any], accepted: dict[tuple[str, str], str]
) -> dict[str, tuple[Any, Any]]:
    differing = {name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name)}
    return {name: (theirs.get(name), ours.get(name)) for name in differing if (peer, name) not in accepted}


def fields_of(request: TokenRequest) -> dict[str, Any]:
    form = dict(request.form)
    if "client_assertion" in form:
        form["client_assertion"] = "compared apart"
    return form


def proof_of(request: TokenRequest) -> dict[str, Any]:
    assertion = request.form["client_assertion"].replace("=", "")
    members = jwt.get_unverified_header(assertion) | claims_of(assertion)
    return {name: name in PER_REQUEST or value for name, value in members.items()}


def test_the_comparison_finds_a_field_that_is_missing_added_or_different() -> None:
    found = unlisted("msal", {"a": 1, "b": 2, "scope": "x"}, {"a": 1, "b": 3, "c": 4, "scope": "y"}, ACCEPTED)
    assert found == {"b": (2, 3), "c": (None, 4)}


def test_a_refusal_reaches_us_and_the_peers_alike(entra: LocalEntra) -> None:
    entra.require_consent("bob", entra.api, ["User.Read"])
    assertion = entra.sign_in("bob")
    answer = msal_app(entra, SECRET).acquire_token_on_behalf_of(assertion, [DELEGATED])
    assert answer["error_codes"] == [65001]
    credential = azure.identity.OnBehalfOfCredential(
        *names(entra), client_secret=SECRET, user_assertion=assertion, **options(entra)
    )
    ours = OurOnBehalfOfCredential(*names(entra), client_secret=SECRET, user_assertion=assertion, **options(entra))
    for one in (credential, ours):
        with one, pytest.raises(azure.core.exceptions.ClientAuthenticationError, match="AADSTS65001"):
            one.get_token(DELEGATED)
    entra.grant_consent("bob", entra.api, ["User.Read"])
