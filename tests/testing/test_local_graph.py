from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from obo_middleware.testing import LocalEntra, LocalGraph, foreign_key
from obo_middleware.testing import _graph_check as check_module
from tests.testing.kit import (
    GRAPH,
    Clock,
    access_token,
    as_itself,
    bearer,
    decoded,
    error_of,
    exchange,
    get,
    graph_token,
)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_each_user_has_a_profile(entra: LocalEntra, graph: LocalGraph, http: httpx.Client, name: str) -> None:
    document = get(graph, http, "me", graph_token(entra, http, name)).json()
    user = entra.users[name]
    assert (document["id"], document["displayName"]) == (user.object_id, user.display_name)
    assert document["@odata.context"] == f"{graph.base_url}/$metadata#users/$entity"


def test_each_user_has_messages(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    subjects = []
    for name in ("alice", "bob"):
        token = graph_token(entra, http, name, scope="Mail.Read")
        messages = get(graph, http, "me/messages", token).json()["value"]
        subjects.append({message["subject"] for message in messages})
    assert subjects[0].isdisjoint(subjects[1])
    assert [len(one) for one in subjects] == [5, 5]


def test_pages_are_linked(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http, scope="Mail.Read")
    document = get(graph, http, "me/messages?$top=2", token).json()
    sizes = [len(document["value"])]
    while link := document.get("@odata.nextLink"):
        assert link.startswith(f"{graph.base_url}/me/messages?$top=2&$skip=")
        document = http.get(link, headers=bearer(token)).json()
        sizes.append(len(document["value"]))
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("query", ["$top=0", "$top=x", "$skip=-1"])
def test_a_bad_page_is_refused(entra: LocalEntra, graph: LocalGraph, http: httpx.Client, query: str) -> None:
    token = graph_token(entra, http, scope="Mail.Read")
    assert error_of(get(graph, http, f"me/messages?{query}", token)) == (400, "BadRequest")


def test_an_application_lists_users(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    document = get(graph, http, "users", as_itself(entra, http)).json()
    assert [user["givenName"] for user in document["value"]] == ["Alice", "Bob"]


# Permissions


def test_a_scope_is_needed(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http, scope="Mail.Read")
    assert error_of(get(graph, http, "me", token)) == (403, "Authorization_RequestDenied")
    assert error_of(get(graph, http, "users", token)) == (403, "Authorization_RequestDenied")
    token = graph_token(entra, http, scope="User.Read")
    assert error_of(get(graph, http, "me/messages", token)) == (403, "ErrorAccessDenied")


def test_a_role_is_needed(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = entra.app_token(entra.graph, ["Other.Role"], client=entra.api)
    assert error_of(get(graph, http, "users", token)) == (403, "Authorization_RequestDenied")


def test_an_application_has_no_me(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    assert error_of(get(graph, http, "me", as_itself(entra, http))) == (400, "BadRequest")


def test_a_user_who_is_gone_is_not_found(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = entra.sign_in("alice", entra.graph, ["User.Read"], oid="gone")
    assert error_of(get(graph, http, "me", token)) == (404, "Request_ResourceNotFound")


# Tokens


@pytest.mark.parametrize(
    "headers",
    [[], [("Authorization", "Basic x")], [("Authorization", "Bearer")], [("Authorization", "Bearer x")] * 2],
)
def test_a_request_without_one_token_is_refused(
    graph: LocalGraph, http: httpx.Client, headers: list[tuple[str, str]]
) -> None:
    response = http.get(f"{graph.base_url}/me", headers=headers)
    assert error_of(response) == (401, "InvalidAuthenticationToken")
    assert response.headers["www-authenticate"] == 'Bearer realm="", error="invalid_token"'


BAD_TOKENS: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "https://vault.azure.net"},
    "another issuer": {"iss": "https://elsewhere.example"},
    "another tenant": {"tid": "another"},
    "a past end": {"lifetime": -1},
    "no end": {"exp": None},
    "a forged signature": {"key": foreign_key()},
    "a forged signature and key id": {"key": foreign_key(), "headers": {"kid": "x"}},
}


@pytest.mark.parametrize("changes", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_token_is_refused_with(
    entra: LocalEntra, graph: LocalGraph, http: httpx.Client, changes: dict[str, Any]
) -> None:
    token = entra.sign_in("alice", entra.graph, ["User.Read"], **changes)
    assert error_of(get(graph, http, "me", token)) == (401, "InvalidAuthenticationToken")


def test_a_signature_under_a_known_key_id_is_checked(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    header = {"kid": json.loads(_header(entra))["kid"]}
    token = entra.sign_in("alice", entra.graph, ["User.Read"], key=foreign_key(), headers=header)
    assert error_of(get(graph, http, "me", token)) == (401, "InvalidAuthenticationToken")


def _header(entra: LocalEntra) -> str:
    return json.dumps(decoded(entra.sign({}).split(".")[0]))


def test_a_text_that_is_no_token_is_refused(graph: LocalGraph, http: httpx.Client) -> None:
    assert error_of(get(graph, http, "me", "opaque")) == (401, "InvalidAuthenticationToken")


def test_the_apis_own_token_is_refused(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    response = get(graph, http, "me", entra.sign_in("alice"))
    assert error_of(response) == (401, "InvalidAuthenticationToken")


def test_a_good_token_expires(entra: LocalEntra, graph: LocalGraph, http: httpx.Client, clock: Clock) -> None:
    token = graph_token(entra, http)
    assert get(graph, http, "me", token).status_code == 200
    clock.now += 3900
    assert error_of(get(graph, http, "me", token)) == (401, "InvalidAuthenticationToken")


def test_version_2_tokens_are_taken_too(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = entra.sign_in("alice", entra.graph, ["User.Read"], version=2)
    assert get(graph, http, "me", token).status_code == 200


def test_new_keys_are_fetched_and_withdrawn_ones_forgotten(
    entra: LocalEntra, graph: LocalGraph, http: httpx.Client
) -> None:
    old = graph_token(entra, http)
    assert get(graph, http, "me", old).status_code == 200
    entra.rotate_keys(withdraw_old=True)
    assert get(graph, http, "me", graph_token(entra, http)).status_code == 200
    assert get(graph, http, "me", old).status_code == 401


def test_its_own_requests_are_not_counted(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    entra.rotate_keys()
    assert get(graph, http, "me", entra.sign_in("alice", entra.graph, ["User.Read"])).status_code == 200
    assert (entra.requests_to("jwks"), entra.connections) == (0, 0)


def test_keys_outlive_an_outage_of_the_provider(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = entra.sign_in("alice", entra.graph, ["User.Read"])
    entra.outage(endpoints=("jwks",))
    forged = entra.sign_in("alice", entra.graph, ["User.Read"], key=foreign_key())
    assert get(graph, http, "me", forged).status_code == 401
    assert get(graph, http, "me", token).status_code == 200


def test_the_memory_of_good_tokens_is_bounded(
    entra: LocalEntra, graph: LocalGraph, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "_REMEMBERED", 2)
    for _ in range(5):
        assert get(graph, http, "me", graph_token(entra, http)).status_code == 200
    assert graph._checker is not None
    assert len(graph._checker._good) <= 2


def test_graph_can_have_another_name(http: httpx.Client) -> None:
    name = "https://graph.contoso.example"
    with LocalEntra(graph_identifier_uri=name) as entra, LocalGraph(entra) as graph:
        assert exchange(entra, http, entra.sign_in("alice")).json()["error"] == "invalid_resource"
        token = access_token(exchange(entra, http, entra.sign_in("alice"), scope=f"{name}/.default"))
        assert get(graph, http, "me", token).status_code == 200
        assert GRAPH not in entra.graph.identifier_uris


# Echoes


def test_an_echo_tells_all_but_the_token(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http)
    headers = bearer(token) | {"Cookie": "a=b", "X-Mine": "1"}
    response = http.post(f"{graph.base_url}/echo?q=1", content=b"body", headers=headers)
    document = response.json()
    assert (document["method"], document["path"], document["query"]) == ("POST", "/v1.0/echo", "q=1")
    assert (document["user"], document["client_id"]) == (entra.alice.object_id, entra.api.client_id)
    assert (document["length"], document["sha256"]) == (4, hashlib.sha256(b"body").hexdigest())
    assert (document["headers"]["cookie"], document["headers"]["x-mine"]) == ("a=b", "1")
    assert token not in response.text
    assert "authorization" not in document["headers"]


def test_a_cookie_is_set_that_tells_the_user(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    response = get(graph, http, "set-cookie", graph_token(entra, http))
    assert response.cookies["graph_session"] == entra.alice.object_id
    response = get(graph, http, "set-cookie", as_itself(entra, http))
    assert response.cookies["graph_session"] == entra.api.client_id


def test_a_redirect_goes_where_it_is_told(entra: LocalEntra, graph: LocalGraph, http: httpx.Client) -> None:
    token = graph_token(entra, http)
    response = get(graph, http, "redirect?to=https://elsewhere.example/x", token)
    assert (response.status_code, response.headers["location"]) == (302, "https://elsewhere.example/x")
    assert get(graph, http, "redirect", token).headers["location"] == f"{graph.base_url}/me"
