"""What an API publishes about itself, so that a client finds out where to get a token for it (RFC 9728).

Facts: RFC 9728 sections 2, 3 and 5.1, Model Context Protocol "Authorization".
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field

from obo_middleware._downstream_api import check_each_scope
from obo_middleware._urls import checked_url, wrong

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """Describe this API to clients that look for its authorization server, such as those of MCP (RFC 9728).

    The middleware then answers ``metadata_url`` without a token, and names it in its challenges.

    Args:
        resource: The API's own URL, exactly as clients know it: https, or http to a loopback address.
        authorization_servers: The issuers to name; default all that the settings accept tokens from.
        scopes_supported: The scopes that clients may ask for.
        resource_name: A name for people.
        resource_documentation: The URL of a page for developers.

    Raises:
        ConfigurationError: A value is malformed.
    """

    resource: str
    authorization_servers: Sequence[str] = field(default=(), kw_only=True)
    scopes_supported: Sequence[str] = field(default=(), kw_only=True)
    resource_name: str | None = field(default=None, kw_only=True)
    resource_documentation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        fix = "give the URL under which clients call this API, such as 'https://api.example.com/mcp'"
        checked_url("resource", self.resource, fix=fix)
        servers = self.authorization_servers
        if isinstance(servers, str) or not isinstance(servers, Sequence):
            raise wrong("authorization_servers", f"is a {type(servers).__name__}", "give a list of issuers' URLs")
        for server in servers:
            checked_url("authorization_servers", server, fix="give each issuer's URL, exactly as in its metadata")
        check_each_scope("scopes_supported", self.scopes_supported)
        if self.resource_documentation is not None:
            checked_url("resource_documentation", self.resource_documentation, fix="give the URL of a page")
        if not isinstance(self.resource_name, str | None):
            raise wrong("resource_name", f"is a {type(self.resource_name).__name__}", "give a name as text")
        object.__setattr__(self, "authorization_servers", tuple(servers))
        object.__setattr__(self, "scopes_supported", tuple(self.scopes_supported))

    @property
    def metadata_path(self) -> str:
        """The path of the document, as servers decode it: a well-known one, then the resource's own (section 3.1)."""
        return urllib.parse.unquote(_well_known_path(self.resource))

    @property
    def metadata_url(self) -> str:
        """The URL of the document."""
        parts = urllib.parse.urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{_well_known_path(self.resource)}"

    def document(self, authorization_servers: Sequence[str]) -> bytes:
        """Return the document (section 2); ``authorization_servers`` are named where this value names none itself."""
        members: dict[str, object] = {
            "resource": self.resource,
            "authorization_servers": list(self.authorization_servers or authorization_servers),
            "scopes_supported": list(self.scopes_supported),
            "bearer_methods_supported": ["header"],
            "resource_name": self.resource_name,
            "resource_documentation": self.resource_documentation,
        }
        return json.dumps({name: value for name, value in members.items() if value}).encode()


def _well_known_path(resource: str) -> str:
    # Section 3.1: a slash that ends the host is left out, one that ends a path is not.
    path = urllib.parse.urlsplit(resource).path
    return _WELL_KNOWN + ("" if path == "/" else path)
