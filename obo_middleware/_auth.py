"""Put a user's token on a downstream request: ``httpx.Auth`` with both hooks, and the transport that watches over it.

Facts: RFC 6750 section 2.1, RFC 9110 section 11.6, Microsoft identity platform "Continuous access evaluation"
(one retry after a claims challenge).

Rules of this file:

1. A token goes to its API's origin and below its base path, and nowhere else; this is checked before the
   token is even fetched, and again by the transport, where redirects and hooks have had their chance.
2. Only the auth hook sets ``Authorization``; a request that carries another one does not leave.
3. A claims challenge is answered once. What cannot be sent twice is not sent twice.
4. When the request that the client was made for is over, the client sends nothing more.
"""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol, Self

from credentials import AccessTokenInfo, ClientAuthenticationError
from credentials.kernel import AsyncDriver, BlockingDriver, ConnectionPool, Flow
from obo_middleware._challenge import claims_challenge_in
from obo_middleware._downstream_api import DownstreamApi
from obo_middleware._lease import Lease
from obo_middleware.errors import (
    ClaimsChallengeError,
    RefusedRequestError,
    WrongOriginError,
    answer_for,
)

_SEAL = "obo_middleware"
# The extensions of httpx that send a request elsewhere than to its URL, or accept somebody else's certificate.
_ELSEWHERE = frozenset({"target", "sni_hostname"})
_MOST_DECODINGS = 8
"""How often a path may be encoded over itself. No server decodes as often, and each time costs a look at all of it."""


class TokenSource(Protocol):
    """Describe where a client's tokens come from: the user's exchange, or the application itself."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that are asked for."""

    def fresh(self) -> AccessTokenInfo | None:
        """Return the token if it is at hand, without any wait."""

    def token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        """Return the token, whatever it takes; ``claims`` answer a challenge to the ``refused`` token."""


@dataclass(frozen=True, slots=True)
class _Seal:
    """What the auth hook leaves on a request for the transport to check."""

    auth: object
    authorization: str = field(repr=False)


class Target:
    """One API as the HTTP library sees it, prepared once: its URL takes longer to parse than all the rest."""

    def __init__(self, pool: ConnectionPool, api: DownstreamApi) -> None:
        url = pool.library.URL(api.base_url + "/")
        self.pool = pool
        self.api = api
        self.base_url = url
        self.timeout = pool.library.Timeout(api.timeout)
        self._origin = _origin(url)
        self._path = url.raw_path

    def check(self, url: Any) -> None:
        """Raise :class:`WrongOriginError` for a URL outside the API's origin and base path."""
        path = url.raw_path.partition(b"?")[0]
        below = path.startswith(self._path) or path + b"/" == self._path
        if _origin(url) != self._origin or url.userinfo or not below or _climbs(path):
            raise WrongOriginError(
                f"the request would go to {url.scheme}://{url.raw_host.decode()}, "
                f"but its token is for {self.api.base_url} only. "
                "Use a plain client for other addresses, or declare them as a DownstreamApi of their own."
            )


def _origin(url: Any) -> tuple[str, bytes, int | None]:
    # The HTTP library has None for the port that is the scheme's own, written or not.
    return url.scheme, url.raw_host, url.port


def _climbs(path: bytes) -> bool:
    """Tell whether a path has a dot segment in any spelling that some server resolves: encoded, twice, with ``;``.

    One that is encoded too often to say so counts as one that has.
    """
    plain = path
    for _ in range(_MOST_DECODINGS + 1):
        decoded = urllib.parse.unquote_to_bytes(plain)
        if decoded == plain:
            break
        plain = decoded
    else:
        return True
    segments = (segment.partition(b";")[0] for segment in plain.replace(b"\\", b"/").split(b"/"))
    return any(segment in (b".", b"..") for segment in segments)


class _TokenAuth:
    """The logic of an ``httpx.Auth``; :func:`_auth_class` joins it with the HTTP library's own base class."""

    requires_request_body = False
    requires_response_body = False

    def __init__(self, source: TokenSource, lease: Lease, target: Target) -> None:
        self._source = source
        self._lease = lease
        self._target = target

    # The twins: the same steps, once blocking and once awaitable.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        driver = BlockingDriver(self._target.pool)
        info = self._begin(request)
        if info is None:
            info = driver.run(self._token_flow())
        response = yield self._authorize(request, info)
        claims = _claims_of(response)
        if claims is not None:
            info = driver.run(self._token_flow(claims, info.token))
            if self._can_repeat(request):
                self._give_up((yield self._authorize(request, info)))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        driver = AsyncDriver(self._target.pool)
        info = self._begin(request)
        if info is None:
            info = await driver.run(self._token_flow())
        response = yield self._authorize(request, info)
        claims = _claims_of(response)
        if claims is not None:
            info = await driver.run(self._token_flow(claims, info.token))
            if self._can_repeat(request):
                self._give_up((yield self._authorize(request, info)))

    def _begin(self, request: Any) -> AccessTokenInfo | None:
        self.check(request)
        if self._sealed(request):
            del request.headers["authorization"]  # sent again, such as the request of a redirect
        if "authorization" in request.headers:
            raise RefusedRequestError(
                "the request has an Authorization header of its own, but this client sets the user's"
            )
        return self._source.fresh()

    def check(self, request: Any) -> None:
        """Raise a :class:`RefusedRequestError` unless the request may carry the token."""
        self._lease.check()
        self._target.check(request.url)
        if not _ELSEWHERE.isdisjoint(request.extensions):
            raise WrongOriginError("the request's extensions name another target than its URL")
        # A server of many hosts would hand the token to the one that this header names.
        if request.headers.get_list("host") != [request.url.netloc.decode("ascii")]:
            raise WrongOriginError("the request's Host header names another host than its URL")

    def check_sealed(self, request: Any) -> None:
        """Raise a :class:`RefusedRequestError` unless the request is as the auth hook left it."""
        self.check(request)
        if not self._sealed(request):
            raise RefusedRequestError(
                "the request does not carry the token that this client put on it; leave auth= and hooks alone"
            )

    def _sealed(self, request: Any) -> bool:
        seal = request.extensions.get(_SEAL)
        if not isinstance(seal, _Seal) or seal.auth is not self:
            return False
        return bool(request.headers.get_list("authorization") == [seal.authorization])

    def _authorize(self, request: Any, info: AccessTokenInfo) -> Any:
        authorization = f"Bearer {info.token}"
        request.headers["Authorization"] = authorization
        request.extensions[_SEAL] = _Seal(self, authorization)
        return request

    def _token_flow(self, claims: str | None = None, refused: str | None = None) -> Flow[AccessTokenInfo]:
        try:
            return (yield from self._source.token_flow(claims, refused))
        except ClientAuthenticationError as error:
            raise answer_for(error, self._source.scopes) from error

    def _can_repeat(self, request: Any) -> bool:
        return isinstance(request.stream, self._target.pool.library.ByteStream)

    def _give_up(self, response: Any) -> None:
        claims = _claims_of(response)
        if claims is not None:
            raise ClaimsChallengeError(
                "the downstream API asks for more than the provider's new token has", claims=claims
            )


def _claims_of(response: Any) -> str | None:
    if response.status_code != 401:
        return None
    return claims_challenge_in(response.headers.get_list("www-authenticate"))


@functools.cache
def _auth_class(library: ModuleType) -> Any:
    return type("TokenAuth", (_TokenAuth, library.Auth), {})


class _Borrowed:
    """A transport that checks, passes on to the shared pool, and does not close it: the pool outlives every client."""

    def __init__(self, auth: _TokenAuth, target: Target) -> None:
        self._auth = auth
        self._target = target

    def handle_request(self, request: Any) -> Any:
        self._auth.check_sealed(request)
        return self._target.pool.blocking_transport(self._target.api.base_url).handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        self._auth.check_sealed(request)
        transport = self._target.pool.async_transport(self._target.api.base_url)
        return await transport.handle_async_request(request)

    def close(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Do nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Do nothing."""


def blocking_client(source: TokenSource, lease: Lease, target: Target) -> Any:
    """Return an ``httpx.Client`` for one API with the source's tokens; own cookies, shared connections."""
    return _client(target.pool.library.Client, source, lease, target)


def async_client(source: TokenSource, lease: Lease, target: Target) -> Any:
    """Return an ``httpx.AsyncClient`` for one API with the source's tokens; own cookies, shared connections."""
    return _client(target.pool.library.AsyncClient, source, lease, target)


def _client(make: Any, source: TokenSource, lease: Lease, target: Target) -> Any:
    auth = _auth_class(target.pool.library)(source, lease, target)
    transport = _Borrowed(auth, target)
    return make(auth=auth, base_url=target.base_url, transport=transport, timeout=target.timeout, trust_env=False)
