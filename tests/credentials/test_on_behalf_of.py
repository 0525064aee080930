"""OnBehalfOfCredential in both colours against the local provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from credentials import (
    AuthenticationError,
    ClientConfigurationError,
    ConsentRequiredError,
    CredentialUnavailableError,
    InteractionRequiredError,
    InvalidAssertionError,
)
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import GRAPH, Clock, Colour, claims_of, in_threads
from tests.credentials.user_credentials import SCOPES, made

# Tokens


def test_a_token_is_the_users_own(entra: LocalEntra, colour: Colour) -> None:
    for user in (entra.alice, entra.bob):
        claims = claims_of(colour.get_token(made(entra, colour, user.name), *SCOPES).token)
        assert (claims["oid"], claims["aud"], claims["scp"]) == (user.object_id, GRAPH, "User.Read Mail.Read")
    assert entra.exchanges == 2


@pytest.mark.attack(119)
def test_a_token_is_kept_by_scopes_and_not_by_their_order(entra: LocalEntra, colour: Colour) -> None:
    credential = made(entra, colour)
    first = colour.get_token(credential, *SCOPES)
    assert colour.get_token(credential, *reversed(SCOPES), SCOPES[0]) == first
    assert colour.get_token_info(credential, *SCOPES).token == first.token
    assert entra.exchanges == 1
    assert colour.get_token(credential, SCOPES[0]) != first
    assert entra.exchanges == 2


@pytest.mark.attack(124)
def test_many_threads_share_one_exchange(entra: LocalEntra) -> None:
    credential = made(entra, Colour("blocking"))
    entra.think_time = 0.05
    with credential:
        tokens = in_threads(20, lambda: credential.get_token(*SCOPES).token)
    assert len(set(tokens)) == 1
    assert entra.exchanges == 1


@pytest.mark.attack(124)
def test_many_tasks_share_one_exchange(entra: LocalEntra) -> None:
    credential = made(entra, Colour("async"))
    entra.think_time = 0.05

    async def main() -> list[Any]:
        async with credential:
            return await asyncio.gather(*[credential.get_token(*SCOPES) for _ in range(20)])

    assert len(set(asyncio.run(main()))) == 1
    assert entra.exchanges == 1


def test_a_user_of_another_tenant_is_served_where_allowed(entra: LocalEntra, colour: Colour) -> None:
    other = entra.add_tenant()
    carol = entra.add_user("carol", tenant=other)
    assertion = entra.sign_in(carol)
    credential = made(entra, colour, user_assertion=assertion, additionally_allowed_tenants=["*"])
    assert claims_of(colour.get_token(credential, *SCOPES, tenant_id=other.tenant_id).token)["oid"] == carol.object_id


@pytest.mark.attack(154, 157)
@pytest.mark.peer_defect(19)
def test_no_refresh_token_is_asked_for(entra: LocalEntra, colour: Colour) -> None:
    with pytest.raises(ValueError, match="offline_access"):
        colour.get_token(made(entra, colour), "User.Read", "offline_access")
    assert entra.requests_to("token") == 0
    colour.get_token(made(entra, colour), *SCOPES)
    assert entra.token_requests[0].form["scope"] == " ".join(SCOPES)


FIELDS = ["assertion", "grant_type", "client_id", "requested_token_use", "scope"]


@pytest.mark.attack(155)
@pytest.mark.parametrize("field", FIELDS)
def test_no_option_replaces_a_field_of_the_request(entra: LocalEntra, colour: Colour, field: str) -> None:
    other = {field: "another"}
    with pytest.raises(TypeError, match=field):
        made(entra, colour, **other)
    assert entra.token_requests == []
    credential = made(entra, colour)
    colour.get_token(credential, *SCOPES, **other)  # SDKs hand all sorts of options on
    form = entra.token_requests[0].form
    assert form["assertion"] == credential._assertion.token
    assert (form["client_id"], form["scope"]) == (entra.api.client_id, " ".join(SCOPES))
    assert "another" not in form.values()


# Refusals


@pytest.mark.attack(123)
def test_a_missing_consent_is_remembered_for_this_user_only(colour: Colour, clock: Clock) -> None:
    with LocalEntra(clock=clock) as entra:
        entra.require_consent("alice", entra.api, ["Mail.Read"])
        alice, bob = made(entra, colour), made(entra, colour, "bob")
        for _ in range(3):
            with pytest.raises(ConsentRequiredError, match="AADSTS65001"):
                colour.get_token(alice, *SCOPES)
        assert entra.requests_to("token") == 1
        assert colour.get_token(bob, *SCOPES).token
        entra.grant_consent("alice", entra.api, ["Mail.Read"])
        clock.now += 60
        assert colour.get_token(alice, *SCOPES).token
        assert entra.requests_to("token") == 3


def test_a_second_factor_is_asked_for_with_its_claims(colour: Colour, clock: Clock) -> None:
    with LocalEntra(clock=clock) as entra:
        entra.require_mfa("alice")
        with pytest.raises(InteractionRequiredError, match="AADSTS50076") as caught:
            colour.get_token(made(entra, colour), *SCOPES)
        assert caught.value.claims is not None
        assert "capolids" in caught.value.claims
        assert caught.value.suberror == "basic_action"
        strong = made(entra, colour, user_assertion=entra.sign_in("alice", amr=["pwd", "mfa"]))
        assert colour.get_token(strong, *SCOPES).token


@pytest.mark.parametrize(
    ("changes", "code", "kind"),
    [
        ({"lifetime": -1}, 500133, InvalidAssertionError),
        ({"aud": "api://other"}, 500131, ClientConfigurationError),
        ({"oid": "nobody"}, 50034, InvalidAssertionError),
        ({"iss": "https://elsewhere.example"}, 50013, InvalidAssertionError),
    ],
)
def test_an_assertion_that_is_refused_says_why(
    entra: LocalEntra, colour: Colour, changes: dict[str, Any], code: int, kind: type[AuthenticationError]
) -> None:
    assertion = entra.sign_in("alice", **changes)
    with pytest.raises(AuthenticationError, match=f"AADSTS{code}") as caught:
        colour.get_token(made(entra, colour, user_assertion=assertion), *SCOPES)
    assert type(caught.value) is kind
    assert caught.value.error_codes == (code,)


def test_an_application_cannot_be_acted_for(entra: LocalEntra, colour: Colour) -> None:
    with pytest.raises(InvalidAssertionError, match="AADSTS7000114"):
        colour.get_token(made(entra, colour, user_assertion=entra.app_token()), *SCOPES)


# As the middleware makes it


def of(entra: LocalEntra, colour: Colour, **changes: Any) -> Any:
    source = made(entra, colour, additionally_allowed_tenants=["*"])
    usual: dict[str, Any] = {"tenant_id": None, "check": lambda: None}
    return type(source).of(source._client, source._pool, source._assertion, **(usual | changes))


def get_and_close_pool(colour: Colour, credential: Any, *scopes: str, **options: Any) -> str:
    """Return a token, and close the pool, which a credential over a shared client leaves to its owner."""
    if colour.name == "blocking":
        try:
            return str(credential.get_token(*scopes, **options).token)
        finally:
            credential._pool.close()

    async def ask() -> str:
        try:
            return str((await credential.get_token(*scopes, **options)).token)
        finally:
            await credential._pool.aclose()

    return asyncio.run(ask())


def test_a_users_credential_can_be_had_over_a_client_that_others_use(entra: LocalEntra, colour: Colour) -> None:
    assert get_and_close_pool(colour, of(entra, colour), *SCOPES)


def test_closing_it_leaves_the_connections_that_others_use_open(entra: LocalEntra, colour: Colour) -> None:
    credential = of(entra, colour)
    entra.reset_counts()

    async def use() -> None:
        async with credential:
            await credential.get_token(*SCOPES)
        async with credential:
            await credential.get_token("User.Read")
        await credential._pool.aclose()

    if colour.name == "async":
        asyncio.run(use())
    else:
        with credential:
            credential.get_token(*SCOPES)
        with credential:
            credential.get_token("User.Read")
        credential._pool.close()
    assert (entra.connections, len(entra.token_requests)) == (1, 2)


def test_it_asks_the_users_tenant_unless_told_otherwise(entra: LocalEntra, colour: Colour) -> None:
    credential = of(entra, colour, tenant_id="contoso.example")
    get_and_close_pool(colour, credential, *SCOPES)
    get_and_close_pool(colour, credential, *SCOPES, tenant_id=entra.tenant_id)
    assert [request.tenant for request in entra.token_requests] == ["contoso.example", entra.tenant_id]


@pytest.mark.attack(172)
def test_it_refuses_once_its_check_does(entra: LocalEntra, colour: Colour) -> None:
    over = False

    def check() -> None:
        if over:
            raise CredentialUnavailableError("the request is over")

    credential = of(entra, colour, check=check)
    get_and_close_pool(colour, credential, *SCOPES)
    over = True
    with pytest.raises(CredentialUnavailableError, match="over"):
        get_and_close_pool(colour, credential, *SCOPES)
