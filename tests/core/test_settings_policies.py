from __future__ import annotations

import math
from typing import Any

import pytest

from obo_middleware import ConfigurationError, ProtectedResource, TrustedIssuer
from tests.core.kit import CLIENT, TENANT, settings

OTHER = "11111111-2222-4333-8444-555555555555"
LOCAL = "http://127.0.0.1:5000"
IDP = "https://idp.example"
RESOURCE = "https://api.example/mcp"
HERE = ("127.1", "localhost.", "a.localhost:8443", "0.0.0.0:80", "[::]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1")
"""Other spellings of this machine."""


def issuer(url: str = IDP, **changes: Any) -> TrustedIssuer:
    return TrustedIssuer(url, **{"audiences": ["https://api.example"]} | changes)


def resource(*servers: str) -> ProtectedResource:
    return ProtectedResource(RESOURCE, authorization_servers=servers)


# The field at fault, what is given, and words of the problem and of the fix.
WRONG: list[Any] = [
    ("public_methods", {"public_methods": "OPTIONS"}, "is a str", "give a list"),
    ("public_methods", {"public_methods": ["options"]}, "contains 'options'", "in capitals"),
    ("public_methods", {"public_methods": [""]}, "contains ''", "in capitals"),
    ("public_methods", {"public_methods": ["A B"]}, "contains 'A B'", "in capitals"),
    ("public_methods", {"public_methods": [5]}, "contains 5", "in capitals"),
    ("allowed_clients", {"allowed_clients": CLIENT}, "is a str", "give a list"),
    ("allowed_clients", {"allowed_clients": [""]}, "contains ''", "list the application (client) ids"),
    ("allowed_clients", {"allowed_clients": [5]}, "contains 5", "list the application (client) ids"),
    ("allow_guests", {"allow_guests": "no"}, "is 'no'", "True or False"),
    ("close_websockets_at_expiry", {"close_websockets_at_expiry": 1}, "is 1", "True or False"),
    ("refuse_private_addresses", {"refuse_private_addresses": "yes"}, "is 'yes'", "True or False"),
    *(
        ("max_token_life", {"max_token_life": value}, f"is {value!r}", "seconds above 0")
        for value in (0, -1, True, "3600", math.inf, math.nan)
    ),
    *(
        ("proxy_token_header", {"proxy_token_header": value}, f"is {value!r}", "a header's name")
        for value in ("", "a b", "X-Token:", "X\r\n", 5)
    ),
    *(
        ("proxy_token_header", {"proxy_token_header": value}, f"is {value!r}", "the bare token")
        for value in ("Authorization", "cookie", "Host", "Proxy-Authorization")
    ),
    ("issuers", {"issuers": issuer()}, "is a TrustedIssuer", "a list of TrustedIssuer"),
    ("issuers", {"issuers": IDP}, "is a str", "a list of TrustedIssuer"),
    ("issuers", {"issuers": [IDP]}, "contains a str", "a list of TrustedIssuer"),
    ("issuers", {"issuers": [issuer(), issuer()]}, f"has '{IDP}' twice", "each issuer once"),
    *(
        ("issuers", {"issuers": [issuer(f"https://{host}/{OTHER}/v2.0")]}, "is at the authority itself", "whose users")
        for host in (
            *("login.microsoftonline.com", "LOGIN.microsoftonline.com", "login.microsoftonline.com:443"),
            *("login.microsoftonline.com.", "login.microsoft.com", "login.windows.net", "STS.windows.net.:443"),
        )
    ),
    ("protected_resource", {"protected_resource": RESOURCE}, "is a str", "give a ProtectedResource"),
    *(
        pytest.param(
            "protected_resource",
            {"protected_resource": resource(server)},
            f"names the authorization server '{server}'",
            "describe it in issuers",
            marks=pytest.mark.attack(193),
        )
        for server in (IDP, f"https://login.microsoftonline.com/{OTHER}/v2.0", "https://login.microsoftonline.com")
    ),
    *(
        pytest.param("issuers", given, "on this machine", "never in production", marks=pytest.mark.attack(196))
        for given in (
            {"issuers": [issuer(LOCAL)]},
            *({"issuers": [issuer(f"https://{host}")]} for host in ("localhost", *HERE)),
            {"issuers": [issuer(jwks_uri=f"{LOCAL}/keys")]},
            {"issuers": [issuer(jwks_uri="https://127.1/keys")]},
        )
    ),
    *(
        pytest.param(
            *("authority", {"authority": f"https://{host}"}, "on this machine", "never in production"),
            marks=pytest.mark.attack(196),
        )
        for host in HERE
    ),
    (
        "refuse_private_addresses",
        {"refuse_private_addresses": True, "allow_local_issuer": True, "authority": LOCAL},
        "on this machine",
        "leave it out",
    ),
    (
        "refuse_private_addresses",
        {"refuse_private_addresses": True, "allow_local_issuer": True, "issuers": [issuer(LOCAL)]},
        "on this machine",
        "leave it out",
    ),
]


@pytest.mark.parametrize(("name", "given", "problem", "fix"), WRONG)
def test_a_wrong_setting_is_refused_with_its_name_its_problem_and_the_fix(
    name: str, given: dict[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(**given)
    text = str(caught.value)
    assert text.startswith(name + " ")
    assert problem in text
    assert fix in text


def test_the_issuers_whose_tokens_are_accepted_may_be_published() -> None:
    entra = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    made = settings(issuers=[issuer()], protected_resource=resource(IDP, entra))
    assert made.accepted_issuers == (entra, IDP)


def test_each_allowed_tenant_of_many_is_an_issuer_of_its_own() -> None:
    made = settings(tenant_id="organizations", allowed_tenants=[OTHER.upper()])
    cloud = "https://login.microsoftonline.com"
    assert made.accepted_issuers == (f"{cloud}/organizations/v2.0", f"{cloud}/{OTHER}/v2.0")
    everybody = settings(tenant_id="common", allowed_tenants=["*"])
    assert everybody.accepted_issuers == (f"{cloud}/common/v2.0",)


def test_a_local_issuer_is_let_in_where_it_is_asked_for() -> None:
    assert settings(allow_local_issuer=True, issuers=[issuer(LOCAL)]).issuers == (issuer(LOCAL),)


@pytest.mark.parametrize(
    ("authority", "url"),
    [
        ("https://Login.Example.", "https://login.example:443/realm"),
        ("https://login.example:443", "https://login.example/realm"),
        ("https://login.example/adfs", "https://LOGIN.example/other"),
        ("https://LOGIN.microsoftonline.com", "https://sts.windows.net/x"),
    ],
)
def test_no_issuer_is_the_authority_in_another_spelling(authority: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match="is at the authority itself"):
        settings(authority=authority, issuers=[issuer(url)])


@pytest.mark.parametrize(
    ("authority", "url"),
    [
        ("https://login.example", "https://login.example:8443"),
        ("https://login.example", "https://login.example.org"),
        ("https://login.example", "https://sts.windows.net/x"),
        ("https://login.microsoftonline.com", "https://sts.windows.net:8443/x"),
        ("https://login.microsoftonline.com", "https://contoso.ciamlogin.com/x/v2.0"),
    ],
)
def test_an_issuer_on_another_server_is_another_one(authority: str, url: str) -> None:
    assert settings(authority=authority, issuers=[issuer(url)]).issuers == (issuer(url),)


def test_the_guard_of_addresses_may_stand_beside_issuers_elsewhere() -> None:
    assert settings(refuse_private_addresses=True, issuers=[issuer()]).refuse_private_addresses


def test_ids_of_clients_are_kept_as_the_provider_writes_them_in_tokens() -> None:
    assert settings(allowed_clients=[CLIENT.upper(), "My-Client"]).allowed_clients == {CLIENT, "My-Client"}
    assert settings(max_token_life=0.5).max_token_life == 0.5
    assert settings(public_methods=["OPTIONS"]).public_methods == {"OPTIONS"}
