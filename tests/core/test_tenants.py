from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from credentials.kernel import HttpResponse
from obo_middleware import ConfigurationError
from obo_middleware._discovery import TEMPLATE
from obo_middleware._validation import TokenValidator
from obo_middleware.errors import InvalidTokenError
from obo_middleware.testing import LocalEntra, Tenant
from tests.core.kit import TENANT, Run, fetch, no_answer, play, settings_for

CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.fixture
def fabrikam(entra: LocalEntra) -> Tenant:
    tenant = entra.add_tenant(None, "fabrikam.example")
    entra.add_user("carol", tenant=tenant)
    return tenant


def many(entra: LocalEntra, *allowed: str, tenant_id: str = "organizations") -> TokenValidator:
    return TokenValidator(settings_for(entra, tenant_id=tenant_id, allowed_tenants=allowed))


@pytest.mark.parametrize("tenant_id", ["organizations", "common"])
@pytest.mark.parametrize("version", [1, 2])
def test_users_of_every_allowed_tenant_are_let_in(
    entra: LocalEntra, fabrikam: Tenant, run: Run, tenant_id: str, version: int
) -> None:
    validator = many(entra, TENANT, fabrikam.tenant_id.upper(), tenant_id=tenant_id)
    for name, tenant in (("alice", TENANT), ("carol", fabrikam.tenant_id)):
        assert run(validator.validate_flow(entra.sign_in(name, version=version))).user.tenant_id == tenant


def test_a_star_lets_every_tenant_in(entra: LocalEntra, fabrikam: Tenant, run: Run) -> None:
    assert run(many(entra, "*").validate_flow(entra.sign_in("carol"))).user.tenant_id == fabrikam.tenant_id


@pytest.mark.attack(71)
def test_a_tenant_that_is_not_allowed_is_refused(entra: LocalEntra, fabrikam: Tenant, run: Run) -> None:
    with pytest.raises(InvalidTokenError):
        run(many(entra, TENANT).validate_flow(entra.sign_in("carol")))


@pytest.mark.attack(71, 156)
def test_the_tenant_is_refused_before_its_key_is_looked_up(entra: LocalEntra, fabrikam: Tenant) -> None:
    validator = many(entra, TENANT)
    assert play(validator.validate_flow(entra.sign_in("alice")), fetch).error is None
    played = play(validator.validate_flow(entra.sign_in("carol", headers={"kid": "unknown"})), no_answer)
    assert isinstance(played.error, InvalidTokenError)


@pytest.mark.attack(66)
def test_with_one_tenant_users_of_another_are_refused(entra: LocalEntra, fabrikam: Tenant, run: Run) -> None:
    with pytest.raises(InvalidTokenError):
        run(TokenValidator(settings_for(entra)).validate_flow(entra.sign_in("carol")))


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("{a}/{{tenantid}}/v2.0", marks=pytest.mark.attack(68)),
        # The issuer of one tenant, the tid of another.
        pytest.param("{a}/{f}/v2.0", marks=pytest.mark.attack(69)),
        "{a}//v2.0",
        "{a}/v2.0",
        pytest.param("{a}/{t}/v2.0/", marks=pytest.mark.attack(73)),
        "https://evil.example/{t}/v2.0",
    ],
)
def test_the_issuer_is_the_template_with_the_tokens_tenant_in_it(
    entra: LocalEntra, fabrikam: Tenant, run: Run, issuer: str
) -> None:
    wrong = issuer.format(a=entra.authority, t=TENANT, f=fabrikam.tenant_id)
    with pytest.raises(InvalidTokenError):
        run(many(entra, "*").validate_flow(entra.sign_in("alice", iss=wrong)))


@pytest.mark.attack(70)
@pytest.mark.parametrize("tid", ["{tenantid}", "common", "", "*", "../x", CONSUMERS + "\n"])
def test_a_tenant_id_is_a_guid_even_where_every_tenant_is_allowed(entra: LocalEntra, run: Run, tid: str) -> None:
    issuer = f"{entra.authority}/{tid}/v2.0"
    with pytest.raises(InvalidTokenError):
        run(many(entra, "*").validate_flow(entra.sign_in("alice", tid=tid, iss=issuer)))


def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[Any], object]:
    """Answer with what the server says, but with other documents."""

    def answer(effect: Any) -> object:
        response = fetch(effect)
        assert isinstance(response, HttpResponse)
        document = json.loads(response.body)
        change(document)
        return replace(response, body=json.dumps(document).encode())

    return answer


def with_key_issuer(issuer: str) -> Callable[[Any], object]:
    def change(document: dict[str, Any]) -> None:
        for key in document.get("keys", ()):
            key["issuer"] = issuer

    return changed(change)


@pytest.mark.attack(72)
@pytest.mark.parametrize("of", [CONSUMERS, "11111111-2222-4333-8444-555555555555"])
def test_a_key_of_another_tenant_signs_for_that_tenant_only(entra: LocalEntra, of: str) -> None:
    answer = with_key_issuer(f"{entra.authority}/{of}/v2.0")
    played = play(many(entra, "*").validate_flow(entra.sign_in("alice")), answer)
    assert isinstance(played.error, InvalidTokenError)


@pytest.mark.parametrize("of", [TEMPLATE, TENANT])
def test_a_key_of_the_tokens_own_tenant_or_of_all_signs(entra: LocalEntra, of: str) -> None:
    answer = with_key_issuer(f"{entra.authority}/{of}/v2.0")
    assert play(many(entra, "*").validate_flow(entra.sign_in("alice")), answer).error is None


@pytest.mark.attack(112)
def test_metadata_for_many_tenants_must_have_the_template(entra: LocalEntra) -> None:
    def fixed(document: dict[str, Any]) -> None:
        document["issuer"] = f"{entra.authority}/{TENANT}/v2.0"

    played = play(many(entra, "*").validate_flow(entra.sign_in("alice")), changed(fixed))
    assert isinstance(played.error, ConfigurationError)


@pytest.mark.attack(112)
def test_a_template_in_the_metadata_of_one_tenant_is_refused(entra: LocalEntra) -> None:
    def template(document: dict[str, Any]) -> None:
        document["issuer"] = f"{entra.authority}/{TEMPLATE}/v2.0"

    validator = TokenValidator(settings_for(entra))
    assert isinstance(
        play(validator.validate_flow(entra.sign_in("alice")), changed(template)).error, ConfigurationError
    )


def test_the_domain_of_a_tenant_stands_for_it(entra: LocalEntra, fabrikam: Tenant, run: Run) -> None:
    validator = TokenValidator(settings_for(entra, tenant_id="fabrikam.example"))
    assert run(validator.validate_flow(entra.sign_in("carol"))).user.tenant_id == fabrikam.tenant_id
    with pytest.raises(InvalidTokenError):
        run(validator.validate_flow(entra.sign_in("alice")))
