from __future__ import annotations

import copy
import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from obo_middleware import TrustedIssuer, User
from obo_middleware._user import user_from_claims, user_of_issuer
from obo_middleware.errors import InvalidTokenError

CLAIMS: dict[str, Any] = {
    "oid": "o-1",
    "tid": "t-1",
    "sub": "s-1",
    "name": "Alice",
    "scp": "a b",
    "roles": ["r"],
    "azp": "c-1",
    "exp": 1000.9,
    "iss": "https://login.example/t-1/v2.0",
}


def user(**changes: Any) -> User:
    return user_from_claims({name: value for name, value in (CLAIMS | changes).items() if value is not None})


def of_issuer(**changes: Any) -> User:
    return user_of_issuer(CLAIMS | changes, TrustedIssuer(CLAIMS["iss"], audiences=["x"]))


def test_a_user_is_what_the_claims_say() -> None:
    alice = user()
    assert (alice.object_id, alice.tenant_id, alice.subject, alice.name) == ("o-1", "t-1", "s-1", "Alice")
    assert (set(alice.scopes), set(alice.roles), alice.client_id, alice.expires_on) == ({"a", "b"}, {"r"}, "c-1", 1000)
    assert alice.claims == CLAIMS | {"roles": ("r",)}
    assert (alice.is_authenticated, alice.display_name, alice.identity) == (True, "Alice", "t-1.o-1")


def test_what_a_token_need_not_have_is_empty() -> None:
    nobody = user(name=None, scp=None, roles=None, azp=None)
    assert (nobody.name, nobody.client_id) == ("", "")
    assert nobody.scopes == nobody.roles == frozenset()


def test_the_client_of_a_version_1_token_is_its_appid() -> None:
    assert user(azp=None, appid="c-2").client_id == "c-2"


def test_a_name_that_is_no_text_is_none() -> None:
    assert user(name=["x"]).name == ""


def test_claims_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        user().claims["oid"] = "x"  # type: ignore[index]  # that is what is tested


NESTED: dict[str, Any] = {"amr": ["pwd"], "realm_access": {"roles": ["r", {"a": [1]}]}, "acrs": [["c1"], {}]}


@pytest.mark.parametrize("make", [user, of_issuer])
def test_nothing_within_claims_can_be_changed_either(make: Callable[..., User]) -> None:
    given = copy.deepcopy(NESTED)
    claims = make(**given).claims
    given["realm_access"]["roles"].append("admin")
    frozen = [claims["realm_access"], claims["realm_access"]["roles"][1], claims["acrs"][1]]
    assert [type(one) for one in frozen] == [MappingProxyType] * 3
    assert (claims["amr"], claims["acrs"]) == (("pwd",), (("c1",), {}))
    assert claims["realm_access"] == {"roles": ("r", {"a": (1,)})}


def test_claims_can_be_written_as_they_came() -> None:
    assert json.loads(json.dumps(user(**NESTED).claims, default=dict)) == CLAIMS | NESTED


def test_claims_that_are_nested_too_deeply_to_be_kept_make_a_token_invalid() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidTokenError, match="nested too deeply"):
        user(deep=deep)


def test_the_repr_shows_no_personal_data() -> None:
    text = repr(user(sub="pairwise-subject", email="alice@contoso.example"))
    assert "Alice" not in text
    assert "pairwise-subject" not in text
    assert "contoso" not in text


@pytest.mark.parametrize(
    ("declared", "handles"),
    [
        (["cp1"], True),
        (["CP1"], True),
        ("cp1", True),
        (["x", "cp1"], True),
        (("x", "cp1"), True),
        ([], False),
        (None, False),
        (["cp2"], False),
        (["cp"], False),
        (["cp11"], False),
        ("cp1 ", False),
        ([1], False),
        ({"cp1": 1}, False),
    ],
)
def test_only_a_client_that_declares_cp1_handles_claims_challenges(declared: Any, handles: bool) -> None:
    assert user(xms_cc=declared).handles_claims_challenges is handles


@pytest.mark.attack(92, 93, 94)
def test_users_of_one_name_and_address_are_told_apart_by_object_and_tenant() -> None:
    same = {"email": "x@contoso.example", "upn": "x@contoso.example", "preferred_username": "x@contoso.example"}
    identities = {user(**same | {"oid": oid, "tid": tid}).identity for oid in "ab" for tid in "cd"}
    assert len(identities) == 4
    assert user(sub="one").identity == user(sub="another").identity


@pytest.mark.attack(97)
def test_a_groups_overage_stays_what_it_is() -> None:  # nothing is fetched and nothing read as no groups
    claims = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://evil.example"}}}
    assert "groups" not in user(**claims).claims
    assert user(**claims).claims["_claim_names"] == {"groups": "src1"}
