"""ClientSecretCredential in both colours against the local provider."""

from __future__ import annotations

from typing import Any

import pytest

from credentials import (
    AccessToken,
    AccessTokenInfo,
    ClientAuthenticationError,
    ClientConfigurationError,
    ProviderUnavailableError,
)
from credentials import _token_endpoint as token_endpoint
from obo_middleware.testing import LocalEntra
from tests.credentials.helpers import GRAPH, SECRET, Clock, Colour, claims_of, local_options
from tests.credentials.secret_credentials import SCOPE, made

# Tokens


def test_a_token_is_the_applications_own(entra: LocalEntra, app: Any, colour: Colour) -> None:
    token = colour.get_token(app, SCOPE)
    claims = claims_of(token.token)
    assert (claims["aud"], claims["appid"], claims["oid"]) == (GRAPH, entra.api.client_id, entra.api.object_id)
    assert isinstance(token, AccessToken)
    assert token.expires_on == claims["exp"]
    assert isinstance(token.expires_on, int)


def test_a_token_with_its_renewal_time(entra: LocalEntra, app: Any, colour: Colour) -> None:
    info = colour.get_token_info(app, SCOPE, options={"enable_cae": True})
    assert isinstance(info, AccessTokenInfo)
    assert info.refresh_on == info.expires_on - 300
    assert info.token_type == "Bearer"
    assert claims_of(info.token)["xms_cc"] == ["cp1"]
    assert colour.get_token_info(app, SCOPE).token != info.token
    assert entra.requests_to("token") == 2


def test_a_cached_token_costs_no_request(entra: LocalEntra, app: Any, colour: Colour) -> None:
    tokens = {colour.get_token(app, SCOPE).token for _ in range(3)}
    assert len(tokens) == 1
    assert colour.get_token_info(app, SCOPE).token in tokens
    assert entra.requests_to("token") == 1


def test_claims_replace_the_token(entra: LocalEntra, app: Any, colour: Colour) -> None:
    first = colour.get_token(app, SCOPE)
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    second = colour.get_token(app, SCOPE, claims=claims)
    assert second.token != first.token
    assert colour.get_token(app, SCOPE) == second
    assert [request.form.get("claims") for request in entra.token_requests] == [None, claims]


def test_unknown_keywords_and_options_are_ignored(app: Any, colour: Colour) -> None:
    token = colour.get_token(app, SCOPE, something="else")
    unknown: Any = {"pop": {}}
    assert colour.get_token_info(app, SCOPE, options=unknown).token == token.token


def test_a_token_of_another_tenant(entra: LocalEntra, colour: Colour) -> None:
    other = entra.add_tenant()
    credential = made(entra, colour, additionally_allowed_tenants=[other.tenant_id])
    assert claims_of(colour.get_token(credential, SCOPE, tenant_id=other.tenant_id).token)["tid"] == other.tenant_id
    info = colour.get_token_info(credential, SCOPE, options={"tenant_id": other.tenant_id})
    assert claims_of(info.token)["tid"] == other.tenant_id
    assert claims_of(colour.get_token(credential, SCOPE).token)["tid"] == entra.tenant_id
    assert entra.requests_to("token") == 2
    with pytest.raises(ClientAuthenticationError, match="additionally_allowed_tenants"):
        colour.get_token(credential, SCOPE, tenant_id="third.example")


def test_a_wrong_secret_is_our_configuration(entra: LocalEntra, colour: Colour) -> None:
    credential = colour.client_secret(entra.tenant_id, entra.api.client_id, "guess", **local_options(entra))
    for _ in range(2):
        with pytest.raises(ClientConfigurationError, match="AADSTS7000215") as caught:
            colour.get_token(credential, SCOPE)
        assert (caught.value.status_code, caught.value.error_codes) == (401, (7000215,))
    assert entra.requests_to("token") == 2


@pytest.mark.peer_defect(7)
def test_a_secret_that_is_put_right_works_at_once(entra: LocalEntra, colour: Colour) -> None:
    credential = colour.client_secret(entra.tenant_id, entra.api.client_id, "late", **local_options(entra))
    with pytest.raises(ClientConfigurationError):
        colour.get_token(credential, SCOPE)
    before = entra.api
    entra.add_secret(entra.api, "late")
    assert colour.get_token(credential, SCOPE).token
    entra.update_app(entra.api, secrets=before.secrets)


def test_an_outage_is_tried_three_times(
    entra: LocalEntra, app: Any, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0, 0.0))
    entra.outage(503)
    with pytest.raises(ProviderUnavailableError):
        colour.get_token(app, SCOPE)
    assert entra.requests_to("token") == 3
    entra.forget_faults()
    entra.outage(500, times=2)
    assert colour.get_token(app, SCOPE).token


def test_throttling_is_obeyed_without_a_second_request(entra: LocalEntra, app: Any, colour: Colour) -> None:
    entra.throttle(17)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError) as caught:
            colour.get_token(app, SCOPE)
        assert caught.value.retry_after == 17
    assert entra.requests_to("token") == 1


def test_the_life_of_a_token_over_the_wire(colour: Colour, clock: Clock) -> None:
    with LocalEntra(clock=clock, token_lifetime=3600, refresh_in=1800) as entra:
        credential = made(entra, colour)
        first = colour.get_token(credential, SCOPE).token
        clock.now += 1799
        assert colour.get_token(credential, SCOPE).token == first
        assert entra.requests_to("token") == 1
        entra.throttle(5, times=1)
        clock.now += 1
        assert colour.get_token(credential, SCOPE).token == first
        clock.now += 29
        assert colour.get_token(credential, SCOPE).token == first
        assert entra.requests_to("token") == 2
        clock.now += 1
        second = colour.get_token(credential, SCOPE).token
        assert second != first
        clock.now += 3600
        assert colour.get_token(credential, SCOPE).token not in (first, second)
        assert entra.requests_to("token") == 4


# Construction


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("", "client", "secret"), "tenant_id"),
        (("my tenant", "client", "secret"), "tenant_id"),
        ((None, "client", "secret"), "tenant_id"),
        (("tenant", "", "secret"), "client_id"),
        (("tenant", "client", ""), "client_secret"),
        (("tenant", "client", None), "client_secret"),
    ],
)
def test_a_missing_or_malformed_argument_is_named(colour: Colour, arguments: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        colour.client_secret(*arguments)


def test_an_unknown_option_is_a_type_error_that_names_it(colour: Colour) -> None:
    with pytest.raises(TypeError, match=r"ClientSecretCredential does not take.*autority"):
        colour.client_secret("tenant", "client", "secret", autority="x")


def test_options_of_azure_identity_are_taken(colour: Colour) -> None:
    colour.client_secret(
        "tenant",
        "client",
        "secret",
        authority="login.chinacloudapi.cn",
        additionally_allowed_tenants=None,
        disable_instance_discovery=True,
    )


def test_plain_http_must_be_allowed(colour: Colour) -> None:
    with pytest.raises(ValueError, match="https"):
        colour.client_secret("tenant", "client", "secret", authority="http://127.0.0.1:1")


def test_the_authority_of_the_environment_is_used(
    entra: LocalEntra, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.authority)
    assert colour.get_token(made(entra, colour, authority=None), SCOPE).token


def test_a_credential_shows_no_secret(app: Any, colour: Colour) -> None:
    token = colour.get_token(app, SCOPE).token
    shown = f"{app!r} {app} {vars(app)} {vars(app._client)} {vars(app._client.engine)}"
    assert SECRET not in shown
    assert token not in shown
