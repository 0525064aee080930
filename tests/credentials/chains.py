"""Members for chains: ours with scripted outcomes, and others in the manner of azure-identity or of a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from credentials import AccessToken, AccessTokenInfo, CredentialUnavailableError, TokenRequestOptions
from credentials._authority import check_scopes
from credentials._chained import AsyncChainedTokenCredential, ChainedTokenCredential
from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._family import Family
from credentials._flow import Flow
from credentials._pool import bare_pool
from credentials._types import Place
from tests.credentials.helpers import NOW, Colour

SCOPE = "https://graph.microsoft.com/.default"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
EXPIRES = int(NOW) + 3600
Outcome = str | BaseException


def unavailable(text: str = "not here") -> CredentialUnavailableError:
    return CredentialUnavailableError(text)


def chain(colour: Colour | str, *members: Any) -> Any:
    """Return a chain of one colour."""
    name = colour if isinstance(colour, str) else colour.name
    return (ChainedTokenCredential if name == "blocking" else AsyncChainedTokenCredential)(*members)


@dataclass
class Request:
    """What a member of ours was asked."""

    scopes: tuple[str, ...]
    method: str
    options: dict[str, Any]
    place: Place


class Pool:
    """Connections that know whether they were closed, and fail at it when told to."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.error: Exception | None = None

    def close(self) -> None:
        self._close("blocking")

    async def aclose(self) -> None:
        self._close("async")

    def _close(self, colour: str) -> None:
        self.closed.append(colour)
        if self.error is not None:
            raise self.error


def closed_by(colour: Colour) -> list[str]:
    """Return how each connection of a chain's members is closed with the chain."""
    return ["blocking", "async"] if colour.name == "async" else ["blocking"]


class Scripted(Family):
    """Give one outcome after the other, the last one again and again; `kept` is the token in its cache."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[Request] = []
        self.kept: AccessTokenInfo | None = None
        self.connections = Pool()
        self._pool = bare_pool()
        self._last: tuple[str, dict[str, Any]] = ("", {})

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> TokenQuery:
        self._last = (method, dict(options))
        return TokenQuery(scopes=check_scopes(scopes, method), tenant_id="", application=b"")

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        return self.kept

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        yield from ()
        self.asked.append(Request(query.scopes, *self._last, query.place))
        return AccessTokenInfo(next_of(self.outcomes), EXPIRES)

    def _pools(self) -> tuple[Any, ...]:
        return (self.connections,)


class Ours(BlockingColour, Scripted):
    """A credential of ours, blocking."""


class AsyncOurs(AsyncColour, Scripted):
    """A credential of ours, awaitable."""


def next_of(outcomes: list[Outcome]) -> str:
    outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
    if isinstance(outcome, str):
        return outcome
    raise outcome


class Theirs:
    """A credential with azure-core's two methods, blocking; notes whatever is done to it."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.events: list[Any] = []
        self.error: Exception | None = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("get_token_info comes first")

    def get_token_info(self, *scopes: str, options: dict[str, Any]) -> AccessTokenInfo:
        self.asked.append((scopes, options))
        return AccessTokenInfo(next_of(self.outcomes), EXPIRES)

    def note(self, event: Any) -> None:
        self.events.append(event)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.note("close")

    def __enter__(self) -> Self:
        self.note("enter")
        return self

    def __exit__(self, *why: object) -> None:
        self.note(why[0])


class AsyncTheirs:
    """The same, awaitable."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.inner = Theirs(*outcomes)
        self.events = self.inner.events

    async def get_token_info(self, *scopes: str, options: dict[str, Any]) -> AccessTokenInfo:
        return self.inner.get_token_info(*scopes, options=options)

    async def close(self) -> None:
        self.inner.note("aclose")

    async def __aenter__(self) -> Self:
        self.inner.note("aenter")
        return self

    async def __aexit__(self, *why: object) -> None:
        self.inner.note(("aexit", why[0]))


class Plain:
    """A user's own object that knows nothing but scopes and the options that mean something."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        return AccessToken(next_of(self.outcomes), EXPIRES)


class AsyncPlain(Plain):
    """The same, awaitable."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]  # the other colour
        return super().get_token(*scopes, **options)


KINDS: Sequence[Any] = (Ours, AsyncOurs, Theirs, AsyncTheirs, Plain, AsyncPlain)
"""Every kind of member that there can be."""
