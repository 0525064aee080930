from __future__ import annotations

from typing import Any

import pytest

from obo_middleware._challenge import reply_to
from obo_middleware._claims import LEEWAY
from obo_middleware._runtime import Runtime
from obo_middleware._token import check_header
from obo_middleware._validation import TokenValidator, Validated
from obo_middleware.errors import InsufficientScopeError, InvalidTokenError
from obo_middleware.testing import LocalEntra
from tests.core.forged_claims import CLAIMS
from tests.core.forgery import (
    HEADERS,
    KEYS,
    STRUCTURE,
    Forge,
    good,
    params,
    raw_header,
    raw_payload,
    with_claims,
    with_header,
)
from tests.core.kit import CLIENT, NOW, TENANT, Run, bearer, fetch, no_answer, play, settings_for
from tests.marks import showing

ALL = STRUCTURE | HEADERS | KEYS | CLAIMS


@pytest.fixture
def validator(provider: LocalEntra) -> TokenValidator:
    return TokenValidator(settings_for(provider))


@pytest.fixture
def warm(validator: TokenValidator) -> TokenValidator:
    """Make a validator that knows both issuers' keys."""
    for issuer in validator.issuers.values():
        assert play(issuer.metadata_flow(), fetch).error is None
    return validator


def validated(validator: TokenValidator, token: str) -> Validated:
    valid: Validated = play(validator.validate_flow(token), fetch).value()
    return valid


@pytest.mark.parametrize("forge", params(ALL))
def test_a_forged_token_is_refused(provider: LocalEntra, validator: TokenValidator, run: Run, forge: Forge) -> None:
    token = forge(provider)
    with pytest.raises(InvalidTokenError):
        run(validator.validate_flow(token))
    assert validator.remembered(*bearer(token)) is None


@pytest.mark.attack(190)
@pytest.mark.parametrize("forge", params(STRUCTURE | HEADERS))
def test_structure_and_headers_are_refused_before_anything_is_asked_for(
    provider: LocalEntra, validator: TokenValidator, forge: Forge
) -> None:
    played = play(validator.validate_flow(forge(provider)), no_answer)
    assert isinstance(played.error, InvalidTokenError)
    assert played.effects == []


@pytest.mark.attack(190)
@pytest.mark.parametrize("forge", params(CLAIMS))
def test_claims_are_refused_without_a_look_for_their_key(
    provider: LocalEntra, warm: TokenValidator, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("obo_middleware._validation.check_signature", no_answer)
    played = play(warm.validate_flow(forge(provider)), no_answer)
    assert isinstance(played.error, InvalidTokenError)


@pytest.mark.attack(183, 185)
def test_the_client_learns_nothing_of_the_reason(provider: LocalEntra, warm: TokenValidator) -> None:
    settings = settings_for(provider)
    for name, forge in ALL.items():
        error = play(warm.validate_flow(forge(provider)), fetch).error
        assert isinstance(error, InvalidTokenError), name
        assert reply_to(error, settings) == reply_to(InvalidTokenError("any other"), settings)
        assert "eyJ" not in str(error)
        assert str(error).isprintable()


def test_a_good_token_is_accepted_in_every_colour(provider: LocalEntra, validator: TokenValidator, run: Run) -> None:
    token = good(provider)
    valid = run(validator.validate_flow(token))
    assert (valid.user.object_id, valid.user.tenant_id) == (provider.alice.object_id, TENANT)
    assertion = valid.assertion
    assert (assertion.token, assertion.object_id, assertion.tenant_id) == (token, provider.alice.object_id, TENANT)
    assert token not in repr(valid)


@pytest.mark.parametrize(
    "forge",
    [
        lambda entra: entra.sign_in("alice", version=1),  # its aud is api://{client}
        lambda entra: entra.sign_in("alice", version=1, aud=CLIENT),
        with_claims(aud=f"api://{CLIENT}"),
        *showing(58, *(with_header(typ=typ) for typ in (None, "JWT", "jwt", "at+jwt", "application/at+jwt"))),
        with_claims(exp=int(NOW) + 1),
        with_claims(exp=NOW + 0.5),
        with_claims(nbf=int(NOW + LEEWAY), iat=int(NOW + LEEWAY)),
        with_claims(nbf=None, iat=None),
        with_claims(nbf=0, iat=0),
        with_claims(name=None, azp=None),
        with_claims(acct=1),
        with_claims(idtyp="user"),
        with_claims(roles=["Admin"]),
        with_header(x5t=None),
        raw_payload(str.encode),
        raw_header(str.encode),
    ],
)
def test_a_token_that_only_looks_unusual_is_accepted(provider: LocalEntra, warm: TokenValidator, forge: Forge) -> None:
    assert not validated(warm, forge(provider)).refusal


def test_a_kid_has_256_characters_at_most() -> None:
    check_header({"alg": "RS256", "kid": "k" * 256}, ("RS256",))
    with pytest.raises(InvalidTokenError):
        check_header({"alg": "RS256", "kid": "k" * 257}, ("RS256",))


@pytest.mark.attack(42, 43)
def test_no_character_of_a_token_can_be_changed(provider: LocalEntra, warm: TokenValidator) -> None:
    token = good(provider)
    for at, character in enumerate(token):
        other = chr(ord(character) ^ 1)
        played = play(warm.validate_flow(token[:at] + other + token[at + 1 :]), fetch)
        assert isinstance(played.error, InvalidTokenError), (at, character, other)
    assert validated(warm, token).user.name == "Alice Adams"


@pytest.mark.attack(67)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_only_the_accepted_token_versions_are_accepted(provider: LocalEntra, version: str) -> None:
    validator = TokenValidator(settings_for(provider, token_versions=[version]))
    for number in (1, 2):
        played = play(validator.validate_flow(provider.sign_in("alice", version=number)), fetch)
        assert (played.error is None) == (f"{number}.0" == version)
    assert list(validator.issuers) == [version]


@pytest.mark.attack(62)
def test_an_audience_is_accepted_where_exactly_it_is_named(provider: LocalEntra) -> None:
    validator = TokenValidator(settings_for(provider, audiences=["api://X/"]))
    assert validated(validator, provider.sign_in("alice", aud="api://X/")).user.object_id == provider.alice.object_id
    for aud in ("api://X", CLIENT, f"api://{CLIENT}"):
        assert isinstance(
            play(validator.validate_flow(provider.sign_in("alice", aud=aud)), fetch).error, InvalidTokenError
        )


def admit(provider: LocalEntra, token: str, run: Run, **changes: Any) -> Validated:
    runtime = Runtime(settings_for(provider, **changes))
    valid: Validated = run(runtime.admit_flow(bearer(token), "/me"))
    assert runtime.known(bearer(token), "/me") == valid
    return valid


@pytest.mark.attack(83)
@pytest.mark.parametrize(
    "changes",
    [
        {"idtyp": "app"},
        {"idtyp": "app", "scp": "access_as_user"},
        {"idtyp": None},
    ],
)
def test_an_applications_own_token_is_no_users(provider: LocalEntra, run: Run, changes: dict[str, Any]) -> None:
    token = provider.app_token(roles=["Tasks.Run"], **changes)
    with pytest.raises(InsufficientScopeError):
        admit(provider, token, run)


@pytest.mark.attack(83)
def test_an_application_is_refused_when_its_token_is_remembered_too(provider: LocalEntra) -> None:
    runtime = Runtime(settings_for(provider))
    token = provider.app_token()
    assert isinstance(play(runtime.admit_flow(bearer(token), "/me"), fetch).error, InsufficientScopeError)
    with pytest.raises(InsufficientScopeError):
        runtime.known(bearer(token), "/me")
    assert runtime.validator.remembered(*bearer(token)) is not None


@pytest.mark.attack(95)
def test_an_application_with_a_users_subject_is_still_an_application(provider: LocalEntra, run: Run) -> None:
    alice = provider.alice
    with pytest.raises(InsufficientScopeError):
        admit(provider, provider.app_token(sub=alice.object_id, oid=alice.object_id), run)


@pytest.mark.parametrize(
    ("scp", "roles"),
    [
        *showing(85, ("User.Read", None)),
        *showing(86, *((name, None) for name in ("Files.ReadWrite", "xFiles.Read", "files.read", "Files.Read.All"))),
        *showing(87, ("access_as_user", ["Files.Read"])),
    ],
)
def test_a_required_scope_is_one_whole_word_of_scp(
    provider: LocalEntra, run: Run, scp: str, roles: list[str] | None
) -> None:
    token = provider.sign_in("alice", scp=scp, roles=roles)
    with pytest.raises(InsufficientScopeError) as caught:
        admit(provider, token, run, required_scopes=["Files.Read"])
    assert caught.value.scopes == ("Files.Read",)


def test_a_token_with_every_required_scope_is_admitted(provider: LocalEntra, run: Run) -> None:
    token = provider.sign_in("alice", scp="b Files.Read a")
    assert admit(provider, token, run, required_scopes=["Files.Read", "a"]).user.scopes == {"a", "b", "Files.Read"}


@pytest.mark.attack(90)
@pytest.mark.parametrize("forge", KEYS.values(), ids=KEYS)
def test_a_missing_scope_is_not_told_from_claims_that_nobody_signed(provider: LocalEntra, forge: Forge) -> None:
    runtime = Runtime(settings_for(provider, required_scopes=["not.there"]))
    assert isinstance(play(runtime.admit_flow(bearer(forge(provider)), "/me"), fetch).error, InvalidTokenError)


def test_a_token_of_another_provider_is_refused_although_all_its_claims_are_right(provider: LocalEntra) -> None:
    validator = TokenValidator(settings_for(provider))
    with LocalEntra(clock=provider.clock) as other:
        token = other.sign_in("alice", iss=provider.issuer)
        assert isinstance(play(validator.validate_flow(token), fetch).error, InvalidTokenError)
        kid = provider.sign_in("alice").split(".")[0]
        same_kid = ".".join([kid, *token.split(".")[1:]])
        assert isinstance(play(validator.validate_flow(same_kid), fetch).error, InvalidTokenError)
