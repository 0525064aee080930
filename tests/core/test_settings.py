from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest

from credentials import ClientAssertion, ClientSecret
from obo_middleware import ConfigurationError, DownstreamApi, OboError, Settings
from tests.core.kit import CLIENT, SECRET, TENANT, settings
from tests.marks import by_name

OTHER = "11111111-2222-4333-8444-555555555555"
MANY = {"tenant_id": "organizations", "allowed_tenants": [TENANT]}
LOCAL = "http://127.0.0.1:5000"

# The field at fault, what is given, and words of the problem and of the fix.
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("tenant_id", {"tenant_id": ""}, "is empty", "directory (tenant) id"),
    ("tenant_id", {"tenant_id": "  "}, "is empty", "directory (tenant) id"),
    ("tenant_id", {"tenant_id": None}, "is empty", "directory (tenant) id"),
    ("tenant_id", {"tenant_id": "consumers"}, "is not a tenant", "a GUID, a domain"),
    ("tenant_id", {"tenant_id": TENANT[:-1]}, "is not a tenant", "a GUID, a domain"),
    ("tenant_id", {"tenant_id": TENANT + "\n"}, "is not a tenant", "a GUID, a domain"),
    ("tenant_id", {"tenant_id": "../x"}, "is not a tenant", "a GUID, a domain"),
    ("tenant_id", {"tenant_id": "contoso.com/x"}, "is not a tenant", "a GUID, a domain"),
    ("client_id", {"client_id": ""}, "is empty", "application (client) id"),
    ("client_id", {"client_id": " "}, "is empty", "application (client) id"),
    ("client_id", {"client_id": None}, "is empty", "application (client) id"),
    ("client_id", {"client_id": "a b"}, "is not an id", "a GUID"),
    ("client_id", {"client_id": CLIENT + "\r\n"}, "is not an id", "a GUID"),
    ("client_credential", {"client_credential": ""}, "is empty", "the secret's value as a string"),
    ("client_credential", {"client_credential": "\t "}, "is empty", "the secret's value as a string"),
    ("client_credential", {"client_credential": None}, "is empty", "the secret's value as a string"),
    ("client_credential", {"client_credential": b"bytes"}, "is a bytes", "ClientCertificate or ClientAssertion"),
    ("client_credential", {"client_credential": object()}, "is a object", "ClientCertificate or ClientAssertion"),
    (
        "allowed_tenants",
        {"tenant_id": "organizations"},
        "is empty, but tenant_id is 'organizations'",
        "list the tenants",
    ),
    ("allowed_tenants", {"tenant_id": "common", "allowed_tenants": []}, "is empty", "give ['*']"),
    ("allowed_tenants", {"allowed_tenants": [OTHER]}, "single tenant", "tenant_id='organizations'"),
    ("allowed_tenants", MANY | {"allowed_tenants": TENANT}, "is a str", "give a list"),
    ("allowed_tenants", MANY | {"allowed_tenants": None}, "is a NoneType", "give a list"),
    ("allowed_tenants", MANY | {"allowed_tenants": 5}, "is a int", "give a list"),
    ("allowed_tenants", MANY | {"allowed_tenants": ["contoso.com"]}, "contains 'contoso.com'", "each tenant's GUID"),
    ("allowed_tenants", MANY | {"allowed_tenants": [5]}, "contains 5", "each tenant's GUID"),
    ("allowed_tenants", MANY | {"allowed_tenants": ["*", TENANT]}, "contains '*'", "'*' alone"),
    ("authority", {"authority": 5}, "is a int", "https URL"),
    ("authority", {"authority": "http://login.example"}, "must use https", "loopback address and allow_local_issuer"),
    ("authority", {"authority": "http://login.example", "allow_local_issuer": True}, "must use https", "loopback"),
    ("authority", {"authority": "ftp://login.example"}, "must use https", "login.microsoftonline.com"),
    ("authority", {"authority": "https://user@login.example"}, "without user", "login.microsoftonline.com"),
    ("authority", {"authority": "https://login.example/?a=b"}, "without user, query", "login.microsoftonline.com"),
    ("authority", {"authority": "https://login.example:x"}, "is not a URL", "login.microsoftonline.com"),
    ("authority", {"authority": "https://"}, "must be a host", "login.microsoftonline.com"),
    ("authority", {"authority": LOCAL}, "must use https", "allow_local_issuer=True"),
    ("authority", {"authority": "https://127.0.0.1:5000"}, "on this machine", "allow_local_issuer=True"),
    ("authority", {"authority": "https://localhost"}, "on this machine", "never in production"),
    ("authority", {"authority": "https://[::1]:8443"}, "on this machine", "never in production"),
    ("allow_local_issuer", {"allow_local_issuer": "false"}, "is 'false'", "True or False"),
    ("required_scopes", {"required_scopes": "access_as_user"}, "is a str", "list of scopes"),
    ("required_scopes", {"required_scopes": None}, "is a NoneType", "list of scopes"),
    ("required_scopes", {"required_scopes": ["a b"]}, "'a b'", "each scope"),
    ("required_scopes", {"required_scopes": ['a"b']}, "is not usable", "each scope"),
    ("required_scopes", {"required_scopes": [5]}, "is not usable", "each scope"),
    ("required_scopes", {"required_scopes": ["offline_access"]}, "offline_access", "each scope"),
    ("required_scopes", {"required_scopes": [f"api://{CLIENT}/read"]}, "contains 'api://", "give 'read'"),
    ("public_paths", {"public_paths": "/health"}, "is a str", "give a list"),
    ("public_paths", {"public_paths": None}, "is a NoneType", "give a list"),
    ("public_paths", {"public_paths": ["health"]}, "contains 'health'", "first slash"),
    ("public_paths", {"public_paths": [5]}, "contains 5", "first slash"),
    ("required", {"required": "no"}, "is 'no'", "True or False"),
    ("required", {"required": None}, "is None", "True or False"),
    ("enable_cae", {"enable_cae": "false"}, "is 'false'", "True or False"),
    ("cache_partition", {"cache_partition": "user"}, "is 'user'", "'session' or 'assertion'"),
    ("cache_size", {"cache_size": 0}, "is 0", "1 or more"),
    ("cache_size", {"cache_size": "5"}, "is '5'", "1 or more"),
    ("cache_size", {"cache_size": True}, "is True", "1 or more"),
    ("token_versions", {"token_versions": "2.0"}, "is a str", "give a list"),
    ("token_versions", {"token_versions": []}, "is []", "'1.0', '2.0' or both"),
    ("token_versions", {"token_versions": ["3.0"]}, "is ['3.0']", "'1.0', '2.0' or both"),
    ("token_versions", {"token_versions": [["2.0"]]}, "is [['2.0']]", "'1.0', '2.0' or both"),
    ("token_versions", {"token_versions": 2}, "is a int", "give a list"),
    ("audiences", {"audiences": CLIENT}, f"is '{CLIENT}'", "exact aud values"),
    ("audiences", {"audiences": []}, "is []", "leave it out"),
    ("audiences", {"audiences": [""]}, "is ['']", "leave it out"),
    ("audiences", {"audiences": [None]}, "is [None]", "leave it out"),
    ("audiences", {"audiences": 5}, "is 5", "leave it out"),
    ("audiences", {"audiences": ["https://graph.microsoft.com"]}, "names Microsoft Graph", "name this API"),
    ("audiences", {"audiences": ["https://graph.microsoft.com/"]}, "names Microsoft Graph", "name this API"),
    ("audiences", {"audiences": ["00000003-0000-0000-c000-000000000000"]}, "Microsoft Graph", "name this API"),
    ("http", {"http": None}, "is None", "httpx or httpx2"),
    ("http", {"http": SimpleNamespace()}, "is namespace()", "httpx or httpx2"),
    ("http2", {"http2": 1}, "is 1", "True or False"),
    ("app_credential", {"app_credential": "secret"}, "has no get_token", "azure-identity"),
    ("clock", {"clock": 5.0}, "is not callable", "time.time"),
    ("ssl_context", {"ssl_context": "ca.pem"}, "is a str", "ssl.SSLContext"),
    ("downstream_apis", {"downstream_apis": []}, "is a list", "dict of names"),
    ("downstream_apis", {"downstream_apis": None}, "is a NoneType", "dict of names"),
    ("downstream_apis", {"downstream_apis": {"": None}}, "has the name ''", "name each API"),
    ("downstream_apis", {"downstream_apis": {5: None}}, "has the name 5", "name each API"),
    ("downstream_apis['graph']", {"downstream_apis": {"graph": "https://x"}}, "is a str", "DownstreamApi(...)"),
]


ROWS = {f"{row[0]} {number}": row for number, row in enumerate(WRONG)}
CASES = {
    **{name: (195,) for name in ROWS if name.startswith("audiences ")},
    **{name: (196,) for name, row in ROWS.items() if row[3] in ("allow_local_issuer=True", "never in production")},
}
"""The rows that show a case of the list of attacks."""


@pytest.mark.parametrize(("name", "given", "problem", "fix"), by_name(ROWS, CASES))
def test_a_wrong_setting_is_refused_with_its_name_its_problem_and_the_fix(
    name: str, given: Mapping[str, Any], problem: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(**{"client_credential": SECRET} | dict(given))
    text = str(caught.value)
    assert text.startswith(name + " ")
    assert problem in text
    assert fix in text
    assert SECRET not in text


def test_a_configuration_error_is_a_value_error_and_one_of_ours() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, OboError)


def test_no_secret_is_in_the_repr() -> None:
    for credential in (SECRET, ClientSecret(SECRET), ClientAssertion(lambda: SECRET)):
        made = settings(client_credential=credential, app_credential=FakeCredential())
        assert SECRET not in repr(made)
        assert "FakeCredential" not in repr(made)


class FakeCredential:
    def get_token(self, *scopes: str, **options: Any) -> Any:
        raise NotImplementedError


def test_settings_and_apis_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().client_id = "x"  # type: ignore[misc]  # that is what is tested
    with pytest.raises(dataclasses.FrozenInstanceError):
        DownstreamApi("https://a.example", scopes=["x"]).base_url = "y"  # type: ignore[misc]  # that is what is tested


def test_later_changes_of_what_was_given_change_nothing() -> None:
    apis, scopes, paths = {"a": DownstreamApi("https://a.example", scopes=["x"])}, ["read"], ["/health"]
    made = settings(downstream_apis=apis, required_scopes=scopes, public_paths=paths)
    apis.clear()
    scopes.clear()
    paths.append("/admin")
    assert (list(made.downstream_apis), made.required_scopes, made.public_paths) == (["a"], ("read",), {"/health"})
    with pytest.raises(TypeError):
        made.downstream_apis["b"] = made.downstream_apis["a"]  # type: ignore[index]  # that is what is tested


def test_guids_are_kept_as_the_provider_writes_them_in_tokens() -> None:
    made = settings(tenant_id=TENANT.upper(), client_id=CLIENT.upper())
    assert (made.tenant_id, made.client_id) == (TENANT, CLIENT)
    assert made.accepted_audiences == {CLIENT, f"api://{CLIENT}"}
    assert settings(tenant_id="common", allowed_tenants=[OTHER.upper()]).allowed_tenants == {OTHER}
    assert settings(tenant_id="Contoso.com").tenant_id == "Contoso.com"


def test_given_audiences_are_kept_to_the_letter_and_replace_the_usual_ones() -> None:
    assert settings(audiences=["api://My.Api"]).accepted_audiences == {"api://My.Api"}


@pytest.mark.parametrize("secret", [SECRET, ClientSecret(SECRET)])
def test_a_secret_may_be_a_text_or_a_value(secret: str | ClientSecret) -> None:
    assert settings(client_credential=secret).authentication == ClientSecret(SECRET)


def test_every_tenant_may_be_allowed() -> None:
    made = settings(tenant_id="organizations", allowed_tenants=["*"])
    assert made.many_tenants
    assert made.allowed_tenants == {"*"}
    assert not settings().many_tenants


def test_a_local_provider_is_let_in_where_it_is_asked_for() -> None:
    assert settings(authority=LOCAL + "/", allow_local_issuer=True).authority_url == LOCAL


def test_the_authority_is_settled_when_the_settings_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "login.microsoftonline.us")
    made = settings()
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "evil.example")
    assert made.authority_url == "https://login.microsoftonline.us"


def test_both_http_libraries_are_taken() -> None:
    assert settings(http=httpx2).http is httpx2
    assert settings().http is httpx


def test_settings_take_no_positional_values() -> None:
    with pytest.raises(TypeError):
        Settings(TENANT, CLIENT, SECRET)  # type: ignore[call-arg]  # that is what is tested


def test_http2_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(http2=True).http2
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="http2 needs the package h2: pip install h2"):
        settings(http2=True)
