"""Workload identity: a Kubernetes service account's token stands in for the application's secret.

Facts: Microsoft Entra Workload ID, whose webhook sets ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID`` and
``AZURE_FEDERATED_TOKEN_FILE`` in a pod; the exchange is that of a client assertion (RFC 7523 section 2.2).
"""

from __future__ import annotations

import os
from typing import NamedTuple, Unpack

from credentials._application import AmbientFamily, ClientOptions
from credentials._authority import check_tenant
from credentials._client_authentication import FileAssertion
from credentials._colours import AsyncColour, BlockingColour
from credentials._pool import ConnectionPool
from credentials._token_endpoint import post_flow
from credentials._token_proxy import TokenProxy, token_proxy


class _Sought(NamedTuple):
    """What the credential needs: the name of the argument, of the variable that stands in for it, and the value."""

    argument: str
    variable: str
    value: str


class WorkloadIdentityFamily(AmbientFamily):
    """Exchange the token in a file for the application's tokens.

    Raises ``ValueError`` for a malformed argument. What is missing is told when a token is asked for.
    """

    _proxy: TokenProxy | None = None

    def __init__(
        self,
        *,
        tenant_id: str | None = None,
        client_id: str | None = None,
        token_file_path: str | os.PathLike[str] | None = None,
        enable_azure_proxy: bool = False,
        **options: Unpack[ClientOptions],
    ) -> None:
        tenant = _sought("tenant_id", "AZURE_TENANT_ID", tenant_id)
        client = _sought("client_id", "AZURE_CLIENT_ID", client_id)
        path = _sought("token_file_path", "AZURE_FEDERATED_TOKEN_FILE", token_file_path)
        if tenant.value:
            check_tenant(tenant.value, "tenant_id" if tenant_id else "AZURE_TENANT_ID")
        self._proxy = token_proxy(os.environ) if enable_azure_proxy else None
        missing = [each for each in (tenant, client, path) if not each.value]
        if missing:
            self._set_up_without(_told_missing(missing), **options)
        else:
            send_flow = post_flow if self._proxy is None else self._proxy.send_flow
            self._set_up(tenant.value, client.value, FileAssertion(path.value), send_flow, **options)

    def _pools(self) -> tuple[ConnectionPool, ...]:
        return super()._pools() if self._proxy is None else (*super()._pools(), *self._proxy.pools)


class WorkloadIdentityCredential(BlockingColour, WorkloadIdentityFamily):
    """Get tokens as the application that trusts this pod's Kubernetes service account, blocking.

    ``tenant_id``, ``client_id`` and ``token_file_path`` are by default those that Microsoft Entra Workload ID sets in
    the environment: ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_FEDERATED_TOKEN_FILE``. The file is read for
    each token request, because Kubernetes renews it. With ``enable_azure_proxy`` the requests go through the token
    proxy of AKS (identity binding), if the environment names one. The other options are those of
    :class:`ClientOptions`. Raises ``ValueError`` for a malformed tenant, option or proxy; what is missing raises
    :class:`CredentialUnavailableError` when a token is asked for, so that a chain goes on.
    """


class AsyncWorkloadIdentityCredential(AsyncColour, WorkloadIdentityFamily):
    """Get tokens as the application that trusts this pod's Kubernetes service account, awaitable.

    The arguments are those of the blocking :class:`WorkloadIdentityCredential`.
    """


def _sought(argument: str, variable: str, given: str | os.PathLike[str] | None) -> _Sought:
    value = os.fspath(given) if isinstance(given, os.PathLike) else given or os.environ.get(variable, "")
    if not isinstance(value, str):
        raise ValueError(f"{argument} must be a string, and not {type(value).__name__}")
    return _Sought(argument, variable, value)


def _told_missing(missing: list[_Sought]) -> str:
    names = ", ".join(f"{each.variable} (or the argument {each.argument})" for each in missing)
    return (
        f"WorkloadIdentityCredential authentication unavailable. Not set: {names}. Microsoft Entra Workload ID sets "
        'the variables in a Kubernetes pod with the label "azure.workload.identity/use": "true" and an annotated '
        "service account."
    )
