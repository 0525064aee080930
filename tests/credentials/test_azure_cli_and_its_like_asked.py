"""What the credentials of all developer tools have in common: what they can be asked for, and how they are made."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import pytest

from credentials import (
    ClientAuthenticationError,
    CredentialUnavailableError,
)
from credentials._flow import RunCommand
from tests.credentials.developer_tools import (
    AZ,
    KINDS,
    LATER,
    PWSH,
    SCOPE,
    TENANT,
    Kind,
    asking,
    of,
    on_path,
    succeeded,
)
from tests.credentials.helpers import Colour, play
from tests.credentials.tools import Tool


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def tool(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(kind, tmp_path, monkeypatch)


# Tenants, scopes and options


def test_another_tenant_needs_to_be_allowed_if_there_is_one(kind: Kind) -> None:
    with pytest.raises(ClientAuthenticationError, match=r"'other'.*additionally_allowed_tenants"):
        of(kind, tenant_id=TENANT).get_token(SCOPE, tenant_id="other")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tenant_id": TENANT, "additionally_allowed_tenants": ["*"]},
        {"tenant_id": "other"},
        {"tenant_id": TENANT, "additionally_allowed_tenants": ["a", "other"]},
        {"additionally_allowed_tenants": ["a"]},
    ],
)
def test_an_allowed_tenant_is_asked_for(kind: Kind, options: dict[str, Any]) -> None:
    query = of(kind, **options)._query((SCOPE,), "get_token", {"tenant_id": "other"})
    assert query.tenant_id == "other"


def test_a_variable_keeps_requests_in_their_tenant(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_IDENTITY_DISABLE_MULTITENANTAUTH", "1")
    options = {"tenant_id": "other"}
    assert of(kind)._query((SCOPE,), "get_token", options).tenant_id == ""
    assert of(kind, tenant_id=TENANT)._query((SCOPE,), "get_token", options).tenant_id == TENANT


@pytest.mark.parametrize("tenant", ["my tenant", "my_tenant", "/", "\\", "'x'", "a;b", "..", "$(id)", "a\n"])
def test_a_tenant_with_other_characters_is_refused(kind: Kind, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant_id"):
        of(kind, tenant_id=tenant)
    with pytest.raises(ValueError, match="tenant_id"):
        of(kind, additionally_allowed_tenants=["*"]).get_token(SCOPE, tenant_id=tenant)


@pytest.mark.parametrize("character", [*";|&$()'\"% \n\t\\`<>*?{}[]!#~^=+,@\0é\u2018\u2019"])
def test_a_scope_with_other_characters_is_refused(kind: Kind, character: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        of(kind).get_token(f"https://x{character}y/.default")


@pytest.mark.parametrize("scope", ["", "-h", "--debug", "/.default", 7, None])
def test_a_scope_that_is_none_is_refused(kind: Kind, scope: Any) -> None:
    with pytest.raises(ValueError, match="scope"):
        of(kind).get_token(scope)


@pytest.mark.parametrize("method", ["get_token", "get_token_info"])
def test_a_scope_is_needed(kind: Kind, method: str) -> None:
    with pytest.raises(ValueError, match=f'"{method}" requires at least one scope'):
        getattr(of(kind), method)()


def test_a_bad_tenant_is_told_before_a_bad_scope_and_that_before_a_tenant_not_allowed(kind: Kind) -> None:
    credential = of(kind, tenant_id=TENANT)
    with pytest.raises(ValueError, match="tenant_id"):
        credential.get_token("a b", tenant_id="a b")
    with pytest.raises(ValueError, match="scope"):
        credential.get_token("a b", tenant_id="other")


@pytest.mark.parametrize("value", [0, -1, "10", True, float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("name", ["process_timeout", "process_timeout_in_ms"])
def test_a_timeout_is_a_positive_number(kind: Kind, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} .* must be a positive number"):
        of(kind, **{name: value})


@pytest.mark.peer_defect(16)
@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 10.0),
        ({"process_timeout": 2.5}, 2.5),
        ({"process_timeout_in_ms": 2500}, 2.5),
        ({"process_timeout": 3, "process_timeout_in_ms": 3000}, 3.0),
        ({"process_timeout": None, "process_timeout_in_ms": None}, 10.0),
    ],
)
def test_the_timeout_goes_with_the_command(kind: Kind, tool: Tool, options: dict[str, Any], seconds: float) -> None:
    played = play(asking(of(kind, **options)), succeeded(kind.output("t", LATER)))
    (effect,) = played.effects
    assert isinstance(effect, RunCommand)
    assert effect.command.timeout == seconds


def test_two_different_timeouts_are_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="process_timeout is given twice"):
        of(kind, process_timeout=1, process_timeout_in_ms=2000)


def test_a_lone_string_is_no_list_of_tenants(kind: Kind) -> None:
    with pytest.raises(ValueError, match="must be a list"):
        of(kind, additionally_allowed_tenants="abc")


def test_an_unknown_option_is_a_type_error(kind: Kind) -> None:
    with pytest.raises(TypeError, match="unknown"):
        of(kind, unknown=1)


def test_a_credential_is_pickled_as_its_arguments(kind: Kind, colour: Colour, tool: Tool) -> None:
    credential = kind.make(colour, tenant_id=TENANT, process_timeout_in_ms=5000)
    colour.get_token(credential, SCOPE)
    data = pickle.dumps(credential)
    again = pickle.loads(data)  # noqa: S301  # our own
    assert (type(again), again._tenant_id, again._timeout) == (type(credential), TENANT, 5.0)
    assert b"the-token" not in data
    colour.get_token(again, SCOPE)
    assert len(tool.runs) == 2


# Claims


@pytest.mark.parametrize("kind", [AZ, PWSH], ids=["cli", "powershell"])
def test_claims_need_a_new_sign_in_whatever_else_is_wrong(kind: Kind, colour: Colour) -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    for scopes in ((), ("a b",), (SCOPE, SCOPE)):
        with pytest.raises(CredentialUnavailableError) as caught:
            colour.get_token(kind.make(colour), *scopes, claims=claims, tenant_id="not valid")
        assert base64.b64encode(claims.encode()).decode() in str(caught.value)


@pytest.mark.parametrize("kind", [AZ, PWSH], ids=["cli", "powershell"])
def test_instructions_for_a_shell_are_safe_to_paste(kind: Kind) -> None:
    with pytest.raises(CredentialUnavailableError) as caught:
        of(kind).get_token("a\n$(id)", claims="{}", tenant_id="x; rm -rf ~")
    assert "enant 'x; rm -rf ~'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [AZ, PWSH], ids=["cli", "powershell"])
def test_one_scope_at_a_time(kind: Kind) -> None:
    with pytest.raises(ValueError, match='"get_token" requires exactly one scope'):
        of(kind).get_token(SCOPE, "https://graph.microsoft.com/.default")
