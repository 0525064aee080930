"""Ours take what azure-identity's take: all that its public classes declare and document, found by looking at them.

What differs is in the tables of docs/azure-identity.md, and what is in these tables differs.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import azure.identity
import azure.identity.aio
import pytest
from azure.core.credentials import AccessToken

import credentials
from credentials import aio
from tests.credentials.helpers import SECRET, certificate_pem, key_pem

DOCUMENT = Path(__file__).parents[2] / "docs" / "azure-identity.md"
COLOURS = {"blocking": (azure.identity, credentials), "awaitable": (azure.identity.aio, aio)}
PEM = key_pem() + certificate_pem()
LOCKED_PEM = key_pem(password=b"a password") + certificate_pem()
APPLICATION = {"tenant_id": "contoso.example", "client_id": "an-application"}
FIELD = re.compile(r":(?:keyword|param)\s+(?:[^:\n]*?\s)?(\w+):")

# What each class cannot be made without.
LEAST: dict[str, dict[str, Any]] = {
    "AzurePipelinesCredential": {**APPLICATION, "service_connection_id": "a", "system_access_token": "b"},
    "CertificateCredential": {**APPLICATION, "certificate_data": PEM},
    "ClientAssertionCredential": {**APPLICATION, "func": lambda: "assertion"},
    "ClientSecretCredential": {**APPLICATION, "client_secret": SECRET},
    "OnBehalfOfCredential": {**APPLICATION, "client_secret": SECRET, "user_assertion": "token"},
    "AuthenticationRequiredError": {"scopes": ["a"]},
    "CredentialUnavailableError": {"message": "text"},
}
LEAST["ClientCertificateCredential"] = LEAST["CertificateCredential"]

# An option's value, and what has to be with it (None: without it).
SAMPLES: dict[str, tuple[object, dict[str, Any]]] = {
    "additionally_allowed_tenants": (["*"], {}),
    "authority": ("login.microsoftonline.us", {}),
    "authority_host": ("login.microsoftonline.us", {}),
    "cache_persistence_options": (azure.identity.TokenCachePersistenceOptions(), {}),
    "certificate_data": (PEM, {}),
    "certificate_password": ("a password", {"data": LOCKED_PEM}),
    "certificate_path": ("", {"client_secret": None, "certificate_data": None}),
    "claims": ("{}", {}),
    "client_assertion_func": (lambda: "assertion", {"client_secret": None}),
    "client_certificate": (PEM, {"client_secret": None}),
    "client_id": ("an-id", {}),
    "client_secret": (SECRET, {}),
    "disable_instance_discovery": (True, {}),  # as it is written by users
    "enable_azure_proxy": (True, {}),
    "func": (lambda: "assertion", {}),
    "get_assertion": (lambda: "assertion", {"client_secret": None, "func": None}),
    "identity_config": ({"object_id": "an-id"}, {}),
    "message": ("text", {}),
    "object_id": ("an-id", {}),
    "organization_url": ("https://dev.azure.com/contoso", {}),
    "password": ("a password", {"data": LOCKED_PEM}),
    "process_timeout": (5, {}),
    "process_timeout_in_ms": (5000, {}),
    "require_envvar": (True, {}),
    "required_env_vars": (["AZURE_TOKEN_CREDENTIALS"], {}),
    "response": (None, {}),
    "resource_id": ("an-id", {}),
    "scopes": (["a"], {}),
    "send_certificate_chain": (True, {}),
    "service_connection_id": ("an-id", {}),
    "shared_cache_username": ("alice@contoso.example", {}),
    "subscription": ("a subscription", {}),
    "system_access_token": ("token", {}),
    "tenant_id": ("contoso.example", {}),
    "token_file_path": ("/no/such/file", {}),
    "user_assertion": ("token", {}),
    "user_assertion_token": ("token", {"user_assertion": None}),
}
KINDS: dict[str, object] = {r"exclude_\w+_credential": True, r"\w+_(client|tenant|resource)_id": "an-id"}


def shared_names(colour: str) -> list[str]:
    theirs, ours = COLOURS[colour]
    return [name for name in theirs.__all__ if hasattr(ours, name)]


SHARED = [(colour, name) for colour in COLOURS for name in shared_names(colour)]
CLASSES = [(colour, name) for colour, name in SHARED if inspect.isclass(getattr(COLOURS[colour][0], name))]
ASKED = [(colour, name) for colour, name in CLASSES if name.endswith("Credential")]
MADE = [(colour, name) for colour, name in CLASSES if name not in ("AzureAuthorityHosts", "ChainedTokenCredential")]


def both(colour: str, name: str) -> tuple[Any, Any]:
    theirs, ours = COLOURS[colour]
    return getattr(theirs, name), getattr(ours, name)


def explicit(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters that a signature names, without ``self`` and those that collect the rest."""
    rest = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each for each in parameters if each.kind not in rest and each.name != "self"}


def by_position(function: Callable[..., Any]) -> list[str]:
    return [name for name, each in explicit(function).items() if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


def options_of(kind: Any) -> set[str]:
    """Return every option that a class of azure-identity declares or documents."""
    documented = {name for text in (kind.__doc__, kind.__init__.__doc__) for name in FIELD.findall(text or "")}
    return documented | set(explicit(kind.__init__))


def sample(name: str, option: str, file: Path) -> dict[str, Any]:
    """Return arguments to make a class of ours with an option."""
    alike = [value for pattern, value in KINDS.items() if re.fullmatch(pattern, option)]
    value, changes = SAMPLES[option] if option in SAMPLES else (alike[0], {})
    arguments = {**LEAST.get(name, {}), **changes, option: value}
    locked = arguments.pop("data", None)
    if locked:
        arguments |= {"client_certificate": locked, "client_secret": None}
        if "OnBehalfOf" not in name:
            arguments |= {"certificate_data": arguments.pop("client_certificate")}
    if option == "certificate_path":
        arguments[option] = str(file)
    return {key: value for key, value in arguments.items() if value is not None or key == option}


def outcome(make: Callable[[], object]) -> str:
    """Say what becomes of an option: an empty text if it is taken."""
    try:
        make()
    except TypeError:
        return "not taken"
    except ValueError:
        return "only `None`"
    return ""


def default_of(parameter: inspect.Parameter) -> str:
    return "needed" if parameter.default is inspect.Parameter.empty else f"`{parameter.default!r}`"


@pytest.fixture(scope="module")
def pem_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificate") / "api.pem"
    path.write_bytes(PEM)
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    text = DOCUMENT.read_text(encoding="utf-8")
    below = text[text.index(f"\n## {heading}\n") :]
    match = re.search(r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)*)", below, flags=re.MULTILINE)
    assert match is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in match[1].splitlines()]


def differences(colour: str, name: str, file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield every option of a class that ours does not take, or takes with another default."""
    theirs, ours = both(colour, name)
    declared, known = explicit(theirs.__init__), explicit(ours.__init__)
    for option in sorted(options_of(theirs)):
        arguments = sample(name, option, file)
        said = outcome(functools.partial(ours, **arguments))
        if not said and option.startswith("exclude_") and outcome(functools.partial(ours, **{option: False})):
            said = "not `False`"
        if not said and option in declared and option in known:
            default = default_of(known[option])
            said = "" if default == default_of(declared[option]) else default
        if said:
            yield name, option, said


def test_every_option_of_theirs_is_taken_or_its_difference_is_told_and_nothing_else_is(pem_file: Path) -> None:
    found = {row for colour, name in MADE for row in differences(colour, name, pem_file)}
    told = {
        (kind, option, here)
        for kinds, options, here, why in table("Options that differ")
        for kind in re.findall(r"\w+", kinds)
        for option in re.findall(r"\w+", options)
        if why
    }
    assert sorted(found) == sorted(told)


def test_every_name_of_theirs_that_is_not_here_is_told_with_its_reason_and_no_other_is() -> None:
    missing = {name for colour in COLOURS for name in set(COLOURS[colour][0].__all__) - set(shared_names(colour))}
    assert sorted(missing) == [name.strip("`") for name, why in table("What is not here") if why]


@pytest.mark.parametrize(("colour", "name"), CLASSES)
def test_positions_are_the_same(colour: str, name: str) -> None:
    theirs, ours = both(colour, name)
    not_taken = {option.strip("`") for kind, option, here, _ in table("Options that differ") if here == "not taken"}
    wanted = [option for option in by_position(theirs.__init__) if option not in not_taken]
    assert by_position(ours.__init__)[: len(wanted)] == wanted


@pytest.mark.parametrize(("colour", "name"), MADE)
def test_their_own_defaults_can_be_given(colour: str, name: str) -> None:
    theirs, ours = both(colour, name)
    defaults = {
        key: each.default
        for key, each in explicit(theirs.__init__).items()
        if each.default is not inspect.Parameter.empty and key not in LEAST.get(name, {}) and key != "response"
    }
    assert isinstance(ours(**LEAST.get(name, {}), **defaults), ours)


@pytest.mark.parametrize(("colour", "name"), ASKED)
@pytest.mark.parametrize("method", ["get_token", "get_token_info"])
def test_a_token_is_asked_for_in_the_same_way(colour: str, name: str, method: str) -> None:
    theirs, ours = (getattr(kind, method) for kind in both(colour, name))
    wanted, known = explicit(theirs), explicit(ours)
    assert {key: each.default for key, each in wanted.items()}.items() <= {
        key: each.default for key, each in known.items()
    }.items()
    assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(ours)
    inspect.signature(ours).bind(None, "a", "b", **dict.fromkeys(wanted))
    documented = set(FIELD.findall(inspect.getdoc(theirs) or "")) - {"scopes"}
    inspect.signature(ours).bind(None, "a", **dict.fromkeys(documented))


@pytest.mark.parametrize("name", [name for name in aio.__all__ if name.endswith("Credential")])
def test_both_colours_take_the_same(name: str) -> None:
    blocking, awaitable = (inspect.signature(getattr(ours, name).__init__) for ours in (credentials, aio))
    assert blocking == awaitable


@pytest.mark.parametrize("colour", COLOURS)
def test_a_chain_takes_any_number_of_credentials(colour: str) -> None:
    theirs, ours = both(colour, "ChainedTokenCredential")
    members = [COLOURS[colour][1].ManagedIdentityCredential() for _ in range(3)]
    assert list(theirs(*members).credentials) == list(ours(*members).credentials) == members


@pytest.mark.parametrize("colour", COLOURS)
def test_a_token_provider_takes_a_credential_and_scopes(colour: str) -> None:
    theirs, ours = both(colour, "get_bearer_token_provider")
    kinds = [[(each.name, each.kind) for each in inspect.signature(one).parameters.values()] for one in (theirs, ours)]
    assert kinds[0] == kinds[1]


def test_the_authority_hosts_are_the_same() -> None:
    theirs, ours = both("blocking", "AzureAuthorityHosts")
    names = [name for name in vars(theirs) if name.startswith("AZURE_")]
    assert len(names) == 3
    assert [getattr(theirs, name) for name in names] == [getattr(ours, name) for name in names]


@pytest.mark.parametrize(("colour", "name"), [case for case in ASKED if case in MADE])
def test_an_option_that_nobody_has_is_a_type_error(colour: str, name: str) -> None:
    ours = both(colour, name)[1]
    with pytest.raises(TypeError, match="no_such_option"):
        ours(**LEAST.get(name, {}), no_such_option=1)


JAVASCRIPT = [
    (colour, name, camel, option)
    for row in table("The names of the JavaScript library")
    for camel, option, *names in [[cell for text in row for cell in re.findall(r"\w+", text)]]
    for name in names
    for colour in COLOURS
]


@pytest.mark.parametrize(("colour", "name", "camel", "option"), JAVASCRIPT)
def test_a_name_of_the_javascript_library_is_taken_in_snake_case(
    pem_file: Path, colour: str, name: str, camel: str, option: str
) -> None:
    assert re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", camel) == option
    ours = getattr(COLOURS[colour][1], name)
    assert isinstance(ours(**sample(name, option, pem_file)), ours)


def test_a_token_of_ours_is_one_of_theirs_in_shape() -> None:
    assert credentials.AccessToken._fields == AccessToken._fields
