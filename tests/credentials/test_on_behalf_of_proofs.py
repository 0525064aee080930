"""How an OnBehalfOfCredential proves its application, and the arguments that it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import jwt
import pytest

from credentials import AuthenticationError, ClientCertificate
from credentials._client_authentication import TokenRequestFacts
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import SECRET, Colour, certificate_pem, claims_of, key_pem, local_options
from tests.credentials.user_credentials import SCOPES, made

# Proofs


def certificate_of(entra: LocalEntra, password: bytes | None = None) -> bytes:
    """Register a certificate with the demo API and return it with its key."""
    if not entra.api.certificates:
        entra.add_certificate(entra.api, certificate_pem())
    return key_pem(password=password) + certificate_pem()


@pytest.mark.parametrize(
    ("form", "password_name"), [("path", "password"), ("path", "certificate_password"), ("bytes", "password")]
)
@pytest.mark.parametrize("chain", [False, True])
def test_a_certificate_proves_the_application(  # noqa: PLR0917  # each combination counts
    entra: LocalEntra, colour: Colour, tmp_path: Path, form: str, password_name: str, chain: bool
) -> None:
    data = certificate_of(entra, b"pw")
    path = tmp_path / "app.pem"
    path.write_bytes(data)
    proof: dict[str, Any] = {"certificate_path": str(path)} if form == "path" else {"client_certificate": data}
    credential = made(entra, colour, send_certificate_chain=chain, **proof, **{password_name: "pw"})
    assert claims_of(colour.get_token(credential, *SCOPES).token)["appidacr"] == "2"
    fields = entra.token_requests[0].form
    assert "client_secret" not in fields
    assert ("x5c" in jwt.get_unverified_header(fields["client_assertion"])) == chain


@pytest.mark.peer_defect(2)
def test_a_certificates_assertion_is_for_the_tenant_that_is_asked(entra: LocalEntra, colour: Colour) -> None:
    other = entra.add_tenant()
    dave = entra.add_user("dave", tenant=other)
    credential = made(
        entra,
        colour,
        client_certificate=certificate_of(entra),
        user_assertion=entra.sign_in(dave),
        additionally_allowed_tenants=[other.tenant_id],
    )
    colour.get_token(credential, *SCOPES, tenant_id=other.tenant_id)
    assertion = claims_of(entra.token_requests[0].form["client_assertion"])
    assert assertion["aud"] == f"{entra.authority}/{other.tenant_id}/oauth2/v2.0/token"


@pytest.mark.parametrize("name", ["client_assertion_func", "get_assertion"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_callback_proves_the_application_and_is_called_for_each_request(
    entra: LocalEntra, colour: Colour, name: str, asynchronous: bool
) -> None:
    certificate = ClientCertificate(data=certificate_of(entra))
    calls: list[str] = []

    def callback() -> str:
        endpoint = f"{entra.authority}/{entra.tenant_id}/oauth2/v2.0/token"
        facts = TokenRequestFacts(
            client_id=entra.api.client_id, tenant_id=entra.tenant_id, token_endpoint=endpoint, now=entra.clock()
        )
        calls.append(facts.assertion_id)
        return certificate.sign(facts)

    async def callback_async() -> str:
        await asyncio.sleep(0)
        return callback()

    proof: dict[str, Any] = {name: callback_async if asynchronous else callback}
    credential = made(entra, colour, **proof)
    for _ in range(3):
        colour.get_token(credential, *SCOPES)
    assert len(calls) == 1
    colour.get_token(credential, *SCOPES, claims="{}")
    assert len(calls) == 2


def test_a_callback_that_fails_is_told(entra: LocalEntra, colour: Colour) -> None:
    def broken() -> str:
        raise OSError("no disk")

    with pytest.raises(AuthenticationError, match="OSError"):
        colour.get_token(made(entra, colour, client_assertion_func=broken), *SCOPES)
    assert entra.requests_to("token") == 0


# Construction


def construct(colour: Colour, **arguments: Any) -> Any:
    return colour.on_behalf_of("tenant", "client", **arguments)


def function() -> str:
    return "proof"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"client_secret": "s"}, "user_assertion"),
        ({"client_secret": "s", "user_assertion": ""}, "user_assertion"),
        ({"client_secret": "s", "user_assertion_token": ""}, "user_assertion"),
        ({"client_secret": "s", "user_assertion": b"bytes"}, "user_assertion"),
        ({"user_assertion": "a"}, "exactly one of"),
        ({"user_assertion": "a", "client_secret": ""}, "exactly one of"),
        ({"user_assertion": "a", "client_secret": "s", "client_certificate": b"c"}, "more than one of the following"),
        ({"user_assertion": "a", "client_secret": "s", "certificate_path": "p"}, "more than one of the following"),
        ({"user_assertion": "a", "client_secret": "s", "get_assertion": function}, "more than one of the following"),
        ({"user_assertion": "a", "certificate_path": "p", "client_certificate": b"c"}, "not both"),
        ({"user_assertion": "a", "client_certificate": b"c"}, "certificate"),
        ({"user_assertion": "a", "certificate_path": "/does/not/exist.pem"}, "cannot be read"),
        ({"user_assertion": "a", "client_assertion_func": "text"}, "function"),
        ({"user_assertion": "a", "user_assertion_token": "b", "client_secret": "s"}, "user_assertion"),
        (
            {"user_assertion": "a", "client_assertion_func": function, "get_assertion": lambda: "other"},
            "client_assertion_func",
        ),
        ({"user_assertion": "a", "client_certificate": b"c", "password": "x", "certificate_password": "y"}, "password"),
    ],
)
def test_missing_and_contradictory_arguments_are_named(colour: Colour, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        construct(colour, **arguments)


@pytest.mark.parametrize("tenant", ["", "a/b", None])
def test_the_tenant_is_checked(colour: Colour, tenant: Any) -> None:
    with pytest.raises(ValueError, match="tenant_id"):
        colour.on_behalf_of(tenant, "client", user_assertion="a", client_secret="s")


def test_the_javascript_name_of_the_assertion_is_taken(entra: LocalEntra, colour: Colour) -> None:
    assertion = entra.sign_in("alice")
    options = local_options(entra) | {"user_assertion_token": assertion, "client_secret": SECRET}
    credential = colour.on_behalf_of(entra.tenant_id, entra.api.client_id, **options)
    assert claims_of(colour.get_token(credential, *SCOPES).token)["oid"] == entra.alice.object_id


def test_a_name_and_its_alias_may_say_the_same(colour: Colour) -> None:
    assert construct(colour, user_assertion="a", user_assertion_token="a", client_secret="s")


def test_a_credential_shows_neither_assertion_nor_secret(entra: LocalEntra, colour: Colour) -> None:
    assertion = entra.sign_in("alice")
    credential = made(entra, colour, user_assertion=assertion)
    token = colour.get_token(credential, *SCOPES).token
    shown = f"{credential!r} {credential} {vars(credential)} {vars(credential._client)} {credential._assertion!r}"
    assert not [text for text in (assertion, SECRET, token) if text in shown]


@pytest.mark.attack(121)
@pytest.mark.peer_defect(20)
def test_each_assertion_is_a_partition_of_its_own(colour: Colour) -> None:
    one, other, again = [construct(colour, user_assertion=text, client_secret="s") for text in ("a", "b", "a")]
    assert one._assertion.partition == again._assertion.partition != other._assertion.partition
