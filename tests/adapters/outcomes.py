"""The answers of DESIGN section 7, word by word."""

from __future__ import annotations

import base64
import json

from tests.adapters.world import World

MISSING = {"title": "A bearer token is required", "status": 401}
MALFORMED = {"title": "The Authorization header is malformed", "status": 400, "error": "invalid_request"}
INVALID = {"title": "The access token is not valid for this API", "status": 401, "error": "invalid_token"}
NO_SCOPE = {
    "title": "The access token does not grant what this route needs",
    "status": 403,
    "error": "insufficient_scope",
}
MORE_IS_NEEDED = "More is needed to call another API for this user"
TOO_WEAK = {
    "title": "A stronger or more recent sign-in is needed",
    "status": 401,
    "error": "insufficient_user_authentication",
}
DOWN = {"title": "The identity provider is not available", "status": 503}
UNUSABLE = {"title": "The identity provider gave no usable answer", "status": 502}
OURS = {"title": "Internal Server Error", "status": 500}


def realm(world: World) -> str:
    return f'Bearer realm="{world.client_id}"'


def invalid(world: World) -> str:
    return f'{realm(world)}, error="invalid_token", error_description="{INVALID["title"]}"'


def claims_in(challenge: str) -> object:
    return json.loads(base64.b64decode(challenge.partition('claims="')[2].rstrip('"')))


def claims_challenge(world: World, claims: object, *, spaced: bool = False) -> str:
    uri = f"{world.entra.authority}/{world.entra.tenant_id}/oauth2/v2.0/authorize"
    text = json.dumps(claims) if spaced else json.dumps(claims, separators=(",", ":"))
    encoded = base64.b64encode(text.encode()).decode()
    return f'Bearer realm="", authorization_uri="{uri}", error="insufficient_claims", claims="{encoded}"'
