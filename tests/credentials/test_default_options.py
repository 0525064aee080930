"""DefaultAzureCredential: which members it has, and what they are given, by options and environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.credentials.defaults import EXCLUDE, NAMES, default, have_nothing, names_of, only, recorders
from tests.credentials.helpers import Clock, Colour
from tests.credentials.identities import set_variables

VARIABLE = "AZURE_TOKEN_CREDENTIALS"
PRODUCTION, DEVELOPMENT = NAMES[:3], NAMES[3:]
NOT_OFFERED = {
    "exclude_shared_token_cache_credential": "SharedTokenCacheCredential",
    "exclude_visual_studio_code_credential": "VisualStudioCodeCredential",
    "exclude_interactive_browser_credential": "InteractiveBrowserCredential",
    "exclude_broker_credential": "BrokerCredential",
}
WITHOUT_EFFECT = (
    *("interactive_browser_tenant_id", "interactive_browser_client_id", "broker_tenant_id", "broker_client_id"),
    *("shared_cache_username", "shared_cache_tenant_id", "visual_studio_code_tenant_id"),
)


@pytest.fixture(autouse=True)
def _nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    have_nothing(monkeypatch, tmp_path)


# Which members


def test_without_options_there_is_everything_in_order(colour: Colour) -> None:
    assert names_of(default(colour)) == list(NAMES)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("dev", DEVELOPMENT),
        ("prod", PRODUCTION),
        ("  DeV\t", DEVELOPMENT),
        ("", NAMES),
        ("   ", NAMES),
        *((name, (name,)) for name in NAMES),
        *((f" {name.upper()} ", (name,)) for name in NAMES),
    ],
)
def test_the_variable_leaves_a_group_or_one(
    colour: Colour, value: str, left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert names_of(default(colour)) == list(left)


@given(
    value=st.sampled_from(["", "dev", "prod", *NAMES]),
    excluded=st.dictionaries(st.sampled_from(NAMES), st.sampled_from([True, False, None])),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_an_option_has_the_last_word_about_its_member(value: str, excluded: dict[str, bool | None]) -> None:
    groups = {"": NAMES, "dev": DEVELOPMENT, "prod": PRODUCTION}
    usual = groups.get(value, (value,))
    left = [name for name in NAMES if not _or(excluded.get(name), name not in usual)]
    options = {EXCLUDE[name]: choice for name, choice in excluded.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, value)
        if left:
            assert names_of(default(Colour("blocking"), **options)) == left
            return
        with pytest.raises(ValueError, match="at least one credential is required"):
            default(Colour("blocking"), **options)


def _or(choice: bool | None, usual: bool) -> bool:
    return usual if choice is None else choice


def test_with_everything_excluded_nothing_is_left(colour: Colour) -> None:
    with pytest.raises(ValueError, match="at least one credential is required"):
        default(colour, **only())


@pytest.mark.parametrize("value", ["production", "azurecli", "dev,prod", "EnvironmentCredentials"])
def test_a_value_that_means_nothing_is_refused_with_those_that_do(
    colour: Colour, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(
        ValueError, match=f"{VARIABLE} '{value.lower()}' is not valid: set one of dev, prod, Env"
    ) as error:
        default(colour)
    assert all(name in str(error.value) for name in NAMES)


@pytest.mark.parametrize("name", NOT_OFFERED.values())
def test_the_name_of_what_is_not_offered_is_refused_as_such(
    colour: Colour, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(ValueError, match="names a credential that is not offered: set one of dev, prod, Environment"):
        default(colour)


@pytest.mark.parametrize(("option", "name"), NOT_OFFERED.items())
def test_what_is_not_offered_can_be_excluded_but_not_included(colour: Colour, option: str, name: str) -> None:
    assert names_of(default(colour, **{option: True})) == names_of(default(colour, **{option: None})) == list(NAMES)
    with pytest.raises(ValueError, match=f"{option} cannot be False, since {name} is not offered"):
        default(colour, **{option: False})


@pytest.mark.parametrize("option", WITHOUT_EFFECT)
def test_options_of_what_is_not_offered_have_no_effect(colour: Colour, option: str) -> None:
    assert names_of(default(colour, **{option: "value"})) == list(NAMES)


# What has to be set


def test_the_variable_can_be_required(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "  "):
        if value is not None:
            monkeypatch.setenv(VARIABLE, value)
        with pytest.raises(ValueError, match=f"{VARIABLE} not set or empty. Set {VARIABLE} to one of dev, prod, Env"):
            default(colour, require_envvar=True)
    monkeypatch.setenv(VARIABLE, "dev")
    assert names_of(default(colour, require_envvar=True)) == list(DEVELOPMENT)


@pytest.mark.parametrize("required", [["ONE", "TWO"], ("TWO",), "TWO"])
def test_other_variables_can_be_required(required: Any, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, ONE="1")
    with pytest.raises(ValueError, match=r"lacks what is required: TWO not set or empty\Z"):
        default(colour, required_env_vars=required)
    set_variables(monkeypatch, TWO="2")
    assert names_of(default(colour, required_env_vars=required)) == list(NAMES)


# Options that are wrong


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"tenant_id": "t"}, TypeError, "does not take tenant_id: set AZURE_TENANT_ID"),
        ({"tenant_id": None}, TypeError, "does not take tenant_id"),
        ({"excludecli": True}, TypeError, "DefaultAzureCredential does not take the option excludecli"),
        ({"authority": "http://login.example"}, ValueError, "must use https"),
        ({"authority": "a.example", "authority_host": "b.example"}, ValueError, "authority is given twice"),
        ({"additionally_allowed_tenants": "one"}, ValueError, "must be a list"),
        ({"connection_verify": False}, ValueError, "connection_verify: give the path .* False is not supported"),
        ({"connection_verify": "/no/such.pem"}, ValueError, "not a readable PEM file"),
        ({"regional_authority": "No Region"}, ValueError, "regional_authority 'No Region'"),
        ({"cache_persistence_options": object()}, ValueError, "cache_persistence_options is not supported"),
        ({"workload_identity_tenant_id": "a/b"}, ValueError, "workload_identity_tenant_id is not valid"),
        ({"workload_identity_client_id": 7}, ValueError, "client_id must be a string"),
        ({"managed_identity_client_id": "a\nb"}, ValueError, "client_id must be a string"),
        (
            {"managed_identity_client_id": "a", "managed_identity_resource_id": "b"},
            ValueError,
            "not by client_id, resource_id: give one of them",
        ),
        ({"process_timeout": 0}, ValueError, "process_timeout 0 must be a positive number"),
        ({"process_timeout": 1, "process_timeout_in_ms": 2000}, ValueError, "process_timeout is given twice"),
    ],
)
@pytest.mark.parametrize("excluded", [{}, only("AzureCliCredential"), only("ManagedIdentityCredential")])
def test_a_wrong_option_is_told_at_once_whatever_members_there_are(
    options: dict[str, Any], kind: type[Exception], said: str, colour: Colour, excluded: dict[str, bool]
) -> None:
    with pytest.raises(kind, match=said):
        default(colour, **excluded, **options)


# What the members are given


def test_common_options_go_to_those_that_take_them(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = recorders(monkeypatch, colour)
    clock = Clock()
    own: dict[str, Any] = {"authority": "login.example", "regional_authority": "westeurope", "clock": clock}
    default(colour, **own, additionally_allowed_tenants=iter(["one"]), process_timeout_in_ms=5000)
    common = own | {"additionally_allowed_tenants": ("one",)}
    tools = {"clock": clock, "additionally_allowed_tenants": ("one",), "process_timeout_in_ms": 5000}
    assert [notes[name] for name in NAMES] == [
        common,
        common | {"tenant_id": None, "client_id": None},
        common | NOBODY,
        tools,
        tools,
        tools,
    ]


IDENTITIES: list[tuple[dict[str, Any], str | None, dict[str, Any]]] = [
    ({}, "from-variable", {"client_id": "from-variable"}),
    ({}, None, {}),
    ({"managed_identity_client_id": "given"}, "from-variable", {"client_id": "given", "chosen": True}),
    ({"managed_identity_client_id": None}, "from-variable", {}),
    ({"managed_identity_resource_id": "/a/b"}, "from-variable", {"resource_id": "/a/b", "chosen": True}),
    ({"managed_identity_resource_id": None}, "from-variable", {"client_id": "from-variable"}),
]
NOBODY = {"client_id": None, "resource_id": None, "chosen": False, "workload_identity": True}


@pytest.mark.parametrize(("options", "variable", "given_on"), IDENTITIES)
def test_the_managed_identity_is_named_by_option_or_variable(
    options: dict[str, Any],
    variable: str | None,
    given_on: dict[str, Any],
    colour: Colour,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes = recorders(monkeypatch, colour)
    if variable:
        monkeypatch.setenv("AZURE_CLIENT_ID", variable)
    default(colour, **options)
    assert notes["ManagedIdentityCredential"] == NOBODY | given_on


@pytest.mark.parametrize(
    ("options", "client_id", "tenant_id"),
    [
        ({}, None, None),
        ({"managed_identity_client_id": "mine"}, "mine", None),
        ({"managed_identity_client_id": "mine", "workload_identity_client_id": "its"}, "its", None),
        ({"workload_identity_client_id": "its", "workload_identity_tenant_id": "t.example"}, "its", "t.example"),
    ],
)
def test_workload_identity_is_the_managed_identitys_unless_it_is_told(
    options: dict[str, Any],
    client_id: str | None,
    tenant_id: str | None,
    colour: Colour,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes = recorders(monkeypatch, colour)
    default(colour, **options)
    assert notes["WorkloadIdentityCredential"] == {"client_id": client_id, "tenant_id": tenant_id}


@pytest.mark.parametrize(
    ("options", "variable"),
    [({"exclude_workload_identity_credential": True}, ""), ({}, "ManagedIdentityCredential")],
)
def test_excluded_workload_identity_does_not_come_back_as_a_managed_identity(
    options: dict[str, Any], variable: str, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = recorders(monkeypatch, colour)
    monkeypatch.setenv(VARIABLE, variable)
    default(colour, **options)
    assert notes["ManagedIdentityCredential"]["workload_identity"] is False


def test_the_options_given_are_left_as_they_were(colour: Colour) -> None:
    options: dict[str, Any] = {"additionally_allowed_tenants": ["a"], "process_timeout": 3}
    default(colour, **options)
    assert options == {"additionally_allowed_tenants": ["a"], "process_timeout": 3}
