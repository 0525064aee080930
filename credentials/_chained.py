"""The chain: several credentials in one, asked one after the other.

Rules of this file:

1. A member that is not available (``CredentialUnavailableError``, ours or azure-identity's) is the next one's turn. Any
   other error ends the chain: a member that could ask was refused, and another identity must not take its place.
2. Nothing is remembered: each request begins with the first member.
3. Members that are ours run in the chain's own colour, whichever theirs is; others are asked as they are.
4. Where the chain stands is told to its members with each request (``Place``), never kept in a global.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from credentials._authority import check_scopes
from credentials._colours import AsyncColour, BlockingColour
from credentials._credential import TokenQuery
from credentials._errors import (
    ChainedAuthenticationError,
    ChainUnavailableError,
    CredentialUnavailableError,
    chain_error,
    is_unavailable,
    told,
)
from credentials._family import Family, Remakable
from credentials._flow import Flow, ask
from credentials._log import event
from credentials._pool import ConnectionPool, bare_pool
from credentials._types import AccessTokenInfo, AsyncTokenCredential, Place, TokenCredential, TokenRequestOptions

Member = TokenCredential | AsyncTokenCredential
"""Anything that can be asked for a token: a credential of ours, of azure-identity, or of the user's own."""
_OPTIONS = ("claims", "tenant_id", "enable_cae")

_logger = logging.getLogger("credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainQuery(TokenQuery):
    """Say what the members are asked for, and as which method."""

    method: str
    options: TokenRequestOptions = field(repr=False)


class Failure(NamedTuple):
    """Say which member gave no token, by its class, and why."""

    name: str
    error: Exception


class ChainFamily(Remakable):
    """Ask credentials one after the other, without colour."""

    credentials: tuple[Any, ...]

    def __init__(self, *credentials: Member) -> None:
        if not credentials:
            raise ValueError("at least one credential is required")
        for position, member in enumerate(credentials, 1):
            _check_member(member, position)
        self.credentials = credentials
        self._pool = bare_pool()

    def _query(self, scopes: tuple[str, ...], method: str, options: TokenRequestOptions) -> ChainQuery:
        return ChainQuery(
            scopes=check_scopes(scopes, method),
            tenant_id=options.get("tenant_id") or "",
            application=b"",
            claims=options.get("claims"),
            enable_cae=bool(options.get("enable_cae")),
            method=method,
            options=options,
        )

    def _fresh(self, query: TokenQuery) -> AccessTokenInfo | None:
        """Return the first member's token if it is at hand: any other's turn comes only once that one was asked."""
        member, wish = self._first(), cast(ChainQuery, query)
        if not isinstance(member, Family):
            return None
        try:
            return member._fresh(member._query(wish.scopes, wish.method, wish.options))
        except Exception:  # noqa: BLE001  # the flow meets it again, and tells it as a chain does
            return None

    def _token_flow(self, query: TokenQuery) -> Flow[AccessTokenInfo]:
        wish = cast(ChainQuery, query)
        failures: list[Failure] = []
        for member in self.credentials:
            outcome = yield from self._attempt_flow(member, wish)
            if isinstance(outcome, AccessTokenInfo):
                self._succeeded(member, wish)
                return outcome
            failures.append(outcome)
            if not is_unavailable(outcome.error):
                error = self._failed(failures, wish)
                raise error from outcome.error
        raise self._failed(failures, wish)

    def _attempt_flow(self, member: Any, query: ChainQuery) -> Flow[AccessTokenInfo | Failure]:
        try:
            return (yield from self._ask_flow(member, query))
        except Exception as error:  # noqa: BLE001  # whatever a member raises is its outcome
            name = self._name_of(member)
            extra = event("obo.chain.member_failed", error)
            _logger.debug("%s: %s gave no token: %s", type(self).__name__, name, told(error), extra=extra)
            return Failure(name, error)

    def _ask_flow(self, member: Any, query: ChainQuery) -> Flow[AccessTokenInfo]:
        if isinstance(member, Family):
            place = self._place_for(member, query.place)
            return (yield from member._member_flow(query.scopes, query.options, method=query.method, place=place))
        tells_all = getattr(member, "get_token_info", None) is not None
        if not tells_all and query.options.get("pop"):
            raise CredentialUnavailableError("It has no get_token_info, so it cannot give proof-of-possession tokens.")
        return (yield from ask(member, query.scopes, _wanted(query.options, all_of_them=tells_all)))

    def _first(self) -> Any:
        """Return the member whose token counts before any other's."""
        return self.credentials[0]

    def _place_for(self, member: Family, place: Place) -> Place:
        """Return where a member is asked, if the chain itself is asked at ``place``."""
        return Place.DEFAULT if place is Place.DEFAULT else Place.CHAIN

    def _name_of(self, member: Any) -> str:
        return type(member).__name__

    def _succeeded(self, member: Any, query: TokenQuery) -> None:
        _logger.log(
            logging.INFO if query.place is Place.ALONE else logging.DEBUG,
            "%s acquired a token from %s",
            type(self).__name__,
            self._name_of(member),
            extra=event("obo.chain.succeeded"),
        )

    def _failed(self, failures: list[Failure], query: TokenQuery) -> ChainedAuthenticationError | ChainUnavailableError:
        error = chain_error(type(self).__name__, failures)
        level = logging.WARNING if query.place is Place.ALONE else logging.DEBUG
        _logger.log(level, "%s", error.text, extra=event("obo.chain.failed", error))
        return error

    def _foreign(self) -> Iterator[Any]:
        """Yield the members that are not ours, those of chains within included."""
        for member in self.credentials:
            if isinstance(member, ChainFamily):
                yield from member._foreign()
            elif not isinstance(member, Family):
                yield member

    def _pools(self) -> tuple[ConnectionPool, ...]:
        return tuple(pool for member in self.credentials if isinstance(member, Family) for pool in member._pools())


class ChainedTokenCredential(BlockingColour, ChainFamily):
    """Get tokens from the first of several credentials that can give one, blocking.

    ``credentials`` are asked in this order, anew for each request: ours or others, blocking or awaitable. One that is
    not available (:class:`CredentialUnavailableError`) is the next one's turn; any other error ends the chain. Raises
    ``ValueError`` for no credential, and for something that is none. A request raises
    :class:`ChainUnavailableError` if none was available, and :class:`ChainedAuthenticationError` if one failed.
    """

    def close(self) -> None:
        """Close the members' connections, all of them even if one fails; an awaitable foreign member closes its own."""
        self._close(("close", "__exit__"))

    def __enter__(self) -> Self:
        try:
            for member in self._foreign():
                _call(member, ("__enter__",))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._close(("__exit__", "close"), exc_type, exc_value, traceback)

    def _close(self, names: tuple[str, ...], *why: Any) -> None:
        with ExitStack() as stack:
            for pool in self._pools():
                stack.callback(pool.close)
            for member in self._foreign():
                stack.callback(_call, member, names, *why)


class AsyncChainedTokenCredential(AsyncColour, ChainFamily):
    """Get tokens from the first of several credentials that can give one, awaitable.

    The arguments and errors are those of the blocking :class:`ChainedTokenCredential`.
    """

    async def close(self) -> None:
        """Close the members' connections of this event loop, and blocking ones, all of them even if one fails."""
        await self._close(("close", "__aexit__", "__exit__"))

    async def __aenter__(self) -> Self:
        try:
            for member in self._foreign():
                await _call_either(member, ("__aenter__", "__enter__"))
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._close(("__aexit__", "__exit__", "close"), exc_type, exc_value, traceback)

    async def _close(self, names: tuple[str, ...], *why: Any) -> None:
        async with AsyncExitStack() as stack:
            for pool in self._pools():
                stack.push_async_callback(pool.aclose)
                stack.callback(pool.close)  # a token provider may have asked for blocking code
            for member in self._foreign():
                stack.push_async_callback(_call_either, member, names, *why)


def _call(member: Any, names: tuple[str, ...], *why: Any) -> None:
    """Call the first of these methods that a foreign member has and that is not awaitable."""
    for name in names:
        method = getattr(member, name, None)
        if method is not None:
            outcome = method(*_arguments(name, why))
            if not inspect.iscoroutine(outcome):
                return
            outcome.close()  # it belongs to its member's event loop, and so is not begun


async def _call_either(member: Any, names: tuple[str, ...], *why: Any) -> None:
    """Call the first of these methods that a foreign member has, and await what it returns if it can be awaited."""
    for name in names:
        method = getattr(member, name, None)
        if method is not None:
            outcome = method(*_arguments(name, why))
            if inspect.isawaitable(outcome):
                await outcome
            return


def _arguments(name: str, why: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*why, None, None, None)[:3] if name.endswith("exit__") else ()


def _check_member(member: object, position: int) -> None:
    if isinstance(member, type):
        raise ValueError(f"credential {position} is the class {member.__name__}: give an object of it")
    if not any(callable(getattr(member, name, None)) for name in ("get_token", "get_token_info")):
        raise ValueError(
            f"credential {position} is a {type(member).__name__}, which has neither get_token nor get_token_info"
        )


def _wanted(options: TokenRequestOptions, *, all_of_them: bool) -> TokenRequestOptions:
    """Return the options that say something; ``get_token`` knows those of azure-core's protocol only."""
    wanted = {name: value for name, value in options.items() if value and (all_of_them or name in _OPTIONS)}
    return cast(TokenRequestOptions, wanted)
