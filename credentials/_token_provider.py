"""Token providers: plain functions that return a token's text, as clients other than Azure's SDK want them.

Rule of this file: a client may call its provider for each request, so a call costs no more than a look into a cache.
Credentials of ours have one; others get one here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from credentials._authority import check_scopes
from credentials._cache import key_of
from credentials._credential import TokenEngine, TokenQuery
from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._family import EngineFamily, Family, asked_flow
from credentials._flow import Flow
from credentials._pool import bare_pool
from credentials._types import AccessTokenInfo, AsyncTokenCredential, Clock, TokenCredential, TokenRequestOptions

_NAME = "get_bearer_token_provider"


def get_bearer_token_provider(credential: TokenCredential | AsyncTokenCredential, *scopes: str) -> Callable[[], str]:
    """Return a function that takes nothing and returns the text of an access token for the scopes.

    Give it to clients that ask for one, such as ``AzureOpenAI(azure_ad_token_provider=...)``. ``credential`` is ours or
    any other with azure-core's methods, blocking or awaitable; another's tokens are kept, and refreshed at their
    ``refresh_on``, else 300 s before they expire. Raises ``ValueError`` for no or bad scopes and for what is no
    credential; the function raises what ``credential.get_token`` raises, and :class:`AuthenticationError` for whatever
    else a credential not ours does.
    """
    family = _family_of(credential, scopes)

    def provide() -> str:
        query = family._query(scopes, _NAME, {})
        info = family._fresh(query)
        return (info if info is not None else BlockingDriver(family._pool).run(family._token_flow(query))).token

    return provide


def get_async_bearer_token_provider(
    credential: TokenCredential | AsyncTokenCredential, *scopes: str
) -> Callable[[], Awaitable[str]]:
    """Return an ``async`` function that takes nothing and returns the text of an access token for the scopes.

    The arguments and errors are those of the blocking :func:`credentials.get_bearer_token_provider`.
    """
    family = _family_of(credential, scopes)

    async def provide() -> str:
        query = family._query(scopes, _NAME, {})
        info = family._fresh(query)
        return (info if info is not None else await AsyncDriver(family._pool).run(family._token_flow(query))).token

    return provide


class ForeignFamily(EngineFamily):
    """Keep and refresh the tokens of a credential that is not ours; ``clock`` returns seconds since the epoch."""

    def __init__(self, credential: TokenCredential | AsyncTokenCredential, *, clock: Clock = time.time) -> None:
        self._credential = credential
        self._engine = TokenEngine(cache_size=1, clock=clock)
        self._pool = bare_pool()

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        return TokenQuery(scopes=check_scopes(scopes, method), tenant_id="", application=key_of(*scopes))

    def _exchange_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        return (yield from asked_flow(self._credential, query.scopes, {}))


def _family_of(credential: TokenCredential | AsyncTokenCredential, scopes: tuple[str, ...]) -> Family:
    check_scopes(scopes, _NAME)
    if isinstance(credential, Family):
        return credential
    methods = [getattr(credential, name, None) for name in ("get_token", "get_token_info")]
    if isinstance(credential, type) or not any(callable(method) for method in methods):
        kind = f"the class {credential.__name__}" if isinstance(credential, type) else f"a {type(credential).__name__}"
        raise ValueError(f"credential must be an object with get_token or get_token_info, not {kind}")
    return ForeignFamily(credential)
