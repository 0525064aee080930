"""What a token is wanted for: what a caller asks of a credential, and what a credential asks of the token engine.

Rule of this file: these are plain values. What they hold of a user's is in no ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from credentials._types import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Say which token is wanted.

    ``key`` names its cache entry. ``asker`` tells apart those who share the entry but not their refusals: the
    assertion's text. ``claims`` is the JSON of a claims challenge; ``refused`` is the token that the API
    answered so. ``shared`` tells that other processes mean the same by the key. ``label`` is for the observer.
    """

    key: bytes
    asker: str = field(default="", repr=False)
    claims: str | None = None
    refused: str | None = field(default=None, repr=False)
    shared: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenQuery:
    """Say what a token is wanted for: scopes and tenant (checked), ``claims`` JSON, continuous access evaluation.

    ``application`` is the hash of all but the user and the claims. ``refused`` is the token that an API answered with
    these claims, where the caller knows it. ``label`` is what the application calls the token's use, for the observer.
    """

    scopes: tuple[str, ...]
    tenant_id: str
    application: bytes = field(repr=False)
    claims: str | None = None
    enable_cae: bool = False
    refused: str | None = field(default=None, repr=False)
    place: Place = Place.ALONE
    label: str = ""
