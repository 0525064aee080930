"""An issuer other than Entra whose tokens an API accepts.

Facts: OpenID Connect Core 1.0 section 2, RFC 8725 sections 3.1 and 3.9, RFC 9068 section 2.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Collection
from dataclasses import dataclass, field

from obo_middleware._urls import checked_url, is_here, wrong

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""The algorithms that a token may be signed with: all asymmetric ones of RFC 7518 and RFC 8037."""

ClaimName = str | tuple[str, ...]
"""A claim's name, or for a claim within a claim the names from the outermost to its own."""

_NETLOC = re.compile(r"[a-z0-9._-]+(:[0-9]{1,5})?")
_CLAIM_NAMES = ("object_id_claim", "scopes_claim", "roles_claim", "client_id_claim", "name_claim")


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Describe an issuer of tokens for this API. Its users cannot be exchanged at the authority.

    Args:
        issuer: Its URL, exactly as it stands in ``iss``: https, or http to a loopback address.
        audiences: The exact ``aud`` values to accept: this API's own, and nobody else's. A client's id
            stands in that client's ID tokens.
        algorithms: The algorithms that it signs with; no others are accepted.
        jwks_uri: Where its keys are; default what its metadata says (OpenID Connect Discovery, RFC 8414).
        key_hosts: The hosts, with their ports if unusual, where metadata may say that keys are, beside the issuer's.
        allowed_clients: The client ids that may call with its tokens; default every one.
        strict_audience: Refuse tokens with a list of audiences.
        object_id_claim: The claim that says who the user is, unique and for ever; ``user.object_id``.
        scopes_claim: The claim with the scopes, a text with spaces or a list; ``user.scopes``.
        roles_claim: The claim with the roles, a list or one role; ``user.roles``.
        client_id_claim: The claim with the calling application; ``user.client_id``.
        name_claim: The claim with a name for display; ``user.name``.

    The name of a claim within a claim is a tuple, such as ``("realm_access", "roles")``.

    Raises:
        ConfigurationError: A value is missing or malformed.
    """

    issuer: str
    audiences: Collection[str] = field(kw_only=True)
    algorithms: Collection[str] = field(default=("RS256",), kw_only=True)
    jwks_uri: str | None = field(default=None, kw_only=True)
    key_hosts: Collection[str] = field(default=(), kw_only=True)
    allowed_clients: Collection[str] = field(default=(), kw_only=True)
    strict_audience: bool = field(default=False, kw_only=True)
    object_id_claim: ClaimName = field(default="sub", kw_only=True)
    scopes_claim: ClaimName = field(default="scope", kw_only=True)
    roles_claim: ClaimName = field(default="roles", kw_only=True)
    client_id_claim: ClaimName = field(default="client_id", kw_only=True)
    name_claim: ClaimName = field(default="name", kw_only=True)

    def __post_init__(self) -> None:
        checked_url("issuer", self.issuer, fix="give the https URL that stands in the claim iss, letter for letter")
        if self.jwks_uri is not None:
            checked_url("jwks_uri", self.jwks_uri, fix="give the https URL of its keys, or leave it out")
        if not isinstance(self.strict_audience, bool):
            raise wrong("strict_audience", f"is {self.strict_audience!r}", "give True or False")
        fix = "list the exact aud values of this API; without one, a token for any other API would be accepted"
        audiences = _texts("audiences", self.audiences, fix)
        if not audiences:
            raise wrong("audiences", "is empty", fix)
        object.__setattr__(self, "audiences", audiences)
        object.__setattr__(self, "algorithms", _checked_algorithms(self.algorithms))
        object.__setattr__(self, "key_hosts", self._checked_hosts())
        fix = "list the client ids that may call, or leave it out"
        object.__setattr__(self, "allowed_clients", _texts("allowed_clients", self.allowed_clients, fix))
        for name in _CLAIM_NAMES:
            object.__setattr__(self, name, _checked_claim_name(name, getattr(self, name)))

    def _checked_hosts(self) -> frozenset[str]:
        fix = "list hosts without scheme and path, such as 'keys.example.com', or give jwks_uri instead"
        hosts = {host.lower() for host in _texts("key_hosts", self.key_hosts, fix)}
        at_home = is_here(urllib.parse.urlsplit(self.issuer).hostname or "")
        for host in hosts:
            if not _NETLOC.fullmatch(host):
                raise wrong("key_hosts", f"contains {host!r}", fix)
            # Or a loopback issuer could come in past Settings' allow_local_issuer.
            if not at_home and is_here(urllib.parse.urlsplit(f"//{host}").hostname or ""):
                raise wrong("key_hosts", f"contains {host!r}, which is on this machine", "name the issuer's own hosts")
        return frozenset(hosts)


def _texts(name: str, value: object, fix: str) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Collection):
        raise wrong(name, f"is a {type(value).__name__}", fix)
    for one in value:
        if not isinstance(one, str) or not one:
            raise wrong(name, f"contains {one!r}", fix)
    return frozenset(value)


def _checked_algorithms(algorithms: Collection[str]) -> tuple[str, ...]:
    # RFC 8725 sections 3.1 and 3.2: an explicit list, and nothing on it that a public key could be a secret for.
    fix = f"list some of {', '.join(ALGORITHMS)}"
    names = _texts("algorithms", algorithms, fix)
    if not names:
        raise wrong("algorithms", "is empty", fix)
    for name in sorted(names.difference(ALGORITHMS)):
        raise wrong("algorithms", f"contains {name!r}, which is not a signature by a key pair that is known", fix)
    return tuple(name for name in ALGORITHMS if name in names)


def _checked_claim_name(name: str, value: object) -> ClaimName:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, tuple) and value and all(isinstance(one, str) and one for one in value):
        return value
    fix = "give a claim's name, or a tuple of names for a claim within a claim"
    raise wrong(name, f"is {value!r}", fix)
