"""The settings of the apps: as plain as can be, and with all that is optional on the wire."""

from __future__ import annotations

from typing import Any

from obo_middleware import ProtectedResource
from tests.adapters.wire.apps import PUBLIC, REACHED

PROXY = "X-MS-TOKEN-AAD-ACCESS-TOKEN"
METADATA = "/.well-known/oauth-protected-resource/mcp"
METADATA_URL = f"https://api.example{METADATA}"

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"public_paths": [PUBLIC, REACHED]},
    "special": {
        "public_paths": [PUBLIC, REACHED],
        "public_methods": ["OPTIONS"],
        "proxy_token_header": PROXY,
        "protected_resource": ProtectedResource("https://api.example/mcp"),
        "close_websockets_at_expiry": True,
    },
}
