"""Understand the `scope` and `claims` parameters of a request, and judge which scopes a client gets."""

from __future__ import annotations

import json
from typing import Any

from ._errors import EntraError, missing_parameter
from ._grant import DEFAULT, RESERVED_SCOPES, ClaimsRequest, WantedScopes
from ._registrations import Application, User
from ._state import State


def parse_scopes(state: State, text: str) -> WantedScopes:
    """Read a `scope` parameter; raise AADSTS900144, 70011, 28000 or 500011."""
    words = tuple(dict.fromkeys(text.split()))
    if not words:
        raise missing_parameter("scope")
    reserved = RESERVED_SCOPES.intersection(words)
    pairs = [_split(state, word) for word in words if word not in reserved]
    if not pairs:
        graph = state.graph()
        return WantedScopes(graph, graph.identifier_uris[0], (), reserved)
    identifiers = {identifier for identifier, _ in pairs}
    resources = {_resource(state, identifier).client_id for identifier in identifiers}
    if len(resources) > 1:
        raise EntraError(
            28000,
            "Provided value for the input parameter scope is not valid because it contains more than one "
            f"resource. Scope {text} is not valid.",
        )
    names = tuple(name for _, name in pairs)
    if DEFAULT in names and len(names) > 1:
        raise invalid_scope(text, ".default scope can't be combined with resource-specific scopes.")
    identifier = pairs[0][0]
    return WantedScopes(_resource(state, identifier), audience_of(state, identifier), names, reserved)


def _split(state: State, word: str) -> tuple[str, str]:
    identifier, slash, name = word.rpartition("/")
    return (identifier, name) if slash else (state.graph().identifier_uris[0], name)


def _resource(state: State, identifier: str) -> Application:
    resource = state.resource(identifier)
    if resource is None:
        raise EntraError(
            500011,
            f"The resource principal named {identifier} was not found in the tenant. This can happen if the "
            "application has not been installed by the administrator of the tenant or consented to by any "
            "user in the tenant. You might have sent your authentication request to the wrong tenant.",
        )
    return resource


def audience_of(state: State, identifier: str) -> str:
    """Return what a v1.0 token names as its audience: the identifier URI the client asked with."""
    resource = _resource(state, identifier)
    if identifier == resource.client_id:
        return identifier
    return identifier.removesuffix("/") if identifier not in resource.identifier_uris else identifier


def invalid_scope(text: str, why: str) -> EntraError:
    """Return AADSTS70011 for a `scope` parameter."""
    return EntraError(
        70011,
        "The provided request must include a 'scope' input parameter. The provided value for the input "
        f"parameter 'scope' is not valid. The scope {text} is not valid. {why}",
    )


def delegated_scopes(state: State, client: Application, user: User, wanted: WantedScopes) -> tuple[str, ...]:
    """Judge which scopes a client gets for a user; raise AADSTS70011, 65001 or 65005."""
    resource = wanted.resource
    if wanted.names == (DEFAULT,):
        return _all_consented(state, client, user, resource)
    unknown = [name for name in wanted.names if name not in resource.scopes]
    if unknown:
        raise invalid_scope(" ".join(unknown), f"It doesn't exist on the resource '{resource.client_id}'.")
    if not all(state.consented(user, client, resource, name) for name in wanted.names):
        raise consent_required(client)
    return wanted.names


def _all_consented(state: State, client: Application, user: User, resource: Application) -> tuple[str, ...]:
    registered = client.delegated.get(resource.client_id, ())
    if not registered:
        raise EntraError(
            65005,
            "Invalid resource. The client has requested access to a resource which is not listed in the "
            "requested permissions in the client's application registration. Client app ID: "
            f"{client.client_id}({client.name}). Resource value from request: {resource.client_id}.",
        )
    granted = tuple(name for name in registered if state.consented(user, client, resource, name))
    if not granted:
        raise consent_required(client)
    return granted


def consent_required(client: Application) -> EntraError:
    """Return AADSTS65001 for a client."""
    return EntraError(
        65001,
        f"The user or administrator has not consented to use the application with ID '{client.client_id}' "
        f"named '{client.name}'. Send an interactive authorization request for this user and resource.",
        suberror="consent_required",
    )


def application_roles(client: Application, wanted: WantedScopes, text: str) -> tuple[str, ...]:
    """Judge which roles a client gets as itself; only `.default` may be asked for, else AADSTS70011."""
    if wanted.names != (DEFAULT,) or wanted.reserved:
        why = "Client credential flows must have a scope value with /.default suffixed to the resource."
        raise invalid_scope(text, why)
    return client.application.get(wanted.resource.client_id, ())


def parse_claims(text: str | None) -> ClaimsRequest:
    """Read a `claims` parameter (OpenID Connect Core section 5.5); raise AADSTS90023 if malformed."""
    members = _access_token_members(text) if text else {}
    not_before = str(members.get("nbf", {}).get("value"))
    return ClaimsRequest(
        capabilities=_values(members.get("xms_cc", {})),
        not_before=int(not_before) if not_before.isdecimal() else None,
        contexts=_values(members.get("acrs", {})),
        contexts_essential=members.get("acrs", {}).get("essential") in (True, "true"),
        policies=_values(members.get("capolids", {})),
    )


def _access_token_members(text: str) -> dict[str, dict[str, Any]]:
    try:
        members = json.loads(text).get("access_token") or {}
        return {name: value if isinstance(value, dict) else {} for name, value in members.items()}
    except (ValueError, AttributeError) as error:
        raise EntraError(90023, "The 'claims' parameter is not a valid JSON object.") from error


def _values(member: dict[str, Any]) -> tuple[str, ...]:
    values = member.get("values", [member["value"]] if "value" in member else [])
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
