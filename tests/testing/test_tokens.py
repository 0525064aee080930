from __future__ import annotations

from typing import Any

import httpx
import jwt
import pytest

from obo_middleware.testing import Application, LocalEntra, foreign_key
from obo_middleware.testing._grant import generation_of
from tests.testing.kit import (
    GRAPH,
    NOW,
    Clock,
    access_token,
    ask,
    claims_of,
    client_credentials_form,
    exchange,
    header_of,
)

ALWAYS = {"aud", "iss", "iat", "nbf", "exp", "rh", "tid", "uti", "ver", "oid", "sub"}


def test_a_version_2_user_token_has_entras_claims(entra: LocalEntra) -> None:
    claims = claims_of(entra.sign_in("alice"))
    assert set(claims) == ALWAYS | {"azp", "azpacr", "name", "preferred_username", "scp", "sid"}
    assert claims["iss"] == entra.issuer
    assert claims["aud"] == entra.api.client_id
    assert (claims["azp"], claims["azpacr"]) == (entra.client.client_id, "0")
    assert (claims["scp"], claims["ver"], claims["tid"]) == ("access_as_user", "2.0", entra.tenant_id)
    assert (claims["oid"], claims["name"]) == (entra.alice.object_id, "Alice Adams")
    assert claims["preferred_username"] == "alice@contoso.example"


def test_a_version_1_user_token_has_entras_claims(entra: LocalEntra) -> None:
    claims = claims_of(entra.sign_in("bob", version=1))
    names = {"appid", "appidacr", "name", "scp", "sid", "upn", "unique_name", "given_name", "family_name"}
    assert set(claims) == ALWAYS | names | {"acr", "amr"}
    assert claims["iss"] == f"{entra.authority}/sts/{entra.tenant_id}/"
    assert claims["aud"] == f"api://{entra.api.client_id}"
    assert (claims["upn"], claims["ver"]) == ("bob@contoso.example", "1.0")
    assert (claims["given_name"], claims["family_name"]) == ("Bob", "Brown")


def test_an_application_token_has_neither_user_nor_scope(entra: LocalEntra, http: httpx.Client) -> None:
    claims = claims_of(access_token(ask(entra, http, client_credentials_form(entra))))
    assert set(claims) == ALWAYS | {"appid", "appidacr", "idtyp", "roles"}
    assert (claims["idtyp"], claims["roles"]) == ("app", ["User.Read.All"])
    assert claims["oid"] == claims["sub"]


def test_an_application_without_roles_gets_a_token_without_roles(entra: LocalEntra, http: httpx.Client) -> None:
    form = client_credentials_form(entra, scope=f"api://{entra.api.client_id}/.default")
    assert "roles" not in claims_of(access_token(ask(entra, http, form)))


def test_app_token_is_a_shortcut_to_one(entra: LocalEntra) -> None:
    claims = claims_of(entra.app_token(roles=["Tasks.Run"], client=entra.api))
    assert (claims["aud"], claims["azp"]) == (entra.api.client_id, entra.api.client_id)
    assert (claims["roles"], claims["azpacr"], claims["idtyp"]) == (["Tasks.Run"], "1", "app")


def test_a_token_for_graph_names_graph_and_its_client(entra: LocalEntra, http: httpx.Client) -> None:
    claims = claims_of(access_token(exchange(entra, http, entra.sign_in("alice"))))
    assert (claims["aud"], claims["ver"]) == (GRAPH, "1.0")
    assert (claims["appid"], claims["appidacr"]) == (entra.api.client_id, "1")


def test_the_header_names_the_key(entra: LocalEntra) -> None:
    header = header_of(entra.sign_in("alice"))
    assert (header["typ"], header["alg"]) == ("JWT", "RS256")
    assert header["kid"] == header["x5t"]


def test_the_subject_is_another_one_in_each_application(entra: LocalEntra) -> None:
    subjects = [claims_of(entra.sign_in(name, app=app))["sub"] for name in ("alice", "bob") for app in apps(entra)]
    assert len(set(subjects)) == 4


def apps(entra: LocalEntra) -> list[Application]:
    return [entra.api, entra.graph]


def test_a_session_lasts_until_it_is_revoked(entra: LocalEntra) -> None:
    first, second = (claims_of(entra.sign_in("alice")) for _ in range(2))
    assert first["sid"] == second["sid"]
    assert first["uti"] != second["uti"]
    assert first["sid"] != claims_of(entra.sign_in("bob"))["sid"]
    entra.revoke("alice")
    assert claims_of(entra.sign_in("alice"))["sid"] != first["sid"]


def test_claims_can_be_added_changed_and_removed(entra: LocalEntra) -> None:
    claims = claims_of(entra.sign_in("alice", acrs=["c1"], tid="other", sid=None))
    assert (claims["acrs"], claims["tid"]) == (["c1"], "other")
    assert "sid" not in claims


def test_headers_can_be_added_and_removed(entra: LocalEntra) -> None:
    header = header_of(entra.sign_in("alice", headers={"typ": "at+jwt", "x5t": None}))
    assert header["typ"] == "at+jwt"
    assert "x5t" not in header


def test_another_key_can_sign(entra: LocalEntra) -> None:
    assert header_of(entra.sign_in("alice", key=foreign_key()))["kid"] == foreign_key().kid


def test_any_claims_can_be_signed(entra: LocalEntra) -> None:
    assert claims_of(entra.sign({"x": 1})) == {"x": 1}


def test_a_lifetime_can_be_given(entra: LocalEntra) -> None:
    assert claims_of(entra.sign_in("alice", lifetime=-5))["exp"] == NOW - 5


def test_the_strength_of_a_session_is_passed_on(entra: LocalEntra, http: httpx.Client) -> None:
    strength: dict[str, Any] = {"acr": "1", "amr": ["pwd", "mfa"], "acrs": ["c1"], "auth_time": 7}
    claims = claims_of(access_token(exchange(entra, http, entra.sign_in("alice", **strength))))
    assert {name: claims[name] for name in strength} == strength


def test_signatures_are_good_to_a_library_that_is_not_ours(entra: LocalEntra, clock: Clock) -> None:
    with httpx.Client() as http:
        jwk = http.get(f"{entra.authority}/common/discovery/keys").json()["keys"][0]
    claims = jwt.decode(
        entra.sign_in("alice"),
        jwt.PyJWK(jwk),
        ["RS256"],
        {"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        audience=entra.api.client_id,
        issuer=entra.issuer,
    )
    assert claims["oid"] == entra.alice.object_id


def test_users_can_be_added(entra: LocalEntra) -> None:
    carol = entra.add_user("carol", display_name="Carol de Vries")
    assert (carol.given_name, carol.surname) == ("Carol", "Vries")
    assert entra.add_user("carol").object_id == carol.object_id
    assert entra.add_user("dave").display_name == "Dave Example"
    assert claims_of(entra.sign_in(carol.user_principal_name))["oid"] == carol.object_id
    assert list(entra.users) == ["alice", "bob", "carol", "dave"]


def test_a_stranger_cannot_sign_in(entra: LocalEntra) -> None:
    with pytest.raises(KeyError, match="mallory"):
        entra.sign_in("mallory")


def test_a_permission_needs_a_resource_that_is_registered(entra: LocalEntra) -> None:
    with pytest.raises(LookupError, match=r"elsewhere\.example"):
        entra.register_app("app", permissions={"https://elsewhere.example": ["Read"]})


def test_registered_apps_can_be_asked_for_tokens(entra: LocalEntra, http: httpx.Client) -> None:
    files = entra.register_app("files", scopes=("Files.Read",), token_version=2)
    entra.update_app(entra.api, delegated={files.client_id: ("Files.Read",)})
    response = exchange(entra, http, entra.sign_in("alice"), scope=f"api://{files.client_id}/Files.Read")
    assert claims_of(access_token(response))["aud"] == files.client_id


def test_a_secret_shows_in_no_repr(entra: LocalEntra) -> None:
    assert entra.api.secret not in repr(entra.api)


def test_only_ids_made_here_tell_a_generation() -> None:
    assert [generation_of(value) for value in (None, 5, "", "short", "!!", "A" * 22)] == [None] * 5 + [0]
