"""Where a downstream client's tokens come from: the user's exchange, the application, or a foreign credential.

Rule of this file: each source is the same to the client (``fresh``, ``token_flow``), and every token goes
through the one engine, so that all of them are cached, refreshed and shared alike.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from credentials import (
    AccessTokenInfo,
    AsyncTokenCredential,
    TokenCredential,
    TokenRequestOptions,
)
from credentials.kernel import (
    ConfidentialClient,
    Flow,
    TokenEngine,
    TokenQuery,
    UserAssertion,
    Want,
    Work,
    asked_flow,
    key_of,
    observed_flow,
)


class ClientSource:
    """Get one API's tokens from the confidential client: for a user, or without ``assertion`` for the application."""

    __slots__ = ("_assertion", "_client", "_key", "_query")

    def __init__(self, client: ConfidentialClient, query: TokenQuery, assertion: UserAssertion | None = None) -> None:
        self._client = client
        self._query = query
        self._assertion = assertion
        self._key = client.key(query, assertion)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that are asked for."""
        return self._query.scopes

    def fresh(self) -> AccessTokenInfo | None:
        """Return the token from the cache if nothing needs to be done about it."""
        return self._client.engine.fresh(self._key, self._query.label)

    def token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes."""
        query = replace(self._query, claims=claims, refused=refused) if claims else self._query
        return (yield from self._client.token_flow(query, self._assertion))


@dataclass(frozen=True, slots=True)
class ForeignSource:
    """Get one API's tokens from a credential of the user's own, such as one of azure-identity."""

    engine: TokenEngine
    credential: TokenCredential | AsyncTokenCredential = field(repr=False)
    scopes: tuple[str, ...]
    enable_cae: bool
    key: bytes
    label: str = ""

    @classmethod
    def of(
        cls,
        engine: TokenEngine,
        credential: TokenCredential | AsyncTokenCredential,
        scopes: Collection[str],
        *,
        enable_cae: bool,
        label: str = "",
    ) -> ForeignSource:
        """Return the source for a credential and scopes; ``label`` is the API's name."""
        wanted = tuple(scopes)
        key = key_of("foreign", str(id(credential)), *sorted(wanted), "cae" if enable_cae else "no cae")
        return cls(engine, credential, wanted, enable_cae, key, label)

    def fresh(self) -> AccessTokenInfo | None:
        """Return the token from the cache if nothing needs to be done about it."""
        return self.engine.fresh(self.key, self.label)

    def token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes."""
        want = Want(key=self.key, claims=claims, refused=refused, label=self.label)
        return (yield from self.engine.token_flow(want, lambda: self._exchange_flow(claims)))

    def _exchange_flow(self, claims: str | None) -> Flow[AccessTokenInfo]:
        work = Work("exchange", self.label, "app_credential")
        return (yield from observed_flow(self.engine.observer, work, lambda: self._ask_flow(claims)))

    def _ask_flow(self, claims: str | None) -> Flow[AccessTokenInfo]:
        options = TokenRequestOptions(enable_cae=self.enable_cae)
        if claims:
            options["claims"] = claims
        return (yield from asked_flow(self.credential, self.scopes, options))
