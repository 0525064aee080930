"""What every kind of credential is: pickled or not, asked by others, and what it closes."""

from __future__ import annotations

import copy
import pickle
from types import ModuleType
from typing import Any

import pytest

import credentials
from credentials import AccessTokenInfo, ClientSecretCredential, CredentialUnavailableError, aio
from credentials._cache import key_of
from credentials._colours import BlockingColour
from credentials._credential import TokenEngine, TokenQuery
from credentials._family import EngineFamily, Remakable, pool_for
from credentials._flow import Flow, RunFlow, call
from credentials._pool import ConnectionPool, bare_pool
from credentials._types import Place, TokenRequestOptions
from tests.credentials.helpers import NOW, Clock, Colour, play


class Local(BlockingColour, Remakable, EngineFamily):
    """A credential without a secret, whose tokens tell what was asked for."""

    def __init__(self, name: str, *, clock: Clock | None = None, tenant: str = "home") -> None:
        self.name, self.tenant = name, tenant
        self._engine = TokenEngine(clock=clock or Clock())
        self._pool = bare_pool()
        self.queries: list[TokenQuery] = []

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        if not scopes:
            raise ValueError(f'"{method}" requires at least one scope')
        return TokenQuery(
            scopes=scopes,
            tenant_id=options.get("tenant_id", self.tenant),
            application=key_of(*scopes),
            claims=options.get("claims"),
        )

    def _exchange_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        self.queries.append(query)
        text = yield from call(lambda: f"{self.name}-{len(self.queries)}")
        return AccessTokenInfo(text, int(NOW) + 3600)


# Pickling


def test_a_credential_without_a_secret_is_pickled_as_its_arguments() -> None:
    one = Local("one", tenant="other")
    one.get_token("a")
    again = pickle.loads(pickle.dumps(one))  # noqa: S301  # our own
    assert (type(again), again.name, again.tenant, again.queries) == (Local, "one", "other", [])
    assert b"one-1" not in pickle.dumps(one)


def test_a_remade_credential_works_and_can_be_remade_again() -> None:
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(Local("one")))))  # noqa: S301  # our own
    assert again.get_token("a").token == "one-1"


def test_a_copy_of_a_remakable_credential_shares_nothing() -> None:
    one = Local("one")
    for other in (copy.copy(one), copy.deepcopy(one)):
        assert other._engine is not one._engine
        assert other._pool is not one._pool


@pytest.mark.parametrize("face", [credentials, aio], ids=["blocking", "awaitable"])
def test_each_class_is_found_again_under_the_name_it_is_imported_by(face: ModuleType) -> None:
    classes = [value for value in (getattr(face, name) for name in face.__all__) if isinstance(value, type)]
    assert [kind for kind in classes if pickle.loads(pickle.dumps(kind)) is not kind] == []  # noqa: S301  # our own


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_credential_that_may_hold_a_secret_refuses_to_be_pickled(colour: Colour, protocol: int) -> None:
    credential = colour.client_secret("tenant", "client", "hidden")
    told = r"^ClientSecretCredential may hold a secret, so it is not pickled: make one where it is used$"
    with pytest.raises(TypeError, match=told):
        pickle.dumps(credential, protocol)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_credential_that_may_hold_a_secret_refuses_to_be_copied(make: Any) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        make(ClientSecretCredential("tenant", "client", "hidden"))


@pytest.mark.parametrize("face", [credentials, aio], ids=["blocking", "awaitable"])
def test_what_is_imported_late_is_listed_all_the_same(face: ModuleType) -> None:
    assert set(face.__all__) <= set(dir(face))


# Arguments


@pytest.mark.parametrize("name", ["claims", "tenant_id"])
@pytest.mark.parametrize("value", [5, b"{}", "half a character: \ud800"])
def test_claims_and_a_tenant_that_are_no_text_are_refused(colour: Colour, name: str, value: object) -> None:
    credential = colour.client_secret("tenant", "client", "hidden")
    with pytest.raises(ValueError, match=f"^{name} must be a string without lone surrogates"):
        colour.get_token(credential, "scope/.default", **{name: value})


# Within another credential


@pytest.mark.parametrize("place", list(Place))
def test_a_member_is_told_where_it_is_asked(place: Place) -> None:
    member = Local("m")
    flow = member._member_flow(("a",), {"tenant_id": "other"}, place=place)
    (effect,) = play(flow, AccessTokenInfo("t", 1)).effects
    assert isinstance(effect, RunFlow)
    assert effect.pool is member._pool
    play(effect.flow, "from the function")
    (query,) = member.queries
    assert (query.place, query.scopes, query.tenant_id) == (place, ("a",), "other")


def test_a_members_token_at_hand_costs_no_effect() -> None:
    member = Local("m")
    token = member.get_token_info("a")
    played = play(member._member_flow(("a",), {}, place=Place.CHAIN))
    assert (played.effects, played.result) == ([], token)


def test_a_member_with_claims_is_asked_anew() -> None:
    member = Local("m")
    member.get_token("a")
    flow = member._member_flow(("a",), {"claims": "{}"}, place=Place.CHAIN)
    assert len(play(flow, AccessTokenInfo("t", 1)).effects) == 1


def test_what_a_member_refuses_names_the_method_that_was_called() -> None:
    flow = Local("m")._member_flow((), {}, method="get_token_info", place=Place.CHAIN)
    with pytest.raises(ValueError, match='"get_token_info"'):
        assert play(flow).result


def test_what_a_member_raises_comes_through() -> None:
    error = CredentialUnavailableError("not here")
    assert play(Local("m")._member_flow(("a",), {}, place=Place.CHAIN), error).error is error


# An engine of its own


def test_a_token_is_kept_under_the_querys_key_and_renewed_for_claims() -> None:
    local = Local("x")
    assert [local.get_token(scope).token for scope in ("a", "a", "b")] == ["x-1", "x-1", "x-2"]
    assert local.get_token("a", claims="{}").token == "x-3"
    assert local.get_token("a").token == "x-3"


# Connections


def test_a_credential_closes_its_own_connections_only() -> None:
    local = Local("x")
    assert local._pools() == (local._pool,)
    local._owns_pool = False
    assert local._pools() == ()


def test_connections_can_be_told_whom_to_trust() -> None:
    assert isinstance(pool_for(connection_verify=True), ConnectionPool)
    with pytest.raises(ValueError, match="give the path"):
        pool_for(connection_verify=False)
