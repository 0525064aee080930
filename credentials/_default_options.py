"""The options of :class:`DefaultAzureCredential`, and the variables that choose its members.

Facts: options and ``AZURE_TOKEN_CREDENTIALS`` are azure-identity's, some options the JavaScript library's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from credentials._application import ClientOptions, allowed_tenants, check_options, one_of, strings_in
from credentials._authority import Authority, check_tenant
from credentials._developer_command import timeout_of
from credentials._errors import scrub
from credentials._family import pool_for
from credentials._managed_identity import identity_of
from credentials._region import Region

_VARIABLE = "AZURE_TOKEN_CREDENTIALS"
_NOT_OFFERED = {
    "exclude_shared_token_cache_credential": "SharedTokenCacheCredential",
    "exclude_visual_studio_code_credential": "VisualStudioCodeCredential",
    "exclude_interactive_browser_credential": "InteractiveBrowserCredential",
    "exclude_broker_credential": "BrokerCredential",
}


class DefaultAzureCredentialOptions(ClientOptions, total=False):
    """Name the options of :class:`DefaultAzureCredential`.

    Those of :class:`ClientOptions` go to every member that takes them. Each ``exclude_...`` says whether a member is
    left out, whatever ``AZURE_TOKEN_CREDENTIALS`` says; with ``require_envvar`` that variable must be set, and so must
    those in ``required_env_vars``. ``managed_identity_client_id`` is by default ``AZURE_CLIENT_ID``, and None for the
    system-assigned identity; ``managed_identity_resource_id`` names the identity otherwise.
    ``workload_identity_client_id`` is by default the managed identity's, ``workload_identity_tenant_id`` is by default
    ``AZURE_TENANT_ID``. ``process_timeout`` is in seconds for each developer tool (10 if left out),
    ``process_timeout_in_ms`` the same in milliseconds. The rest is accepted and without effect: the shared token
    cache, Visual Studio Code, the browser and the broker are not offered.
    """

    exclude_environment_credential: bool | None
    exclude_workload_identity_credential: bool | None
    exclude_managed_identity_credential: bool | None
    exclude_cli_credential: bool | None
    exclude_powershell_credential: bool | None
    exclude_developer_cli_credential: bool | None
    require_envvar: bool
    required_env_vars: Iterable[str]
    managed_identity_client_id: str | None
    managed_identity_resource_id: str | None
    workload_identity_client_id: str | None
    workload_identity_tenant_id: str | None
    process_timeout: float | None
    process_timeout_in_ms: float | None
    exclude_shared_token_cache_credential: bool | None
    exclude_visual_studio_code_credential: bool | None
    exclude_interactive_browser_credential: bool | None
    exclude_broker_credential: bool | None
    interactive_browser_tenant_id: str | None
    interactive_browser_client_id: str | None
    broker_tenant_id: str | None
    broker_client_id: str | None
    shared_cache_username: str | None
    shared_cache_tenant_id: str | None
    visual_studio_code_tenant_id: str | None


_Options = DefaultAzureCredentialOptions
CLIENT_OPTIONS = frozenset(ClientOptions.__annotations__)
"""The options of those members that are applications."""
TOOL_OPTIONS = frozenset({"process_timeout", "process_timeout_in_ms", "additionally_allowed_tenants", "clock"})
"""The options of those members that are developer tools."""


class Kind(NamedTuple):
    """Describe a member: its name, the option that excludes it, and the group that it is in."""

    name: str
    option: str
    group: str


KINDS = (
    Kind("EnvironmentCredential", "exclude_environment_credential", "prod"),
    Kind("WorkloadIdentityCredential", "exclude_workload_identity_credential", "prod"),
    Kind("ManagedIdentityCredential", "exclude_managed_identity_credential", "prod"),
    Kind("AzureCliCredential", "exclude_cli_credential", "dev"),
    Kind("AzurePowerShellCredential", "exclude_powershell_credential", "dev"),
    Kind("AzureDeveloperCliCredential", "exclude_developer_cli_credential", "dev"),
)
_VALUES = ("dev", "prod", *(kind.name for kind in KINDS))


def only(names: frozenset[str], options: _Options) -> dict[str, Any]:
    """Return those of the options that have these names."""
    return {name: value for name, value in options.items() if name in names}


def check_default_options(options: _Options) -> None:
    """Raise for what the members would refuse: whatever they refuse later is the environment's fault."""
    if "tenant_id" in options:
        raise TypeError("DefaultAzureCredential does not take tenant_id: set AZURE_TENANT_ID, or use a member alone")
    known = _Options.__annotations__.keys() - CLIENT_OPTIONS
    check_options("DefaultAzureCredential", {name: value for name, value in options.items() if name not in known})
    for option, name in _NOT_OFFERED.items():
        if options.get(option) is False:
            raise ValueError(f"{option} cannot be False, since {name} is not offered: leave it out or set it to True")
    _check_values(options)


def _check_values(options: _Options) -> None:
    authority = one_of("authority", options.get("authority"), options.get("authority_host"))
    Authority.parse(authority, allow_local=options.get("allow_local_authority", False), environ={})
    if options.get("additionally_allowed_tenants") is not None:  # kept: some can be read but once
        options["additionally_allowed_tenants"] = allowed_tenants(options["additionally_allowed_tenants"])
    if "connection_verify" in options:
        pool_for(options["connection_verify"])
    Region(options.get("regional_authority") or "true", environ={})
    check_tenant(options.get("workload_identity_tenant_id") or "common", "workload_identity_tenant_id")
    identity_of(options.get("workload_identity_client_id"))
    timeout_of(options.get("process_timeout"), options.get("process_timeout_in_ms"))
    identity_of(options.get("managed_identity_client_id"), resource_id=options.get("managed_identity_resource_id"))


def check_required(options: _Options, environ: Mapping[str, str]) -> None:
    """Raise ``ValueError`` that names the variables that must be set and are not."""
    names = _names(options.get("required_env_vars") or ())
    if options.get("require_envvar"):
        names.append(_VARIABLE)
    missing = [name for name in names if not environ.get(name, "").strip()]
    if missing:
        choice = f". Set {_VARIABLE} to one of {', '.join(_VALUES)}" if _VARIABLE in missing else ""
        raise ValueError(f"the environment lacks what is required: {', '.join(missing)} not set or empty{choice}")


def _names(required: object) -> list[str]:
    """Return the names of variables in a list, or the one that stands without a list."""
    names = strings_in([required] if isinstance(required, str) else required)
    if names is None or not all(name.isprintable() for name in names):
        raise ValueError("required_env_vars must be a list of names of environment variables, strings")
    return [*names]


def named_credential(environ: Mapping[str, str]) -> str:
    """Return what ``AZURE_TOKEN_CREDENTIALS`` names, in lower case, or an empty text for everything."""
    named = environ.get(_VARIABLE, "").strip().lower()
    if named and named not in [value.lower() for value in _VALUES]:
        offered = named not in [name.lower() for name in _NOT_OFFERED.values()]
        why = "is not valid" if offered else "names a credential that is not offered"
        raise ValueError(f"{_VARIABLE} {scrub(named)!r} {why}: set one of {', '.join(_VALUES)}")
    return named


def is_chosen(kind: Kind, named: str, options: _Options) -> bool:
    """Tell whether a member is in the chain: an ``exclude_...`` option goes before what the environment names."""
    excluded = only(frozenset({kind.option}), options).get(kind.option)
    return named in ("", kind.group, kind.name.lower()) if excluded is None else not excluded
