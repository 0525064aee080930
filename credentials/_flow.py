"""Flows: all protocol logic, written once for blocking and awaitable code.

A flow is a generator that yields an *effect*, a request to touch the world, and receives its result; a driver
runs it.

Rules of this file:

1. The effects are a closed union; they are all that a flow can do to the world. Only ``_drivers`` carries
   them out.
2. A function that returns a flow has a name ending in ``_flow`` and is called with ``yield from``.
3. No lock is held and no resource is open over a ``yield``: the caller may never come back.
4. The helpers below are the only places that ``yield``, so that call sites keep exact types.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from credentials._types import AccessTokenInfo, AsyncTokenCredential, TokenCredential, TokenRequestOptions

if TYPE_CHECKING:
    from credentials._pool import ConnectionPool
    from credentials._single_flight import Flight
    from credentials._store import Operation, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """Describe one HTTP request and its bounds: ``timeout`` in seconds for all of it, ``max_bytes`` of the answer.

    ``connect_timeout`` is in seconds too. ``server_name`` is whose certificate the server must show (RFC 6066
    section 3), where that is not the URL's host. ``public_only`` permits globally routable addresses only. ``address``
    is where to connect, without a proxy, in place of looking up the URL's host.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 10.0
    connect_timeout: float = 5.0
    max_bytes: int = 1_048_576
    server_name: str = ""
    public_only: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """Hold one HTTP answer; header names are in lower case, and the body is whole and undecoded."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Describe one run of a program: its ``arguments``, the first of which is its path; no shell sees them.

    ``directory`` is where it runs, ``variables`` are added to its environment, ``timeout`` is in seconds.
    """

    arguments: tuple[str, ...]
    directory: str
    variables: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """Hold what came of a command: its exit status, what it wrote, and what it wrote of errors."""

    status: int
    output: str = field(repr=False)
    errors: str = field(repr=False)


class SendRequest(NamedTuple):
    """Ask for an HTTP request to be sent; redirects are not followed. Fails with :class:`TransportError`."""

    request: HttpRequest


class ResolveHost(NamedTuple):
    """Ask for a host's addresses. Fails with :class:`TransportError`, or ``TimeoutError`` after so many seconds."""

    host: str
    timeout: float


class RunCommand(NamedTuple):
    """Ask for a program to be run. Fails with :class:`CommandError`, or with ``TimeoutError`` once it was ended."""

    command: Command


class RunFlow(NamedTuple):
    """Ask for another credential's flow to be run over that credential's own connections."""

    flow: Flow[Any]
    pool: ConnectionPool


class Sleep(NamedTuple):
    """Ask to go on after so many seconds."""

    seconds: float


class WaitFor(NamedTuple):
    """Ask to go on when a flight has landed, whatever came of it, or with ``TimeoutError`` after so many seconds."""

    flight: Flight[Any]
    timeout: float


class AskCredential(NamedTuple):
    """Ask a credential that is not ours for a token."""

    credential: TokenCredential | AsyncTokenCredential
    scopes: tuple[str, ...]
    options: TokenRequestOptions


class CallFunction(NamedTuple):
    """Ask for a function of the user's to be called, plain or ``async``, without blocking an event loop."""

    function: Callable[[], str | Awaitable[str]]


class UseStore(NamedTuple):
    """Ask for an operation of a store that several processes share. Fails with :class:`StoreError`."""

    store: Store
    operation: Operation


Effect = SendRequest | ResolveHost | RunCommand | RunFlow | Sleep | WaitFor | AskCredential | CallFunction | UseStore
Flow = Generator[Effect, Any, T]
"""Logic that yields effects, receives their results, and returns a ``T``."""


def send(request: HttpRequest) -> Flow[HttpResponse]:
    """Send a request and return its answer; raises :class:`TransportError` if there was none."""
    response: HttpResponse = yield SendRequest(request)
    return response


def resolve(host: str, *, timeout: float) -> Flow[tuple[str, ...]]:
    """Return a host's addresses; raises :class:`TransportError` if there are none, ``TimeoutError`` if it is late."""
    addresses: tuple[str, ...] = yield ResolveHost(host, timeout)
    return addresses


def execute(command: Command) -> Flow[CommandResult]:
    """Run a program and return what came of it; raises :class:`CommandError` if it could not be started."""
    result: CommandResult = yield RunCommand(command)
    return result


def run(flow: Flow[T], pool: ConnectionPool) -> Flow[T]:
    """Run another credential's flow over its own connections; its result and its errors come through."""
    result: T = yield RunFlow(flow, pool)
    return result


def sleep(seconds: float) -> Flow[None]:
    """Go on after so many seconds."""
    yield Sleep(seconds)


def wait_for(flight: Flight[Any], *, timeout: float) -> Flow[None]:
    """Go on when the flight has landed; raises ``TimeoutError`` after so many seconds."""
    yield WaitFor(flight, timeout)


def ask(
    credential: TokenCredential | AsyncTokenCredential, scopes: tuple[str, ...], options: TokenRequestOptions
) -> Flow[AccessTokenInfo]:
    """Return the token that a foreign credential gives; whatever it raises comes through."""
    info: AccessTokenInfo = yield AskCredential(credential, scopes, options)
    return info


def use(store: Store, operation: Operation) -> Flow[Any]:
    """Return a store's answer to an operation; raises :class:`StoreError` if there was none in time."""
    answer: Any = yield UseStore(store, operation)
    return answer


def call(function: Callable[[], str | Awaitable[str]]) -> Flow[str]:
    """Return what a user's function returns; whatever it raises comes through."""
    value: str = yield CallFunction(function)
    return value
