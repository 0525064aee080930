"""Put a user's token on a downstream request: ``httpx.Auth`` with both hooks, and the transport that watches over it.

Facts: RFC 6750 section 2.1, RFC 9110 section 11.6.

Rules of this file:

1. Where a token may go is checked before it is even fetched, and again by the transport, where redirects and hooks have
   had their chance.
2. Only the auth hook sets ``Authorization``; a request that carries another one does not leave.
3. When the request that the client was made for is over, the client sends nothing more.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Self

from credentials import AccessTokenInfo
from credentials.kernel import AsyncDriver, BlockingDriver
from obo_middleware._calls import Binding, Call, Target
from obo_middleware.errors import RefusedRequestError, WrongOriginError

_SEAL = "obo_middleware"
# The extensions of httpx that send a request elsewhere than to its URL, or accept somebody else's certificate.
_ELSEWHERE = frozenset({"target", "sni_hostname"})


@dataclass(frozen=True, slots=True)
class _Seal:
    """What the auth hook leaves on a request for the transport to check."""

    auth: object
    authorization: str = field(repr=False)


class _TokenAuth:
    """The logic of an ``httpx.Auth``; :func:`_auth_class` joins it with the HTTP library's own base class."""

    requires_request_body = False
    requires_response_body = False

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    # The twins: the same steps, once blocking and once awaitable.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        driver, call = BlockingDriver(self._binding.target.pool), self._begin(request)
        while call.goes_on:
            info = call.fresh()
            if info is None:
                info = driver.run(call.token_flow())
            if not call.sends:
                return
            self._hear(call, info, request, (yield self._authorize(request, info)))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        driver, call = AsyncDriver(self._binding.target.pool), self._begin(request)
        while call.goes_on:
            info = call.fresh()
            if info is None:
                info = await driver.run(call.token_flow())
            if not call.sends:
                return
            self._hear(call, info, request, (yield self._authorize(request, info)))

    def _begin(self, request: Any) -> Call:
        self.check(request)
        if self._sealed(request):
            del request.headers["authorization"]  # sent again, such as the request of a redirect
        if "authorization" in request.headers:
            raise RefusedRequestError(
                "the request has an Authorization header of its own, but this client sets the user's"
            )
        return Call(self._binding, request.method)

    def check(self, request: Any) -> None:
        """Raise a :class:`RefusedRequestError` unless the request may carry the token."""
        self._binding.check(request.url)
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

    def _hear(self, call: Call, info: AccessTokenInfo, request: Any, response: Any) -> None:
        headers = response.headers
        again = isinstance(request.stream, self._binding.target.pool.library.ByteStream)
        challenges, retry_after = headers.get_list("www-authenticate"), headers.get("retry-after")
        call.hear(info.token, response.status_code, challenges, retry_after, again=again)


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


def blocking_client(binding: Binding) -> Any:
    """Return an ``httpx.Client`` for one API with the source's tokens; own cookies, shared connections."""
    return _client(binding.target.pool.library.Client, binding)


def async_client(binding: Binding) -> Any:
    """Return an ``httpx.AsyncClient`` for one API with the source's tokens; own cookies, shared connections."""
    return _client(binding.target.pool.library.AsyncClient, binding)


def _client(make: Any, binding: Binding) -> Any:
    target = binding.target
    auth = _auth_class(target.pool.library)(binding)
    return make(
        auth=auth,
        base_url=target.base_url,
        headers={"traceparent": binding.trace} if binding.trace else None,
        transport=_Borrowed(auth, target),
        timeout=target.timeout,
        trust_env=False,
    )
