"""The ``claims`` request parameter (OpenID Connect Core section 5.5) and Entra's client capability."""

from __future__ import annotations

import json
from typing import Any

from credentials._strict_json import parse_object

CAPABILITY = "CP1"
"""What a client declares that answers claims challenges (Microsoft Entra, continuous access evaluation)."""


def with_capability(claims: str | None) -> str:
    """Return the claims with the capability ``CP1`` merged in; everything else in them stays.

    Raises ``ValueError`` if the claims are no JSON object, or their ``access_token`` is none.
    """
    try:
        merged: dict[str, Any] = parse_object(claims.encode()) if claims else {}
    except ValueError as error:
        raise ValueError(f"claims must be the JSON text of an object: {error}") from error
    # OpenID Connect lets the member be null, which asks for nothing.
    wanted = merged.get("access_token") or {}
    if not isinstance(wanted, dict):
        raise ValueError("the member access_token of claims must be an object")
    merged["access_token"] = wanted | {"xms_cc": {"values": [CAPABILITY]}}
    return json.dumps(merged)
