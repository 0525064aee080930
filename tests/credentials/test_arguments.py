"""Arguments of the wrong type, and in the wrong place: said at once, by the argument's name, and without a secret."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import credentials as blocking_face
from credentials import ClientAssertion, DefaultAzureCredential
from credentials import aio as awaitable_face
from tests.credentials.helpers import Colour

SECRET = "abc8Q~very.secret-value_123456"


def credential(colour: Colour, name: str, *arguments: Any, **options: Any) -> Any:
    return getattr(blocking_face if colour.name == "blocking" else awaitable_face, name)(*arguments, **options)


def application(colour: Colour, **options: Any) -> Any:
    return credential(colour, "ClientSecretCredential", "tenant", "client", "secret", **options)


def asked(colour: Colour, one: Any, *scopes: Any, **options: Any) -> None:
    """Ask for a token, in a way that would fail beyond this machine."""
    if colour.name == "blocking":
        one.get_token(*scopes, **options)
    else:
        asyncio.run(one.get_token(*scopes, **options))


# Types


class Unlike:
    """An object that is like nothing else."""


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"additionally_allowed_tenants": [["x"]]}, "additionally_allowed_tenants"),
        ({"additionally_allowed_tenants": [{}]}, "additionally_allowed_tenants"),
        ({"additionally_allowed_tenants": ["ok", None]}, "additionally_allowed_tenants"),
        ({"additionally_allowed_tenants": 5}, "additionally_allowed_tenants"),
        ({"additionally_allowed_tenants": "*"}, "additionally_allowed_tenants"),
        ({"connection_verify": "\ud800"}, "connection_verify"),
        ({"connection_verify": "a\0b"}, "connection_verify"),
        ({"connection_verify": Unlike()}, "connection_verify"),
        ({"connection_verify": None}, "connection_verify"),
        ({"clock": None}, "clock"),
        ({"clock": 5}, "clock"),
        ({"authority": 5}, "authority"),
        ({"regional_authority": 5}, "regional_authority"),
    ],
)
@pytest.mark.parametrize("kind", ["ClientSecretCredential", "DefaultAzureCredential"])
def test_an_option_of_the_wrong_type_is_named(colour: Colour, kind: str, options: dict[str, Any], name: str) -> None:
    arguments = ("tenant", "client", "secret") if kind == "ClientSecretCredential" else ()
    with pytest.raises(ValueError, match=f"^{name}") as caught:
        credential(colour, kind, *arguments, **options)
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("options", [{"additionally_allowed_tenants": [["x"]]}, {"clock": None}])
@pytest.mark.parametrize("kind", ["AzureCliCredential", "AzureDeveloperCliCredential", "AzurePowerShellCredential"])
def test_an_option_of_a_tool_of_the_wrong_type_is_named(colour: Colour, kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(options))}"):
        credential(colour, kind, **options)


def test_a_managed_identitys_clock_must_be_one(colour: Colour) -> None:
    with pytest.raises(ValueError, match=r"^clock"):
        credential(colour, "ManagedIdentityCredential", clock=None)


@pytest.mark.parametrize("url", [5, True, 1.5, ["x"], {}, b"https://dev.azure.com/x", Unlike()])
def test_an_organizations_url_must_be_a_text(colour: Colour, url: Any) -> None:
    with pytest.raises(ValueError, match=r"^organization_url must be the URL"):
        credential(colour, "AzurePipelinesCredential", "t", "c", "connection", "token", organization_url=url)


@pytest.mark.parametrize("names", [5, True, [5], [None], [["x"]], "\ud800", ["a\0b"], b"\xff", {1: 2}, Unlike()])
def test_required_variables_must_be_named_by_texts(colour: Colour, names: Any) -> None:
    with pytest.raises(ValueError, match=r"^required_env_vars must be a list of names") as caught:
        credential(colour, "DefaultAzureCredential", required_env_vars=names)
    assert type(caught.value) is ValueError


def test_required_variables_may_come_in_any_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    for names in ("ONE", ["ONE"], ("ONE",), {"ONE"}, (name for name in ["ONE"]), None, []):
        DefaultAzureCredential(required_env_vars=names)  # type: ignore[arg-type]  # None is as good as nothing


@pytest.mark.parametrize("options", [["x"], [], "x", "", 5, 0, Unlike()])
def test_options_of_a_request_must_be_a_dictionary(colour: Colour, options: Any) -> None:
    with pytest.raises(ValueError, match=r"^options must be a dictionary"):
        colour.get_token_info(application(colour), "a", options=options)


@pytest.mark.parametrize("path", [5, None, b"token", ["x"], Unlike()])
def test_the_path_of_a_token_file_must_be_one(path: Any) -> None:
    with pytest.raises(ValueError, match=r"^path must be the path of the token file"):
        ClientAssertion.from_file(path)


@pytest.mark.parametrize("audience", ["", "a b", 5, None, ["x"], "/.default", "a\n"])
def test_the_audience_of_an_assertion_must_be_one(audience: Any) -> None:
    with pytest.raises(ValueError, match=r"^audience must be a string without spaces") as caught:
        ClientAssertion.from_managed_identity(audience=audience)
    assert caught.value.__cause__ is None


def test_an_unknown_option_of_an_assertion_names_what_was_called() -> None:
    with pytest.raises(TypeError, match=r"^ClientAssertion.from_managed_identity does not take the option bogus$"):
        ClientAssertion.from_managed_identity(bogus=1)  # type: ignore[call-arg]  # that is what is tested


# Places


@pytest.mark.parametrize(
    "make",
    [
        lambda colour: credential(colour, "ClientSecretCredential", SECRET, "client", "tenant"),
        lambda colour: credential(colour, "ClientSecretCredential", "tenant", f"{SECRET}\n", "client"),
        lambda colour: credential(colour, "ClientCertificateCredential", "tenant", "client", SECRET),
        lambda colour: credential(colour, "ClientCertificateCredential", "tenant", "client", f"{SECRET}\0"),
        lambda colour: credential(colour, "ClientCertificateCredential", "tenant", "client", "MIIK/" + SECRET * 20),
        lambda colour: credential(colour, "ClientAssertionCredential", "tenant", "client", SECRET),
        lambda colour: credential(colour, "OnBehalfOfCredential", SECRET, "c", user_assertion="u", client_secret="s"),
        lambda colour: credential(colour, "AzureCliCredential", tenant_id=SECRET),
        lambda colour: credential(colour, "AzureCliCredential", subscription=SECRET),
        lambda colour: credential(colour, "AzureCliCredential", process_timeout=SECRET),
        lambda colour: credential(colour, "DefaultAzureCredential", workload_identity_tenant_id=SECRET),
        lambda colour: credential(colour, "WorkloadIdentityCredential", tenant_id=SECRET),
        lambda colour: credential(colour, "WorkloadIdentityCredential", client_id=[SECRET]),
        lambda colour: application(colour, authority=SECRET),
        lambda colour: application(colour, authority=[SECRET]),
        lambda colour: application(colour, authority=f"https://login.example/?s={SECRET}"),
        lambda colour: application(colour, regional_authority=SECRET),
        lambda colour: application(colour, connection_verify=SECRET),
        lambda colour: application(colour, additionally_allowed_tenants=SECRET),
        lambda colour: asked(colour, application(colour), f"{SECRET}\n"),
        lambda colour: asked(colour, application(colour), [SECRET]),
        lambda colour: asked(colour, application(colour), "a/.default", tenant_id=SECRET),
        lambda colour: asked(colour, credential(colour, "AzureCliCredential"), SECRET),
        lambda colour: asked(colour, credential(colour, "ManagedIdentityCredential"), [SECRET]),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(colour: Colour, make: Callable[[Colour], Any]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        make(colour)
    # The source of this very test is in a whole traceback, and so are the causes.
    shown = [f"{error!r} {error}" for error in (caught.value, caught.value.__cause__, caught.value.__context__)]
    assert SECRET not in "\n".join([*shown, *traceback.format_exception_only(caught.value)])


def test_what_looks_like_what_was_wanted_is_told(colour: Colour) -> None:
    for options, told in (
        ({"authority": "http://login.example/x"}, "authority 'http://login.example/x' must use https"),
        ({"regional_authority": "West Europe"}, "regional_authority 'West Europe' must be the name"),
        ({"connection_verify": "/no/such/file"}, "connection_verify '/no/such/file' is not a readable"),
        ({"connection_verify": "gone.PEM"}, "connection_verify 'gone.PEM' is not a readable"),
    ):
        with pytest.raises(ValueError, match=f"^{told}"):
            application(colour, **options)


def test_a_scope_that_is_wrong_is_told_by_its_place(colour: Colour) -> None:
    with pytest.raises(ValueError, match=r"^scope 2 is not valid: write each scope on its own"):
        asked(colour, application(colour), "User.Read", '"Mail.Read"')
    with pytest.raises(ValueError, match=r"^scope 'Mail.Read Mail.Send' is not valid: write each scope on its own"):
        asked(colour, application(colour), "User.Read", "Mail.Read Mail.Send")
    with pytest.raises(ValueError, match=r"^scope 2 is not a string"):
        asked(colour, application(colour), "User.Read", 5)
