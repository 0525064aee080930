"""Write the documents clients discover the provider by: OpenID configuration, keys, instance discovery."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ._errors import EntraError
from ._state import State

_TEMPLATE = "{tenantid}"


def openid_configuration(state: State, name: str, version: int) -> dict[str, Any]:
    """Return a tenant's OpenID Connect discovery document; raise AADSTS90002 for an unknown tenant.

    For `common` and `organizations` the issuer is a template: its `{tenantid}` stands for the `tid` of a
    token. The document of version 1.0 names the endpoints of version 2.0, since there are no others here.
    """
    tenant = state.tenant(name)
    path = name if tenant is None else tenant.tenant_id
    base = f"{state.authority}/{path}"
    keys = "discovery/v2.0/keys" if version == 2 else "discovery/keys"
    return {
        "token_endpoint": state.token_endpoint(path),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "jwks_uri": f"{base}/{keys}",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": state.issuer(_TEMPLATE if tenant is None else tenant.tenant_id, version),
        "request_uri_parameter_supported": False,
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "http_logout_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "acr",
            "nonce",
            "name",
            "tid",
            "ver",
        ],
        "tenant_region_scope": None if tenant is None else "EU",
        "cloud_instance_name": urlsplit(state.authority).netloc,
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": urlsplit(state.graph().identifier_uris[0]).netloc,
        "rbac_url": "https://pas.windows.net",
    }


def key_document(state: State, name: str, version: int) -> dict[str, Any]:
    """Return the published keys (RFC 7517), each with its issuer in version 2.0; raise AADSTS90002."""
    tenant = state.tenant(name)
    issuer = state.issuer(_TEMPLATE if tenant is None else tenant.tenant_id, 2)
    extra = {"issuer": issuer} if version == 2 else {}
    return {"keys": [key.jwk | extra for key in state.keys]}


def instance_discovery(state: State, endpoint: str) -> dict[str, Any]:
    """Return what MSAL asks about an authorization endpoint: by which names its host is known.

    Only the host is compared, since MSAL leaves the port out. Raise AADSTS50049 for another host.
    """
    parts, asked = urlsplit(state.authority), urlsplit(endpoint)
    if asked.hostname != parts.hostname:
        raise EntraError(50049, f"Unknown or invalid instance '{endpoint}'.")
    names = list(dict.fromkeys([parts.netloc, str(parts.hostname)]))
    tenant = asked.path.split("/")[1]
    return {
        "tenant_discovery_endpoint": f"{state.authority}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": names[0], "preferred_cache": names[0], "aliases": names}],
    }
