from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from credentials import OnBehalfOfCredential
from credentials.aio import OnBehalfOfCredential as AwaitableCredential
from obo_middleware import ConfigurationError
from obo_middleware._context import AsyncContext, BlockingContext, Context
from obo_middleware._runtime import Runtime
from obo_middleware.errors import (
    AuthenticationContextError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    MissingTokenError,
    RequestEndedError,
)
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import ForeignIssuer
from tests.core.kit import NOW, TENANT, World, api, bearer, claims_of, run_blocking, settings_for

API = {"api": api("http://127.0.0.1:9/v1")}


@pytest.fixture
def world(entra: LocalEntra) -> World:
    return World(entra, Runtime(settings_for(entra, downstream_apis=API)))


Use = Callable[[Any], object]
AS_USER: dict[str, Use] = {
    "client": lambda context: context.client("api"),
    "blocking client": lambda context: context.blocking_client("api"),
    "credential": lambda context: context.credential,
    "blocking credential": lambda context: context.blocking_credential,
    "require": lambda context: context.require(),
    "require_authentication_context": lambda context: context.require_authentication_context("c1"),
    "require_authentication": lambda context: context.require_authentication(max_age=1),
}
BY_NAME: list[str] = ["client", "blocking_client", "app_client", "blocking_app_client"]


@pytest.mark.parametrize("use", AS_USER.values(), ids=AS_USER)
def test_without_a_user_nothing_acts_as_one(world: World, use: Use) -> None:
    context = AsyncContext(world.runtime, None)
    assert context.user is None
    with pytest.raises(MissingTokenError):
        use(context)


def test_without_a_user_a_blocking_context_acts_as_nobody_either(world: World) -> None:
    context = BlockingContext(world.runtime, None)
    for use in (AS_USER["client"], AS_USER["credential"], AS_USER["require"]):
        with pytest.raises(MissingTokenError):
            use(context)


def test_without_a_user_the_application_can_still_act_as_itself(world: World) -> None:
    assert isinstance(AsyncContext(world.runtime, None).app_client("api"), httpx.AsyncClient)
    assert isinstance(BlockingContext(world.runtime, None).app_client("api"), httpx.Client)


@pytest.mark.parametrize("name", BY_NAME)
def test_an_unknown_api_is_named_beside_the_known_ones(world: World, name: str) -> None:
    with pytest.raises(ConfigurationError, match="has no API 'grpah', it has api: correct the name or add it"):
        getattr(world.context(), name)("grpah")
    none = World(world.entra, Runtime(settings_for(world.entra)))
    with pytest.raises(ConfigurationError, match="it has none"):
        getattr(none.context(), name)("api")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_client_is_made_once_in_a_request_and_anew_in_the_next(world: World, name: str) -> None:
    first, second = world.context(), world.context()
    assert getattr(first, name)("api") is getattr(first, name)("api")
    assert getattr(first, name)("api") is not getattr(second, name)("api")
    assert len({id(getattr(first, other)("api")) for other in BY_NAME}) == len(BY_NAME)


def test_clients_have_the_apis_address_and_timeout(world: World) -> None:
    client = world.context().client("api")
    assert (str(client.base_url), client.timeout) == ("http://127.0.0.1:9/v1/", httpx.Timeout(5.0))
    assert not client.follow_redirects


@pytest.mark.parametrize("scopes", [(), ("access_as_user",), ("b", "access_as_user")])
def test_require_returns_the_user_who_has_every_scope(world: World, scopes: Sequence[str]) -> None:
    context = world.context("alice", scp="a access_as_user b")
    assert context.require(*scopes) is context.user


@pytest.mark.attack(86, 87)
@pytest.mark.parametrize("scope", ["other", "access_as_user a", "ACCESS_AS_USER", "access", "", "Admin"])
def test_require_refuses_a_user_without_every_scope(world: World, scope: str) -> None:
    context = world.context("alice", scp="a access_as_user", roles=["Admin"])
    with pytest.raises(InsufficientScopeError) as caught:
        context.require("a", scope)
    assert caught.value.scopes == ("a", scope)


def strong(world: World, acr_values: Any = (), max_age: int | None = None, **claims: Any) -> bool:
    context: Context = world.context("alice", **claims)
    try:
        user = context.require_authentication(acr_values=acr_values, max_age=max_age)
    except InsufficientUserAuthenticationError as error:
        refusal = error
    else:
        assert user is context.user
        return True
    wanted = (acr_values,) if isinstance(acr_values, str) else tuple(acr_values)
    assert (refusal.acr_values, refusal.max_age) == (wanted, max_age)
    return False


@pytest.mark.attack(99)
@pytest.mark.parametrize(
    ("wanted", "acr", "enough"),
    [
        (["c1"], "c1", True),
        (["c1", "c2"], "c2", True),
        (["c1"], "c2", False),
        (["c1"], None, False),
        (["c1"], "", False),
        (["c1"], ["c1"], False),
        (["c1"], "C1", False),
        ("c1", "c1", True),
        ("c1", "1", False),  # every version 1 token has this one
        ("c1", "", False),
    ],
)
def test_a_sign_in_is_strong_enough_by_one_whole_value(world: World, wanted: Any, acr: Any, enough: bool) -> None:
    assert strong(world, wanted, acr=acr) is enough


@pytest.mark.attack(99)
@pytest.mark.parametrize(
    ("max_age", "auth_time", "enough"),
    [
        (300, NOW - 300, True),
        (300, NOW - 301, False),
        (0, NOW, True),
        (0, NOW - 1, False),
        (300, None, False),
        (300, str(NOW), False),
        (300, [NOW], False),
        (300, NOW + 60, True),  # the provider's clock and ours differ
        (300, NOW + 60.5, False),
        (300, NOW + 1e9, False),
        (10**10, None, False),
        (10**10, -1, False),
        (10**10, True, False),
        (10**10, 0, True),
        (300, int(NOW) * 1000, False),  # in milliseconds
        (300, 10**400, False),
        (300, -(10**400), False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_sign_in_is_recent_enough_by_its_time(
    world: World, max_age: int | None, auth_time: Any, enough: bool
) -> None:
    assert strong(world, max_age=max_age, auth_time=auth_time) is enough


@pytest.mark.parametrize(
    "wanted",
    [
        *({}, {"acr_values": []}, {"acr_values": ""}, {"acr_values": ["a b"]}, {"acr_values": [""]}),
        *({"acr_values": [5]}, {"max_age": -1}, {"max_age": True}, {"max_age": 0.5}, {"max_age": "5"}),
    ],
)
def test_a_step_up_that_checks_nothing_or_nonsense_is_a_wrong_setting(world: World, wanted: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        world.context().require_authentication(**wanted)


@pytest.mark.parametrize(
    ("acrs", "enough"),
    [
        *((["c1"], True), (["p1", "c1"], True), ("c1", True)),
        *(
            (None, False),
            ([], False),
            (["c10"], False),
            (["c2"], False),
            (["C1"], False),
            ("c10 c1", False),
            ({}, False),
        ),
        *(([["c1"]], False), (1, False)),
    ],
)
@pytest.mark.attack(100)
def test_an_authentication_context_is_there_as_one_whole_value(world: World, acrs: Any, enough: bool) -> None:
    context = world.context("alice", acrs=acrs)
    if enough:
        assert context.require_authentication_context("c1") is context.user
        return
    with pytest.raises(AuthenticationContextError) as caught:
        context.require_authentication_context("c1")
    assert json.loads(caught.value.claims or "") == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}


@pytest.mark.attack(99)
def test_a_time_without_end_is_no_recent_sign_in(world: World) -> None:
    # Strict JSON has no infinity, but Python reads a number that is too large as one.
    valid = world.valid("alice")
    for time in (math.inf, -math.inf, math.nan):
        user = replace(valid.user, claims={"auth_time": time})
        with pytest.raises(InsufficientUserAuthenticationError):
            AsyncContext(world.runtime, valid._replace(user=user)).require_authentication(max_age=300)


@pytest.mark.attack(100)
@pytest.mark.parametrize("acrs", [["c1"], "c1", None])
def test_no_other_issuer_can_say_that_a_context_of_entra_was_satisfied(entra: LocalEntra, acrs: Any) -> None:
    with ForeignIssuer(clock=entra.clock) as issuer:
        world = World(entra, Runtime(settings_for(entra, issuers=[issuer.trusted()])))
        valid = run_blocking(world.runtime.admit_flow(bearer(issuer.token(acrs=acrs)), "/me"))
    context = AsyncContext(world.runtime, valid)
    with pytest.raises(InsufficientScopeError, match="no authentication context of Entra"):
        context.require_authentication_context("c1")
    assert context.user is not None
    assert context.user.issuer == issuer.url


@pytest.mark.parametrize("value", ["", "c0", "c100", "C1", "c1 c2", 'c1"', "phr", None, 1])
def test_only_the_id_of_an_authentication_context_can_be_asked_for(world: World, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="c1"):
        world.context("alice").require_authentication_context(value)


@pytest.mark.attack(99)
def test_strong_and_recent_are_both_needed(world: World) -> None:
    assert strong(world, ["c1"], 300, acr="c1", auth_time=NOW)
    assert not strong(world, ["c1"], 300, acr="c1", auth_time=NOW - 301)
    assert not strong(world, ["c1"], 300, acr="c2", auth_time=NOW)


def test_the_credentials_give_the_users_token_in_both_colours(world: World) -> None:
    context, blocking = world.context("alice"), BlockingContext(world.runtime, world.valid("bob"))
    assert isinstance(context.credential, AwaitableCredential)
    assert isinstance(context.blocking_credential, OnBehalfOfCredential)
    tokens = [
        world.run(lambda: context.credential.get_token("User.Read")).token,
        context.blocking_credential.get_token("User.Read").token,
        blocking.credential.get_token("User.Read").token,
    ]
    who = [claims_of(token)["oid"] for token in tokens]
    assert who == [world.entra.alice.object_id, world.entra.alice.object_id, world.entra.bob.object_id]
    assert (tokens[0], world.entra.exchanges) == (tokens[1], 2)
    world.runtime.close()


@pytest.mark.attack(172)
def test_a_credential_refuses_when_its_request_is_over(world: World) -> None:
    context = world.context("alice")
    blocking, awaitable = context.blocking_credential, context.credential
    blocking.get_token("User.Read")
    context.end()
    with pytest.raises(RequestEndedError):
        blocking.get_token("User.Read")
    with pytest.raises(RequestEndedError):
        world.run(lambda: awaitable.get_token("User.Read"))
    with pytest.raises(RequestEndedError):
        context.blocking_credential.get_token("User.Read")
    assert world.entra.exchanges == 1
    world.runtime.close()


def test_the_end_of_one_request_is_not_the_end_of_another(world: World) -> None:
    first, second = world.context("alice"), world.context("alice")
    first.end()
    assert second.blocking_credential.get_token("User.Read").token
    world.runtime.close()


def test_a_user_of_one_of_many_tenants_is_served_by_their_own(entra: LocalEntra) -> None:
    tenant = entra.add_tenant(None, "fabrikam.example")
    carol = entra.add_user("carol", tenant=tenant)
    allowed = [TENANT, tenant.tenant_id]
    made = settings_for(entra, tenant_id="organizations", allowed_tenants=allowed, downstream_apis=API)
    world = World(entra, Runtime(made))
    assert claims_of(world.context("carol").blocking_credential.get_token("User.Read").token)["oid"] == carol.object_id
    source = world.runtime.source("api", world.valid("alice"))
    assert source.fresh() is None
    token = world.context("alice").blocking_credential.get_token("User.Read", enable_cae=True).token
    assert [request.tenant for request in entra.token_requests] == [tenant.tenant_id, TENANT]
    fresh = world.runtime.source("api", world.valid("alice")).fresh()
    assert fresh is not None
    assert fresh.token == token, "client and credential share their tokens"
    world.runtime.close()
