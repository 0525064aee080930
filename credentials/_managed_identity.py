"""The identity that Azure gives to a machine, a container or an app, so that it needs no secret.

Where its tokens come from is decided once, at construction, by what the environment says; how each source is asked is
in ``_managed_identity_sources``, ``_azure_arc`` and ``_service_fabric``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self, Unpack

from credentials._application import CACHE_SIZE, ClientOptions, check_options
from credentials._authority import check_scopes
from credentials._azure_arc import AzureArc
from credentials._cache import key_of
from credentials._claims import CAPABILITY
from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenEngine, TokenQuery
from credentials._errors import CredentialUnavailableError
from credentials._family import EngineFamily, Remakable
from credentials._flow import Flow
from credentials._log import event
from credentials._managed_identity_answer import Identity, IdentityQuery, IdentitySource, endpoint_url
from credentials._managed_identity_sources import IMDS_URL, CloudShell, Imds, Unavailable, app_service, azure_ml
from credentials._pool import ConnectionPool, bare_pool
from credentials._service_fabric import ServiceFabric
from credentials._types import AccessTokenInfo, TokenRequestOptions
from credentials._workload_identity import WorkloadIdentityFamily

_logger = logging.getLogger("credentials")

ARC_AGENT_ENDPOINT = "http://localhost:40342/metadata/identity/oauth2/token"
"""Where Azure Arc's agent listens, for processes whose environment does not say so."""
_ARC_AGENT = Path("/opt/azcmagent/bin/himds")
_EXCHANGE_VARIABLES = ("AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
_IDENTIFIERS = ("client_id", "object_id", "resource_id")
_SUFFIX = "/.default"


class ManagedIdentityOptions(ClientOptions, total=False):
    """Name the options of a managed identity besides its ``client_id``.

    ``object_id`` or ``resource_id`` name a user-assigned identity otherwise; ``identity_config`` is a dictionary with
    one of the three. Those of :class:`ClientOptions` matter on AKS only, save the ``clock``.
    """

    identity_config: Mapping[str, str] | None
    object_id: str | None
    resource_id: str | None


class ManagedIdentityFamily(Remakable, EngineFamily):
    """Be the managed identity of this machine, without colour."""

    def __init__(
        self,
        *,
        client_id: str | None = None,
        identity_config: Mapping[str, str] | None = None,
        object_id: str | None = None,
        resource_id: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        check_options(type(self).__name__, options)
        self._set_up(identity_of(client_id, object_id, resource_id, identity_config), os.environ, options)
        problem = self._choice_problem()
        if problem:
            raise ValueError(problem)

    @classmethod
    def _for_default(
        cls,
        client_id: str | None = None,
        *,
        resource_id: str | None = None,
        chosen: bool = False,
        workload_identity: bool = True,
        **options: Unpack[ClientOptions],
    ) -> Self:
        """Return the credential as :class:`DefaultAzureCredential` has it.

        There the ``client_id`` may come from ``AZURE_CLIENT_ID``, which is meant for other credentials too, so Cloud
        Shell, which has no use for it, leaves it alone. If it was ``chosen`` for this one, Cloud Shell is the next
        member's turn. Without ``workload_identity`` AKS's token exchange is not a source.
        """
        check_options(cls.__name__, options)
        unwanted = "" if workload_identity else "AZURE_FEDERATED_TOKEN_FILE"
        environ = {name: value for name, value in os.environ.items() if name != unwanted}
        credential = cls.__new__(cls, client_id=client_id, resource_id=resource_id, **options)
        credential._set_up(identity_of(client_id, resource_id=resource_id), environ, options)
        problem = credential._choice_problem()
        if problem and chosen:
            credential._source = Unavailable(problem)
        return credential

    def _set_up(self, identity: Identity, environ: Mapping[str, str], options: ClientOptions) -> None:
        self._identity = identity
        self._source = select_source(environ, identity, options)
        self._pool = self._source.pool
        self._engine = TokenEngine(cache_size=CACHE_SIZE, clock=options.get("clock", time.time))
        asked = " ".join(f"{name} {value}" for name, value in identity.parameters(resource_id="resource_id").items())
        asked, extra = asked or "system-assigned identity", event("obo.managed_identity.found")
        _logger.info("managed identity: source %s, %s", self._source.name, asked, extra=extra)

    def _choice_problem(self) -> str:
        """Return what is wrong with naming the identity here, if anything is."""
        if not isinstance(self._source, CloudShell) or self._identity == Identity():
            return ""
        return (
            "Cloud Shell gives tokens of the user who is signed in there, and of no other identity: leave out "
            "client_id, object_id, resource_id and identity_config"
        )

    def _pools(self) -> tuple[ConnectionPool, ...]:
        inner = self._source.family._pools() if isinstance(self._source, TokenExchange) else ()
        return (*super()._pools(), *inner)

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        resource = resource_of(scopes, method)
        # Tokens that can be revoked live longer, so they are kept apart from those for callers who know no challenge.
        capabilities = _capabilities(enable_cae=bool(options.get("enable_cae")))
        return TokenQuery(
            scopes=scopes,
            tenant_id="",
            application=key_of("managed identity", resource, *capabilities),
            claims=options.get("claims"),
            enable_cae=bool(capabilities),
        )

    def _exchange_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        held = self._engine.kept(query.application) if query.claims else None
        asked = IdentityQuery(
            resource=query.scopes[0].removesuffix(_SUFFIX),
            identity=self._identity,
            now=self._engine.clock(),
            place=query.place,
            refused=held.token if held is not None else None,
            capabilities=_capabilities(enable_cae=query.enable_cae),
            claims=query.claims,
        )
        return (yield from self._source.token_flow(asked))


class ManagedIdentityCredential(BlockingColour, ManagedIdentityFamily):
    """Get tokens as the managed identity of this machine, blocking.

    Without arguments that is the system-assigned identity. A user-assigned one is named by its ``client_id``,
    ``object_id`` or ``resource_id``, or by ``identity_config``, a dictionary with one of these. The other options are
    those of :class:`ClientOptions`; they matter on AKS only, save the ``clock``. Each request takes exactly one scope.
    Raises ``ValueError`` for more than one identifier, and for any in Cloud Shell; what the environment lacks raises
    :class:`CredentialUnavailableError` when a token is asked for.
    """


class AsyncManagedIdentityCredential(AsyncColour, ManagedIdentityFamily):
    """Get tokens as the managed identity of this machine, awaitable.

    The arguments are those of the blocking :class:`ManagedIdentityCredential`.
    """


class TokenExchange:
    """Exchange the token of an AKS pod's service account, as :class:`WorkloadIdentityCredential` does."""

    name = "AKS token exchange"

    def __init__(self, family: WorkloadIdentityFamily) -> None:
        self.family = family
        self.pool = bare_pool()

    def token_flow(self, query: IdentityQuery) -> Flow[AccessTokenInfo]:
        """Return a new token."""
        options = TokenRequestOptions(enable_cae=bool(query.capabilities))
        if query.claims:
            options["claims"] = query.claims
        return (yield from self.family._member_flow((query.resource + _SUFFIX,), options, place=query.place))


def identity_of(
    client_id: str | None = None,
    object_id: str | None = None,
    resource_id: str | None = None,
    config: Mapping[str, str] | None = None,
) -> Identity:
    """Return the identity that the arguments name; raises ``ValueError`` for more than one and for malformed ones."""
    if config is not None and not isinstance(config, Mapping):
        raise ValueError("identity_config must be a dictionary with one of client_id, object_id, resource_id")
    unknown = sorted(str(name) for name in config or {} if name not in _IDENTIFIERS)
    if unknown:
        raise ValueError(f"identity_config knows client_id, object_id and resource_id, and not {', '.join(unknown)}")
    arguments = {"client_id": client_id, "object_id": object_id, "resource_id": resource_id}
    named = [(name, value) for name, value in (*arguments.items(), *(config or {}).items()) if value]
    if len(named) > 1:
        names = ", ".join(name for name, _value in named)
        raise ValueError(f"a managed identity is named by one identifier, and not by {names}: give one of them, once")
    return Identity(**{name: _identifier(name, value) for name, value in named})


def _identifier(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{name} must be a string of printable characters")
    return value


def resource_of(scopes: tuple[str, ...], method: str) -> str:
    """Return the resource that the one scope is for; raises ``ValueError`` for none, several, or a malformed one."""
    checked = check_scopes(scopes, method)
    if len(scopes) != 1:
        raise ValueError(
            f'"{method}" takes exactly one scope from a managed identity: ask for each in a call of its own'
        )
    resource = checked[0].removesuffix(_SUFFIX)
    if not resource:
        raise ValueError(f"scope {checked[0]!r} names no resource")
    return resource


def _capabilities(*, enable_cae: bool) -> tuple[str, ...]:
    return (CAPABILITY,) if enable_cae else ()


def select_source(environ: Mapping[str, str], identity: Identity, options: ClientOptions) -> IdentitySource:
    """Return the source that the environment describes; empty variables count as unset.

    One that cannot be used becomes a stand-in that says so when it is asked. Raises ``ValueError`` for options that
    cannot be used, on AKS.
    """
    try:
        return _source(environ, identity, options)
    except CredentialUnavailableError as error:
        return Unavailable(error.text)


def _source(environ: Mapping[str, str], identity: Identity, options: ClientOptions) -> IdentitySource:
    if environ.get("IDENTITY_ENDPOINT"):
        return _identity_endpoint(environ)
    if environ.get("MSI_ENDPOINT"):
        return azure_ml(environ) if environ.get("MSI_SECRET") else CloudShell(_url("MSI_ENDPOINT", environ))
    if all(environ.get(name) for name in _EXCHANGE_VARIABLES):
        return TokenExchange(_workload_identity(environ, identity, options))
    if environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        return Imds(_url("AZURE_POD_IDENTITY_AUTHORITY_HOST", environ), probe=False)
    return AzureArc(ARC_AGENT_ENDPOINT) if _arc_agent_is_installed(environ) else Imds(IMDS_URL)


def _identity_endpoint(environ: Mapping[str, str]) -> IdentitySource:
    header, thumbprint = environ.get("IDENTITY_HEADER"), environ.get("IDENTITY_SERVER_THUMBPRINT")
    if header and thumbprint:
        return ServiceFabric(environ["IDENTITY_ENDPOINT"], header, thumbprint)
    if header:
        return app_service(environ)
    if environ.get("IMDS_ENDPOINT"):
        return AzureArc(environ["IDENTITY_ENDPOINT"])
    raise CredentialUnavailableError(
        "no managed identity endpoint found: IDENTITY_ENDPOINT is set, but neither IDENTITY_HEADER (as on App Service) "
        "nor IMDS_ENDPOINT (as with Azure Arc). Unset it to use the metadata service of a virtual machine"
    )


def _url(variable: str, environ: Mapping[str, str]) -> str:
    return endpoint_url(variable, environ[variable])


def _workload_identity(
    environ: Mapping[str, str], identity: Identity, options: ClientOptions
) -> WorkloadIdentityFamily:
    """Return the credential that exchanges the token; it reads the environment's other variables itself."""
    client_id = identity.client_id or environ.get("AZURE_CLIENT_ID")
    if not client_id or identity.object_id or identity.resource_id:
        raise CredentialUnavailableError(
            "the token exchange of AKS takes the identity's client id: set AZURE_CLIENT_ID or give client_id, and "
            "neither object_id nor resource_id"
        )
    try:
        return WorkloadIdentityFamily(client_id=client_id, **options)
    except ValueError as error:
        if set(options) - {"clock"}:
            raise
        raise CredentialUnavailableError(f"the token exchange of AKS cannot be used: {error}") from error


def _arc_agent_is_installed(environ: Mapping[str, str]) -> bool:
    windows = environ.get("ProgramFiles")  # written so by Windows
    agents = [_ARC_AGENT, *([Path(windows, "AzureConnectedMachineAgent", "himds.exe")] if windows else [])]
    try:
        return any(agent.exists() for agent in agents)
    except OSError:
        return False
