"""MSAL and azure-identity, set up as their documentation says, against the local provider.

Apart from the rest because their import takes long: processes that need none of it do without.
"""

from __future__ import annotations

import json
from typing import Any

import msal
import requests
from azure.identity import ClientSecretCredential, OnBehalfOfCredential

from tests.benchmarks import stage
from tests.benchmarks.stage import Provider


def trusting_session(provider: Provider) -> requests.Session:
    """Return a session for MSAL that trusts the provider, whatever the environment says."""
    session = requests.Session()
    session.trust_env = False
    session.verify = provider.ca_pem_path
    return session


def msal_options(provider: Provider, session: requests.Session) -> dict[str, Any]:
    """Return the arguments of MSAL's confidential client."""
    return {
        "client_id": provider.api.client_id,
        "client_credential": provider.api.secret,
        "authority": f"{provider.authority}/{provider.tenant_id}",
        "http_client": session,
        "instance_discovery": False,
    }


def azure_options(provider: Provider) -> dict[str, Any]:
    """Return the arguments that azure-identity's credentials of an application share."""
    return {
        "tenant_id": provider.tenant_id,
        "client_id": provider.api.client_id,
        "client_secret": provider.api.secret,
        "authority": provider.authority,
        "connection_verify": provider.ca_pem_path,
        "disable_instance_discovery": True,
    }


def msal_app(provider: Provider) -> Any:
    """Return MSAL's application with an empty cache."""
    with trusting_session(provider) as session:
        return msal.ConfidentialClientApplication(**msal_options(provider, session))


def msal_event(provider: Provider, number: int) -> dict[str, Any]:
    """Return what MSAL's cache is told of one user's new token."""
    info = json.dumps({"uid": f"user-{number}", "utid": provider.tenant_id}).encode()
    return {
        "client_id": provider.api.client_id,
        "scope": [stage.GRAPH_SCOPE],
        "token_endpoint": f"{provider.authority}/{provider.tenant_id}/oauth2/v2.0/token",
        "response": {
            "token_type": "Bearer",
            "access_token": stage.opaque_token(stage.DOWNSTREAM),
            "expires_in": 3600,
            "refresh_token": stage.opaque_token(1_200),
            "client_info": stage.base64url(info),
            "id_token_claims": {"preferred_username": f"user-{number}@contoso.example", "oid": f"user-{number}"},
            "id_token": stage.opaque_token(1_000),
        },
    }


def client_secret_credential(provider: Provider) -> ClientSecretCredential:
    """Return azure-identity's credential of the application itself."""
    return ClientSecretCredential(**azure_options(provider))


def on_behalf_of_credential(provider: Provider, assertion: str) -> OnBehalfOfCredential:
    """Return azure-identity's credential of a user."""
    return OnBehalfOfCredential(**azure_options(provider), user_assertion=assertion)
