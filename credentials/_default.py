"""The chain that fits most machines: what Azure gives in production, then what developers are signed in to.

Facts: the order is azure-identity's.

Rules of this file:

1. A wrong option is told by the constructor. A variable with a wrong value is told when its member is asked, and ends
   the chain: the member was meant to be used. What is only missing is the next member's turn.
2. Who gave the first token gives all the others, so that an application does not change its identity while it runs.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Unpack, cast

from credentials._application import AmbientFamily
from credentials._authority import check_scopes
from credentials._azure_cli import AsyncAzureCliCredential, AzureCliCredential
from credentials._azure_developer_cli import AsyncAzureDeveloperCliCredential, AzureDeveloperCliCredential
from credentials._azure_powershell import AsyncAzurePowerShellCredential, AzurePowerShellCredential
from credentials._chained import AsyncChainedTokenCredential, ChainedTokenCredential, ChainFamily, ChainQuery, Failure
from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._default_options import (
    CLIENT_OPTIONS,
    KINDS,
    TOOL_OPTIONS,
    DefaultAzureCredentialOptions,
    check_default_options,
    check_required,
    is_chosen,
    named_credential,
    only,
)
from credentials._environment import AsyncEnvironmentCredential, EnvironmentCredential
from credentials._errors import ClientConfigurationError, scrub
from credentials._family import Family
from credentials._flow import Flow
from credentials._managed_identity import (
    AsyncManagedIdentityCredential,
    ManagedIdentityCredential,
    ManagedIdentityFamily,
)
from credentials._pool import bare_pool
from credentials._types import AccessTokenInfo, Place, TokenRequestOptions
from credentials._workload_identity import AsyncWorkloadIdentityCredential, WorkloadIdentityCredential


class DefaultFamily(ChainFamily):
    """Choose the members by options and environment, and keep to the one that gave the first token."""

    _classes: ClassVar[tuple[Any, ...]]  # in the order of KINDS
    _stand_in: ClassVar[type[StandIn]]
    _winner: Family | None = None

    def __init__(self, **options: Unpack[DefaultAzureCredentialOptions]) -> None:
        check_default_options(options)
        check_required(options, os.environ)
        named = named_credential(os.environ)
        kinds = zip(KINDS, self._classes, strict=True)
        chosen = {kind.name: made for kind, made in kinds if is_chosen(kind, named, options)}
        self._without_probe = named == "managedidentitycredential"
        # If it is not, it must not come back as a managed identity's source.
        exchange = "WorkloadIdentityCredential" in chosen
        super().__init__(*(self._member(name, made, options, exchange) for name, made in chosen.items()))

    def _member(self, name: str, made: Any, options: DefaultAzureCredentialOptions, exchange: bool) -> Any:
        client_options = only(CLIENT_OPTIONS, options)
        try:
            match name:
                case "EnvironmentCredential":
                    return made(**client_options)
                case "WorkloadIdentityCredential":
                    client_id = options.get("workload_identity_client_id", options.get("managed_identity_client_id"))
                    tenant_id = options.get("workload_identity_tenant_id")
                    return made(tenant_id=tenant_id, client_id=client_id, **client_options)
                case "ManagedIdentityCredential":
                    return _managed_identity(made, options, workload_identity=exchange)
                case _:
                    return made(**only(TOOL_OPTIONS, options))
        except ValueError as error:
            # The options are checked, so it is the environment that is wrong.
            return self._stand_in(name, scrub(str(error)))

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        if self._winner is not None:
            return (yield from self._ask_flow(self._winner, cast(ChainQuery, query)))
        return (yield from super()._token_flow(query))

    def _first(self) -> Any:
        return self._winner or self.credentials[0]

    def _place_for(self, member: Family, place: Place) -> Place:
        certain = self._without_probe and isinstance(member, ManagedIdentityFamily)
        return Place.ALONE if certain else Place.DEFAULT

    def _name_of(self, member: Any) -> str:
        return member.name if isinstance(member, StandIn) else super()._name_of(member)

    def _attempt_flow(self, member: Any, query: ChainQuery) -> Flow[AccessTokenInfo | Failure]:
        outcome = yield from super()._attempt_flow(member, query)
        # Of several requests at once the first to be given a token decides, in one step, for the others too.
        if isinstance(outcome, AccessTokenInfo) and vars(self).setdefault("_winner", member) is not member:
            return (yield from super()._attempt_flow(self._winner, query))
        return outcome

    def _succeeded(self, member: Any, query: TokenQuery) -> None:
        super()._succeeded(self._winner, query)


class StandIn(AmbientFamily):
    """Stand in for a member that could not be made, under its ``name``; ``text`` is what it tells whoever asks.

    That ends the chain: the member was meant to be used, and another identity must not take its place silently.
    """

    _owns_pool = False

    def __init__(self, name: str, text: str) -> None:
        self.name, self._text, self._pool = name, text, bare_pool()

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        check_scopes(scopes, method)
        raise ClientConfigurationError(self._text)


class BlockingStandIn(BlockingColour, StandIn):
    """Stand in for a blocking member."""


class AsyncStandIn(AsyncColour, StandIn):
    """Stand in for an awaitable member."""


class DefaultAzureCredential(DefaultFamily, ChainedTokenCredential):
    """Get tokens from whatever this machine has, blocking.

    That is, in this order: the environment's application, workload identity, managed identity, and whoever is signed in
    to Azure CLI, Azure PowerShell or Azure Developer CLI. The first that gives a token gives all others too. The
    variable ``AZURE_TOKEN_CREDENTIALS`` leaves only some of them: ``prod`` the first three, ``dev`` the tools, or the
    name of one. The options are those of :class:`DefaultAzureCredentialOptions`. Raises ``TypeError`` for an unknown
    option, and ``ValueError`` for a malformed one, for a bad ``AZURE_TOKEN_CREDENTIALS``, and if no member is left.
    """

    _classes = (
        EnvironmentCredential,
        WorkloadIdentityCredential,
        ManagedIdentityCredential,
        AzureCliCredential,
        AzurePowerShellCredential,
        AzureDeveloperCliCredential,
    )
    _stand_in = BlockingStandIn


class AsyncDefaultAzureCredential(DefaultFamily, AsyncChainedTokenCredential):
    """Get tokens from whatever this machine has, awaitable.

    The options and variables are those of the blocking :class:`DefaultAzureCredential`.
    """

    _classes = (
        AsyncEnvironmentCredential,
        AsyncWorkloadIdentityCredential,
        AsyncManagedIdentityCredential,
        AsyncAzureCliCredential,
        AsyncAzurePowerShellCredential,
        AsyncAzureDeveloperCliCredential,
    )
    _stand_in = AsyncStandIn


def _managed_identity(made: Any, options: DefaultAzureCredentialOptions, *, workload_identity: bool) -> Any:
    resource_id = options.get("managed_identity_resource_id")
    client_id = None if resource_id else options.get("managed_identity_client_id", os.environ.get("AZURE_CLIENT_ID"))
    return made._for_default(
        client_id,
        resource_id=resource_id,
        chosen=bool(resource_id or options.get("managed_identity_client_id")),
        workload_identity=workload_identity,
        **only(CLIENT_OPTIONS, options),
    )
