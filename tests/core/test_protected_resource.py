from __future__ import annotations

import json
from typing import Any

import pytest

from obo_middleware import ConfigurationError, ProtectedResource
from obo_middleware._challenge import metadata_reply, reply_to
from obo_middleware.errors import (
    ClaimsChallengeError,
    ConsentNeededError,
    InsufficientScopeError,
    InsufficientUserAuthenticationError,
    InvalidTokenError,
    MalformedRequestError,
    MissingTokenError,
    OboError,
    UpstreamUnavailableError,
)
from tests.core.kit import CLIENT, TENANT, settings

RESOURCE = "https://api.example/mcp"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example", ""),
        ("https://api.example/", ""),
        ("https://api.example/mcp", "/mcp"),
        ("https://api.example/mcp/", "/mcp/"),
        ("https://api.example:8443/a/b", "/a/b"),
        ("http://127.0.0.1:8000/mcp", "/mcp"),
    ],
)
def test_the_document_is_where_the_standard_puts_it(resource: str, path: str) -> None:  # RFC 9728 section 3.1
    made = ProtectedResource(resource)
    origin = "/".join(resource.split("/")[:3])
    assert made.metadata_path == WELL_KNOWN + path
    assert made.metadata_url == origin + WELL_KNOWN + path
    assert json.loads(made.document(["https://i.example"]))["resource"] == resource


def test_an_encoded_path_is_published_as_servers_decode_it() -> None:
    made = ProtectedResource("https://api.example/caf%C3%A9")
    assert made.metadata_path == f"{WELL_KNOWN}/caf\u00e9"
    assert made.metadata_url == f"https://api.example{WELL_KNOWN}/caf%C3%A9"


def test_the_document_has_every_member_that_has_a_value_and_no_other() -> None:
    assert json.loads(ProtectedResource(RESOURCE).document([ENTRA])) == {
        "resource": RESOURCE,
        "authorization_servers": [ENTRA],
        "bearer_methods_supported": ["header"],
    }
    full = ProtectedResource(
        RESOURCE,
        authorization_servers=["https://idp.example"],
        scopes_supported=["read", "write"],
        resource_name="Orders",
        resource_documentation="https://docs.example/orders",
    )
    assert json.loads(full.document([ENTRA])) == {
        "resource": RESOURCE,
        "authorization_servers": ["https://idp.example"],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Orders",
        "resource_documentation": "https://docs.example/orders",
    }


@pytest.mark.parametrize(
    ("field", "given"),
    [
        *(
            ("resource", {"resource": value})
            for value in ("", "api", "http://api.example", "https://a/?q=1", "https://")
        ),
        *(
            ("resource", {"resource": value})
            for value in ("https://a/#f", "https://u@a", 'https://a/"', "https://a/\\")
        ),
        *(("resource", {"resource": value}) for value in ("https://a/b c", "https://a\r\n", None, "https://a:x")),
        ("authorization_servers", {"authorization_servers": "https://i.example"}),
        ("authorization_servers", {"authorization_servers": None}),
        ("authorization_servers", {"authorization_servers": ["ftp://i.example"]}),
        ("authorization_servers", {"authorization_servers": [5]}),
        ("scopes_supported", {"scopes_supported": "read"}),
        ("scopes_supported", {"scopes_supported": ["a b"]}),
        ("scopes_supported", {"scopes_supported": ["offline_access"]}),  # MCP: not among the scopes
        ("resource_documentation", {"resource_documentation": "docs"}),
        ("resource_name", {"resource_name": 5}),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=field):
        ProtectedResource(**{"resource": RESOURCE} | given)


POINTED = [MissingTokenError(), InvalidTokenError("x"), InsufficientScopeError("x", scopes=["a"])]
POINTED_TOO: list[OboError] = [InsufficientUserAuthenticationError("x", max_age=5)]
SILENT: list[OboError] = [
    *(MalformedRequestError("x"), ClaimsChallengeError("x", claims="{}"), UpstreamUnavailableError("x")),
    OboError("x"),
]


@pytest.mark.parametrize("error", [*POINTED, *POINTED_TOO, ConsentNeededError("x", scopes=["a"])], ids=repr)
def test_a_challenge_names_the_document_where_a_token_could_help(error: OboError) -> None:  # RFC 9728 section 5.1
    headers = dict(reply_to(error, settings(protected_resource=ProtectedResource(RESOURCE))).headers)
    url = f"https://api.example{WELL_KNOWN}/mcp"
    assert headers["WWW-Authenticate"].endswith(f', resource_metadata="{url}"')
    without = dict(reply_to(error, settings()).headers)["WWW-Authenticate"]
    assert headers["WWW-Authenticate"].startswith(without)


@pytest.mark.parametrize("error", SILENT, ids=repr)
def test_other_answers_do_not_name_it(error: OboError) -> None:
    made = settings(protected_resource=ProtectedResource(RESOURCE))
    assert reply_to(error, made) == reply_to(error, settings())


def test_the_first_challenge_of_all_tells_a_client_where_to_begin() -> None:
    made = settings(protected_resource=ProtectedResource("https://api.example"), required_scopes=["read"])
    challenge = dict(reply_to(MissingTokenError(), made).headers)["WWW-Authenticate"]
    assert challenge == f'Bearer realm="{CLIENT}", scope="read", resource_metadata="https://api.example{WELL_KNOWN}"'


def test_a_browser_that_asks_first_may_read_the_document() -> None:
    asked = metadata_reply(ProtectedResource(RESOURCE), settings(), "OPTIONS")
    assert (asked.status, asked.body) == (204, b"")
    assert dict(asked.headers)["Access-Control-Allow-Origin"] == "*"


def test_the_document_can_only_be_read() -> None:
    refused = metadata_reply(ProtectedResource(RESOURCE), settings(), "POST")
    assert (refused.status, dict(refused.headers)["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_challenges_name_scopes_as_clients_ask_for_them() -> None:
    """Entra's tokens have the bare name; a client that asks for that gets a token for Microsoft Graph, or an error."""
    full = f"api://{CLIENT}/orders.read"
    resource = ProtectedResource("https://api.example/orders", scopes_supported=[full, "api://other/x"])
    given = settings(protected_resource=resource, required_scopes=["orders.read", "unpublished"])
    for error in (MissingTokenError(), InsufficientScopeError("no", scopes=["orders.read", "unpublished"])):
        assert f'scope="{full} unpublished"' in dict(reply_to(error, given).headers)["WWW-Authenticate"]
    consent = ConsentNeededError("no", scopes=["orders.read"])
    assert 'scope="orders.read"' in dict(reply_to(consent, given).headers)["WWW-Authenticate"]
