"""The fixtures that users' tests get from the package, used here as they use them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
from flask import Flask

import obo_middleware_pytest
from obo_middleware import Settings
from obo_middleware.flask import OnBehalfOf
from obo_middleware.testing import LocalEntra, LocalGraph
from obo_middleware_pytest import Outcome, SignedIn

pytest_plugins = ["pytester"]
As = Callable[..., SignedIn]
Mishap = Callable[..., Outcome]


@pytest.fixture
def api(local_settings: Callable[..., Settings]) -> Any:
    app, obo = Flask("api"), OnBehalfOf()
    obo.init_app(app, local_settings())

    @app.get("/me")
    def me() -> str:
        return str(obo.client("graph").get("/me").raise_for_status().json()["displayName"])

    return app.test_client()


def test_a_user_is_signed_in_with_scopes_and_claims(as_user: As, local_entra: LocalEntra, api: Any) -> None:
    assert api.get("/me", headers=as_user().headers).text == "Alice Adams"
    assert api.get("/me", headers=as_user("bob", scopes=["other"]).headers).text == "Bob Brown"
    assert api.get("/me", headers=as_user("carol").headers).status_code == 200
    assert api.get("/me", headers=as_user("alice", exp=1).headers).status_code == 401
    assert sorted(local_entra.users) == ["alice", "bob", "carol"]


def test_a_signed_in_user_is_auth_of_httpx_and_requests_and_shows_no_token(as_user: As) -> None:
    alice = as_user("alice")
    assert repr(alice) == "SignedIn('alice')"
    sent = httpx.Client(auth=alice, transport=httpx.MockTransport(lambda request: httpx.Response(200, request=request)))
    with sent:
        answer = sent.get("http://api/me")
    assert answer.request.headers["Authorization"] == alice.headers["Authorization"]
    prepared = requests.Request("GET", "http://api/me", auth=alice).prepare()
    assert prepared.headers["Authorization"] == f"Bearer {alice.token}"


def test_settings_take_changes(local_settings: Callable[..., Settings]) -> None:
    assert local_settings(required_scopes=["a"]).required_scopes == ("a",)


def test_the_environment_is_the_local_providers(local_environment: dict[str, str], local_graph: LocalGraph) -> None:
    settings = Settings.from_env()
    assert settings.allow_local_issuer
    assert os.environ["GRAPH_BASE_URL"] == local_environment["GRAPH_BASE_URL"] == local_graph.base_url


def test_a_mishap_ends_with_its_block(
    api: Any, as_user: As, consent_required: Mishap, claims_challenge: Mishap, provider_down: Mishap
) -> None:
    alice, bob = as_user("alice", xms_cc=["cp1"]), as_user("bob")
    with provider_down(retry_after=7):
        answer = api.get("/me", headers=bob.headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    with claims_challenge("alice"):
        assert "insufficient_claims" in api.get("/me", headers=alice.headers).headers["WWW-Authenticate"]
    with consent_required(as_user("dave").user.name):
        assert "consent_uri" in api.get("/me", headers=as_user("dave").headers).json


IN_TWO_TESTS = """
import pytest

@pytest.mark.parametrize("turn", [1, 2])
def test_nothing_is_left_of_another_test(turn, local_entra, local_graph, as_user, consent_required, provider_down):
    assert (sorted(local_entra.users), local_entra.requests_to("token")) == (["alice", "bob"], 0)
    assert local_graph.requests == []
    as_user("carol")
    consent_required("alice")
    provider_down()
"""


def test_tests_cannot_influence_each_other(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(IN_TWO_TESTS)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist").assert_outcomes(passed=2)


def test_without_the_extra_a_fixture_says_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("def test_it(local_graph): ...")
    monkeypatch.setitem(sys.modules, "obo_middleware.testing", None)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*the fixtures of obo-middleware need its extra: pip install 'obo-middleware[[]testing]'"]
    )


def test_the_plugin_is_found_and_loads_nothing_else() -> None:
    code = (
        "import sys; from importlib.metadata import entry_points; import pytest; before = set(sys.modules)\n"
        "(found,) = [one for one in entry_points(group='pytest11') if one.name == 'obo_middleware']; found.load()\n"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['obo_middleware_pytest']"


def test_every_fixture_is_exported_and_documented() -> None:
    for name in obo_middleware_pytest.__all__:
        assert getattr(obo_middleware_pytest, name).__doc__
