from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import AzureAuthorityHosts, ClientAuthenticationError
from credentials._authority import Authority, check_scopes, check_tenant, resolve_tenant

# Where


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("login.example", "https://login.example"),
        ("login.example/", "https://login.example"),
        ("login.example/ / ", "https://login.example"),
        ("https://login.example//", "https://login.example"),
        ("https://login.example:8443/path/", "https://login.example:8443/path"),
        ("localhost:8443", "https://localhost:8443"),
        (AzureAuthorityHosts.AZURE_CHINA, "https://login.chinacloudapi.cn"),
    ],
)
def test_an_authority_is_a_host_or_an_https_url(value: str, url: str) -> None:
    assert Authority.parse(value).url == url


def test_without_a_value_the_environment_says_and_then_it_is_the_public_cloud() -> None:
    assert Authority.parse(None, environ={}).url == "https://login.microsoftonline.com"
    assert Authority.parse("", environ={"AZURE_AUTHORITY_HOST": ""}).url == "https://login.microsoftonline.com"
    environment = {"AZURE_AUTHORITY_HOST": AzureAuthorityHosts.AZURE_GOVERNMENT}
    assert Authority.parse(None, environ=environment).url == "https://login.microsoftonline.us"
    assert Authority.parse("mine.example", environ=environment).url == "https://mine.example"


def test_the_environment_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "late.example")
    assert Authority.parse(None).host == "late.example"


@pytest.mark.parametrize(
    "value",
    [
        "http://login.example",
        "http://127.0.0.1:8080",
        "ftp://login.example",
        "file:///etc/passwd",
        "://login.example",
        "https://",
        "https:///path",
        "https://:443",
        "https://user@login.example",
        "https://user:secret@login.example",
        "https://login.example?x=1",
        "https://login.example#x",
        " login.example",
        "login.example\n",
        "login .example",
        "login.ex\u0430mple",
        "https://login.example:port",
        "https://login.example:99999",
        "https://[::1",
        "https://login.example\\@evil.example",
        "https://evil.example\\.login.example",
        "https://login.example%2f.evil.example",
        "https://login.example<x>",
    ],
)
def test_an_authority_that_is_something_else_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="authority"):
        Authority.parse(value)


def test_a_refused_authority_is_told_unless_it_may_hold_a_password() -> None:
    with pytest.raises(ValueError, match=r"authority 'http://login\.example' must use https"):
        Authority.parse("http://login.example")
    with pytest.raises(ValueError, match=r"^authority must be a host") as caught:
        Authority.parse("https://user:hidden@login.example")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("value", [7, b"login.example", ["login.example"], object()])
def test_an_authority_must_be_a_text(value: Any) -> None:
    with pytest.raises(ValueError, match="authority must be a string"):
        Authority.parse(value)


@pytest.mark.parametrize("value", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:9"])
def test_plain_http_is_for_loopback_and_only_if_allowed(value: str) -> None:
    assert Authority.parse(value, allow_local=True).url == value
    with pytest.raises(ValueError, match="https"):
        Authority.parse(value)


@pytest.mark.parametrize(
    "value",
    [
        *("http://login.example", "http://127.0.0.1.example", "http://localhost.example"),
        *("ftp://127.0.0.1", "ws://localhost"),
    ],
)
def test_plain_http_is_refused_elsewhere_even_if_allowed(value: str) -> None:
    with pytest.raises(ValueError, match="https"):
        Authority.parse(value, allow_local=True)


@given(st.text(max_size=30))
def test_any_text_is_an_https_authority_or_a_value_error(text: str) -> None:
    try:
        authority = Authority.parse(text, environ={})
    except ValueError:
        return
    assert authority.url.lower().startswith("https://")
    assert authority.host


def test_host_and_token_endpoint_are_composed() -> None:
    authority = Authority.parse("https://LOGIN.example:8443/x")
    assert authority.host == "login.example"
    assert Authority("https://login.example").token_endpoint("t") == "https://login.example/t/oauth2/v2.0/token"


# Which tenant


@pytest.mark.parametrize(
    "tenant", ["contoso.onmicrosoft.com", "organizations", "common", "adfs", "0b0a1e2d-3c4f-4a5b-8c6d-7e8f90a1b2c3"]
)
def test_tenants(tenant: str) -> None:
    assert check_tenant(tenant) == tenant


@pytest.mark.parametrize(
    "tenant",
    [
        "",
        "--debug",
        ".contoso.com",
        "my tenant",
        "my_tenant",
        "/",
        "\\",
        '"t"',
        "x/../y",
        "x?y",
        "x#y",
        "..",
        ".",
        "t\n",
        "t%2f",
        "\u0430",
        None,
        7,
    ],
)
def test_other_texts_are_no_tenants(tenant: str) -> None:
    with pytest.raises(ValueError, match="the_name"):
        check_tenant(tenant, "the_name")


def resolve(default: str, requested: str | None, *allowed: str, **environ: str) -> str:
    return resolve_tenant(default, requested, frozenset(allowed), environ)


def test_the_default_tenant_is_always_allowed() -> None:
    assert resolve("home", None) == resolve("home", "home") == "home"


def test_another_tenant_must_be_allowed_by_name_or_star() -> None:
    assert resolve("home", "other", "other") == resolve("home", "other", "*") == "other"
    for allowed in ((), ("third",), ("OTHER",)):
        with pytest.raises(ClientAuthenticationError, match=r"'other'.*additionally_allowed_tenants"):
            resolve("home", "other", *allowed)


def test_organizations_without_a_list_allows_every_tenant() -> None:
    assert resolve("organizations", "other") == "other"
    with pytest.raises(ClientAuthenticationError):
        resolve("organizations", "other", "third")
    with pytest.raises(ClientAuthenticationError):
        resolve("common", "other")


@pytest.mark.peer_defect(18)
def test_a_tenant_that_is_none_is_refused_even_with_a_star() -> None:
    with pytest.raises(ValueError, match="not valid"):
        resolve("home", "x/../y?z", "*")


def test_ad_fs_and_the_switch_in_the_environment_keep_the_default() -> None:
    assert resolve("adfs", "other", "*") == "adfs"
    assert resolve("home", "other", "*", AZURE_IDENTITY_DISABLE_MULTITENANTAUTH="false") == "home"
    assert resolve("home", "other", "*", AZURE_IDENTITY_DISABLE_MULTITENANTAUTH="") == "other"


# For what


def test_scopes_lose_their_doubles_and_keep_their_order() -> None:
    assert check_scopes(("b", "a", "b"), "get_token") == ("b", "a")


def test_no_scope_is_refused_with_the_name_of_the_method() -> None:
    with pytest.raises(ValueError, match='"get_token_info" requires at least one scope'):
        check_scopes((), "get_token_info")


@pytest.mark.parametrize("scope", ["", "a b", "a\n", 'a"b', "a\\b", "\u00e4", "a\x7f", None, ("a",)])
def test_a_malformed_scope_is_refused(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        check_scopes((scope,), "get_token")
