from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from obo_middleware._claims import is_foreign_app_only
from obo_middleware._context import AsyncContext, BlockingContext, Context
from obo_middleware._runtime import Runtime
from obo_middleware._trusted_issuer import TrustedIssuer
from obo_middleware._user import User, claim_at, user_from_claims, user_of_issuer
from obo_middleware._validation import Validated
from obo_middleware.errors import InsufficientScopeError
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import CLIENT_ID, ForeignIssuer, outcome
from tests.core.kit import TENANT, Run, api, bearer, fetch, play, settings_for

IDP = "https://idp.example"


@pytest.fixture
def issuer(provider: LocalEntra) -> Iterator[ForeignIssuer]:
    with ForeignIssuer(clock=provider.clock) as running:
        yield running


def valid(runtime: Runtime, token: str) -> Validated:
    found: Validated = play(runtime.admit_flow(bearer(token), "/me"), fetch).value()
    return found


def trusted(issuer: str = IDP, **changes: Any) -> TrustedIssuer:
    return TrustedIssuer(issuer, **{"audiences": ["https://api.example"]} | changes)


def user(issuer: str = IDP, /, *, names: dict[str, Any] | None = None, **claims: Any) -> User:
    """Return the user that claims describe, where ``names`` are the names of claims."""
    return user_of_issuer({"iss": issuer, "sub": "alice", "exp": 1000.9} | claims, trusted(issuer, **names or {}))


def test_a_user_is_what_the_claims_say() -> None:
    alice = user(name="Alice", scope="a b", roles=["r"], client_id="web", tid=TENANT, oid="x")
    assert (alice.object_id, alice.subject, alice.name, alice.client_id) == ("alice", "alice", "Alice", "web")
    assert (alice.tenant_id, alice.issuer, alice.identity) == (IDP, IDP, f"{IDP}#alice")
    assert (set(alice.scopes), set(alice.roles), alice.expires_on) == ({"a", "b"}, {"r"}, 1000)
    assert alice.claims["tid"] == TENANT
    assert not hasattr(alice.claims, "clear")


def test_what_a_token_need_not_have_is_empty() -> None:
    nobody = user()
    assert (nobody.name, nobody.client_id, nobody.scopes, nobody.roles) == ("", "", frozenset(), frozenset())
    assert user(name=["x"]).name == ""


@pytest.mark.parametrize(
    ("names", "claims"),
    [
        (  # Keycloak
            {"roles_claim": ("realm_access", "roles"), "client_id_claim": "azp", "name_claim": "preferred_username"},
            {"realm_access": {"roles": ["r"]}, "azp": "web", "preferred_username": "alice", "scope": "a b"},
        ),
        (  # Okta
            {"object_id_claim": "uid", "scopes_claim": "scp", "roles_claim": "groups", "client_id_claim": "cid"},
            {"uid": "alice", "sub": "alice@example", "scp": ["a", "b"], "groups": ["r"], "cid": "web", "name": "alice"},
        ),
        (  # Auth0, whose names of own claims are URLs
            {"roles_claim": "https://app.example/roles", "client_id_claim": "azp", "scopes_claim": "permissions"},
            {"https://app.example/roles": "r", "azp": "web", "permissions": ["a", "b"], "name": "alice"},
        ),
    ],
    ids=["Keycloak", "Okta", "Auth0"],
)
def test_every_issuer_has_its_own_names_for_claims(names: dict[str, Any], claims: dict[str, Any]) -> None:
    alice = user(names=names, **claims)
    assert (alice.object_id, alice.name, alice.client_id) == ("alice", "alice", "web")
    assert (set(alice.scopes), set(alice.roles)) == ({"a", "b"}, {"r"})


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a", {"a"}),
        (" a  b ", {"a", "b"}),
        ("", set()),
        ("a\tb", {"a\tb"}),
        ("a\u00a0b", {"a\u00a0b"}),
        (["a", "b"], {"a", "b"}),
        (["a b"], {"a b"}),
        ([""], set()),
    ],
)
def test_only_a_space_lies_between_scopes(scope: Any, scopes: set[str]) -> None:
    assert user(scope=scope).scopes == scopes


@pytest.mark.parametrize(("roles", "found"), [("r", {"r"}), ("r s", {"r s"}), ("", set()), (["r", "s"], {"r", "s"})])
def test_a_text_is_one_role(roles: Any, found: set[str]) -> None:
    assert user(roles=roles).roles == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("a", 1), (("a",), 1), ("missing", "default"), (("b", "c"), 2), (("b", "d", "e"), 3), ("b.c", 4)),
        *((("b", "missing"), "default"), (("missing", "c"), "default"), (("a", "c"), None), (("b", "c", "d"), None)),
    ],
)
def test_a_claim_within_a_claim_is_found_by_its_names(name: Any, value: Any) -> None:
    assert claim_at({"a": 1, "b": {"c": 2, "d": {"e": 3}}, "b.c": 4}, name, "default") == value


WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"object_id_claim": ("a", "id")}, {}),
    ({"object_id_claim": ("a", "id")}, {"a": "id"}),
    ({"object_id_claim": ("a", "id")}, {"a": {"id": ""}}),
    ({"object_id_claim": ("a", "id")}, {"a": {"id": 5}}),
    ({"object_id_claim": "uid"}, {}),
    ({"object_id_claim": "uid"}, {"uid": "alice", "sub": None}),
    ({"object_id_claim": "uid"}, {"uid": "alice", "sub": ""}),
    ({"roles_claim": ("realm_access", "roles")}, {"realm_access": ["roles"]}),
    ({"roles_claim": ("realm_access", "roles")}, {"realm_access": {"roles": {}}}),
    ({"scopes_claim": ("a", "b")}, {"a": {"b": None}}),
    ({"scopes_claim": ("a", "b")}, {"a": 5}),
    ({"client_id_claim": ("a", "b")}, {"a": {"b": ["c"]}}),
    ({"client_id_claim": ("a", "b")}, {"a": "c"}),
]


@pytest.mark.parametrize(("names", "claims"), WRONG, ids=range(len(WRONG)))
def test_a_claim_of_the_wrong_type_makes_a_token_invalid_wherever_it_stands(
    provider: LocalEntra, issuer: ForeignIssuer, names: dict[str, Any], claims: dict[str, Any]
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted(**names)]))
    assert outcome(runtime, issuer.token(**claims)) == "T"


# Scopes of routes


@pytest.mark.attack(85, 86)
@pytest.mark.parametrize("scope", ["", "notes", "xnotes.read", "notes.read.all", "Notes.Read", ["notes.read x"], None])
def test_a_required_scope_is_one_whole_word(provider: LocalEntra, issuer: ForeignIssuer, run: Run, scope: Any) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], required_scopes=["notes.read"]))
    assert outcome(runtime, issuer.token(scope=scope), run) == "S"
    for good in ("a notes.read", ["a", "notes.read"]):
        assert outcome(runtime, issuer.token(scope=good), run) == "OK"


@pytest.mark.attack(87)
def test_a_role_is_no_scope(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], required_scopes=["notes.read"]))
    for claims in ({"roles": ["notes.read"]}, {"roles": "notes.read"}, {"scp": "notes.read"}):
        assert outcome(runtime, issuer.token(scope="a", **claims)) == "S"


# Applications


@pytest.mark.attack(83, 95)
@pytest.mark.parametrize(
    "claims",
    [
        {"sub": CLIENT_ID},
        {"sub": f"{CLIENT_ID}@clients"},
        {"gty": "client-credentials"},
        {"gty": ["client_credentials"]},
        {"idtyp": "app"},
        {"oid": "alice"},
        {"sub": "app", "client_id": None, "azp": "app"},
        {"sub": "app", "client_id": None, "cid": "app"},
        {"sub": "app", "azp": "app"},
        {"preferred_username": f"service-account-{CLIENT_ID}"},
        {"preferred_username": "service-account-my-app", "azp": "My-App"},
        {"client_id": "alice"},
    ],
    ids=str,
)
def test_an_applications_own_token_is_no_users(
    provider: LocalEntra, issuer: ForeignIssuer, run: Run, claims: dict[str, Any]
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
    token = issuer.token(**claims)
    assert outcome(runtime, token, run) == "S"
    with pytest.raises(InsufficientScopeError):
        runtime.known(bearer(token), "/me")


def test_an_application_is_known_by_the_claims_that_its_issuer_names() -> None:
    named = trusted(object_id_claim=("who", "id"), client_id_claim=("app", "id"))
    assert is_foreign_app_only({"sub": "s", "who": {"id": "x"}, "app": {"id": "x"}}, named)
    assert is_foreign_app_only({"sub": "x", "who": {"id": "s"}, "app": {"id": "x"}}, named)
    assert not is_foreign_app_only({"sub": "s", "who": {"id": "t"}, "app": {"id": "x"}}, named)


@pytest.mark.parametrize("name", ["client_id", "azp", "cid", "appid"])
def test_an_application_is_known_by_every_usual_name_of_its_id_too(name: str) -> None:
    named = trusted(client_id_claim="app")
    assert is_foreign_app_only({"sub": "x", "app": "y", name: "x"}, named)
    assert not is_foreign_app_only({"sub": "x", "app": "y", name: "z"}, named)


@pytest.mark.parametrize(
    "claims",
    [
        {"preferred_username": CLIENT_ID},
        {"name": f"{CLIENT_ID}@clients"},
        {"gty": "password"},
        {"gty": 5},
        {"client_id": ""},
        {"azp": {"a": 1}, "cid": ["alice"]},
        {"idtyp": "user"},
        {"oid": "alice", "scp": "a"},
        {"oid": "another"},
        {"sub": "@clients", "client_id": None},
        {"preferred_username": "service-account-"},
    ],
    ids=str,
)
def test_a_user_is_not_taken_for_an_application(
    provider: LocalEntra, issuer: ForeignIssuer, claims: dict[str, Any]
) -> None:
    assert outcome(Runtime(settings_for(provider, issuers=[issuer.trusted()])), issuer.token(**claims)) == "OK"


# Whose user it is

HOSTS = st.sampled_from(["https://idp.example", "https://idp.example.com", "https://idp.example/", "https://idp"])
SUBJECTS = st.text(st.sampled_from("a.#/:com"), min_size=1, max_size=6)


@example(IDP, "com.bob", f"{IDP}.com", "bob")
@given(HOSTS, SUBJECTS, HOSTS, SUBJECTS)
def test_two_users_never_have_one_identity(one: str, sub: str, other: str, other_sub: str) -> None:
    if (one, sub) != (other, other_sub):
        assert user(one, sub=sub).identity != user(other, sub=other_sub).identity


@pytest.mark.attack(92, 93)
def test_no_issuer_can_name_a_user_of_another_one(provider: LocalEntra) -> None:
    alice = provider.alice
    entra = {"iss": provider.issuer, "tid": TENANT, "oid": alice.object_id, "sub": "pairwise", "exp": 1}
    same: dict[str, Any] = {"tid": TENANT, "oid": alice.object_id, "email": "alice@contoso.example"}
    users = [
        user_from_claims(entra),
        user(sub=alice.object_id, **same),
        user(f"{IDP}/", sub=alice.object_id, **same),
        user(names={"object_id_claim": "oid"}, sub="x", **same | {"oid": f"{alice.object_id}."}),
    ]
    assert len({one.identity for one in users}) == len({(one.tenant_id, one.object_id) for one in users}) == len(users)


@pytest.mark.attack(120)
def test_users_of_two_issuers_with_one_subject_share_nothing(provider: LocalEntra) -> None:
    session: dict[str, Any] = {"sid": "s", "acr": "1", "tid": TENANT, "oid": "o", "azp": "web"}
    with ForeignIssuer(clock=provider.clock) as one, ForeignIssuer(clock=provider.clock) as other:
        runtime = Runtime(settings_for(provider, issuers=[one.trusted(), other.trusted()]))
        tokens = [one.token(**session), other.token(**session), one.token(sub="bob", **session)]
        found = [valid(runtime, token) for token in tokens]
        assert len({each.assertion.partition for each in found}) == 3
        assert len({each.user.identity for each in found}) == 3
        for token, each in zip(tokens, found, strict=True):
            assert runtime.known(bearer(token), "/me") is each


def test_every_token_of_another_issuer_is_a_partition_of_its_own(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
    found = [valid(runtime, issuer.token(sid="s", acr="1", jti=str(number))) for number in range(2)]
    assert found[0].assertion.partition != found[1].assertion.partition


def test_another_issuers_token_is_not_shown_to_the_provider(provider: LocalEntra, issuer: ForeignIssuer) -> None:
    apis = {"graph": api("https://graph.example")}
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], downstream_apis=apis))
    foreign, ours = valid(runtime, issuer.token()), valid(runtime, provider.sign_in("alice"))
    assert (foreign.exchangeable, ours.exchangeable) == (False, True)
    assert runtime.source("graph", ours).scopes == ("User.Read",)
    with pytest.raises(InsufficientScopeError, match="cannot be exchanged"):
        runtime.source("graph", foreign)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(AsyncContext, "credential"), (AsyncContext, "blocking_credential"), (BlockingContext, "credential")],
)
def test_a_user_of_another_issuer_has_no_credential(
    provider: LocalEntra, issuer: ForeignIssuer, kind: type[Context], name: str
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()]))
    assert getattr(kind(runtime, valid(runtime, provider.sign_in("alice"))), name)
    with pytest.raises(InsufficientScopeError, match="cannot be exchanged"):
        getattr(kind(runtime, valid(runtime, issuer.token())), name)
