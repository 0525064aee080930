from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from obo_middleware import ConfigurationError, DownstreamApi
from tests.marks import by_name

BASE = "https://api.example/v1"

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("base_url", {"base_url": ""}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": None}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "/v1"}, "is not a plain absolute URL", "absolute https URL"),
    ("base_url", {"base_url": "api.example/v1"}, "is not a plain absolute URL", "absolute https URL"),
    ("base_url", {"base_url": "https://"}, "is not a plain absolute URL", "absolute https URL"),
    ("base_url", {"base_url": "https://a.example:port"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://[::1"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://a.example/ v1"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://a.example/\n"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://gr\u0430ph.example"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://a.example\\@evil.example"}, "is not a URL", "absolute https URL"),
    ("base_url", {"base_url": "https://a.example@evil.example"}, "is not a plain", "without user"),
    ("base_url", {"base_url": "https://a.example/?q=1"}, "is not a plain", "without user, query"),
    ("base_url", {"base_url": "https://a.example/#f"}, "is not a plain", "query or fragment"),
    ("base_url", {"base_url": "http://a.example"}, "unencrypted", "https"),
    ("base_url", {"base_url": "http://127.0.0.1.example"}, "unencrypted", "https"),
    ("base_url", {"base_url": "http://127.evil"}, "unencrypted", "https"),
    ("base_url", {"base_url": "ftp://127.0.0.1"}, "unencrypted", "https"),
    ("scopes", {"scopes": []}, "is empty", "'User.Read'"),
    ("scopes", {"scopes": "User.Read"}, "is a str", "list of scopes"),
    ("scopes", {"scopes": {"User.Read"}}, "is a set", "list of scopes"),
    ("scopes", {"scopes": None}, "is a NoneType", "list of scopes"),
    ("scopes", {"scopes": ["User.Read Mail.Read"]}, "'User.Read Mail.Read'", "each scope"),
    ("scopes", {"scopes": ["User.Read\n"]}, "is not usable", "each scope"),
    ("scopes", {"scopes": [""]}, "is not usable", "each scope"),
    ("scopes", {"scopes": [5]}, "is not usable", "each scope"),
    ("scopes", {"scopes": ["User.Read", "offline_access"]}, "offline_access", "each scope"),
    ("app_scopes", {"app_scopes": "x/.default"}, "is a str", "list of scopes"),
    ("app_scopes", {"app_scopes": ["a b"]}, "is not usable", "each scope"),
    ("timeout", {"timeout": 0}, "is 0", "above 0"),
    ("timeout", {"timeout": -1.5}, "is -1.5", "above 0"),
    ("timeout", {"timeout": None}, "is None", "above 0"),
    ("timeout", {"timeout": "10"}, "is '10'", "above 0"),
    ("timeout", {"timeout": True}, "is True", "above 0"),
    ("timeout", {"timeout": math.nan}, "is nan", "above 0"),
    ("timeout", {"timeout": math.inf}, "is inf", "above 0"),
    ("retry_within", {"retry_within": -0.1}, "is -0.1", "0 for never"),
    ("retry_within", {"retry_within": None}, "is None", "0 for never"),
    ("retry_within", {"retry_within": True}, "is True", "0 for never"),
    ("retry_within", {"retry_within": math.inf}, "is inf", "0 for never"),
]


ROWS = {str(row[:2])[:70]: row for row in WRONG}
CASES = {
    **{name: (165,) for name, row in ROWS.items() if row[2] == "unencrypted"},
    **{name: (154,) for name, row in ROWS.items() if row[3] == "each scope"},
}
"""The rows that show a case of the list of attacks."""


@pytest.mark.parametrize(("name", "given", "problem", "fix"), by_name(ROWS, CASES))
def test_a_wrong_api_is_refused_with_the_fields_name_its_problem_and_the_fix(
    name: str, given: Mapping[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DownstreamApi(**{"base_url": BASE, "scopes": ["User.Read"]} | dict(given))
    text = str(caught.value)
    assert text.startswith(name + " ")
    assert problem in text
    assert fix in text


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/v1", "http://localhost/x", "http://[::1]:5", "https://a.example"])
def test_https_and_loopback_are_taken(url: str) -> None:
    assert DownstreamApi(url, scopes=["a"]).base_url == url


def test_a_slash_at_the_end_is_left_out() -> None:
    assert DownstreamApi(BASE + "/", scopes=["a"]).base_url == BASE


def test_scopes_are_kept_in_order_once_each() -> None:
    assert DownstreamApi(BASE, scopes=["b", "a", "b"]).scopes == ("b", "a")


@pytest.mark.parametrize(
    ("url", "scope", "expected"),
    [
        (BASE, "api://other/read", "api://other/.default"),
        (BASE, "https://vault.example/read", "https://vault.example/.default"),
        (BASE, "read", "https://api.example/.default"),
        ("http://127.0.0.1:5000/v1", "User.Read", "https://graph.microsoft.com/.default"),
        ("https://graph.microsoft.com/v1.0", "User.Read", "https://graph.microsoft.com/.default"),
    ],
)
def test_the_application_asks_for_all_it_may_of_the_same_api(url: str, scope: str, expected: str) -> None:
    assert DownstreamApi(url, scopes=[scope]).app_scopes == (expected,)


def test_other_scopes_for_the_application_may_be_given() -> None:
    assert DownstreamApi(BASE, scopes=["a"], app_scopes=["x/.default"]).app_scopes == ("x/.default",)
