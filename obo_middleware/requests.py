"""Call APIs as the user with ``requests``: an ``auth=`` object that puts the user's token on a request.

Facts: RFC 6750 section 2.1, RFC 9110 sections 10.2.2 and 11.6, the manual of Requests ("Custom Authentication", "Event
Hooks").

Rules of this file:

1. Where a token may go is checked before it is even fetched, and again before Requests, which does so by itself,
   follows a redirect with it.
2. What is checked is the URL as Requests reads it when it sends, not as another library would read it.
3. The object keeps nothing of one request that another one could see: threads may share it.
"""

from __future__ import annotations

import urllib.parse
from typing import Any, NamedTuple

try:
    import requests
except ImportError as error:
    raise ImportError("obo_middleware.requests needs Requests: pip install 'obo-middleware[requests]'") from error

from requests.auth import AuthBase

from credentials.kernel import BlockingDriver
from obo_middleware._calls import Call
from obo_middleware._context import Context
from obo_middleware.errors import RefusedRequestError, WrongOriginError

__all__ = ["LeavingRedirectError", "OnBehalfOfAuth"]

_PORTS = {"http": 80, "https": 443}


class LeavingRedirectError(WrongOriginError):
    """Say that the API has answered with a redirect that leads out of its origin or base path, and is not followed.

    ``response`` is that answer: its ``Location`` header may be fetched without a token, if the API is known to do so.
    """

    def __init__(self, message: str, *, response: requests.Response) -> None:
        super().__init__(message)
        self.response = response


class OnBehalfOfAuth(AuthBase):
    """Call an API with ``requests`` as the user of a request, or with ``as_app=True`` as the application itself.

    ``api`` is a name in ``Settings.downstream_apis``; give the object as ``auth=`` of a call or of a
    ``requests.Session`` of this one request. The token goes to the API's origin and base path only (RFC 6750). A claims
    challenge is answered once with a new token, and what the API puts off is sent again within
    ``DownstreamApi.retry_within`` seconds, counted from its first answer; a body that can be read only once is not sent
    again.

    Raises :class:`ConfigurationError` if there is no such API and :class:`MissingTokenError` if there is no user; a
    call raises :class:`WrongOriginError`, :class:`LeavingRedirectError`, :class:`RefusedRequestError`,
    :class:`RequestEndedError`, :class:`ClaimsChallengeError` and the other errors of an exchange.
    """

    def __init__(self, context: Context, api: str, *, as_app: bool = False) -> None:
        self._binding = context.binding(api, as_user=not as_app)

    def __repr__(self) -> str:
        return f"OnBehalfOfAuth({self._binding.target.api.base_url!r})"

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request that has been prepared otherwise; Requests calls this."""
        self._check(r)
        r.headers["Authorization"] = self._bearer(Call(self._binding, str(r.method)))
        if self._binding.trace:
            r.headers.setdefault("traceparent", self._binding.trace)
        # Requests adds the hooks of the caller after this one, so they see the answer that counts.
        r.register_hook("response", self._hear)  # type: ignore[no-untyped-call]  # its stubs leave it out
        return r

    def _check(self, request: requests.PreparedRequest) -> None:
        """Raise a :class:`RefusedRequestError` unless the request may carry the token."""
        url = str(request.url)
        self._binding.check(_address(url))
        # Requests lets a name end in spaces, which some servers take off.
        headers = {name.strip().lower(): value for name, value in request.headers.items()}
        if "authorization" in headers:
            raise RefusedRequestError(
                "the request has an Authorization header of its own, but this auth= object sets the user's"
            )
        # A server of many hosts would hand the token to the one that this header names.
        host = urllib.parse.urlsplit(url).netloc
        if headers.get("host", host) != host:
            raise WrongOriginError("the request's Host header names another host than its URL")

    def _bearer(self, call: Call) -> str:
        info = call.fresh()
        if info is None:
            info = BlockingDriver(self._binding.target.pool).run(call.token_flow())
        return f"Bearer {info.token}"

    def _hear(self, response: requests.Response, **options: Any) -> requests.Response:
        """Take the answer to a request with a token, and return the last one; ``options`` are how it was sent."""
        call = Call(self._binding, str(response.request.method))
        try:
            while self._goes_on(call, response):
                authorization = self._bearer(call)
                if not call.sends:
                    break
                response = _sent_again(response, authorization, options)
            if response.is_redirect:
                self._check_redirect(response)
        except BaseException:
            response.close()
            raise
        return response

    def _goes_on(self, call: Call, response: requests.Response) -> bool:
        request, headers = response.request, response.headers
        token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        challenges = [headers["WWW-Authenticate"]] if "WWW-Authenticate" in headers else []
        again = request.body is None or isinstance(request.body, str | bytes)
        call.hear(token, response.status_code, challenges, headers.get("Retry-After"), again=again)
        return call.goes_on

    def _check_redirect(self, response: requests.Response) -> None:
        """Raise :class:`LeavingRedirectError` for a redirect that would take the token elsewhere."""
        try:
            self._binding.check(_address(_onward(response)))
        except (WrongOriginError, ValueError) as error:
            raise LeavingRedirectError(f"the API has answered with a redirect: {error}", response=response) from None


class _Address(NamedTuple):
    """Hold a URL in the parts that :meth:`Target.check` looks at."""

    scheme: str
    raw_host: bytes
    port: int | None
    userinfo: bytes
    raw_path: bytes


def _address(url: str) -> _Address:
    """Return where Requests would connect to and what it would ask there for: it reads URLs in just this way."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = (parts.hostname or "").encode(), parts.port
    except ValueError:
        raise WrongOriginError("the request's URL cannot be read") from None
    scheme = parts.scheme.lower()
    userinfo = parts.netloc.encode() if "@" in parts.netloc else b""
    return _Address(scheme, host, None if port == _PORTS.get(scheme) else port, userinfo, (parts.path or "/").encode())


def _sent_again(response: requests.Response, authorization: str, options: dict[str, Any]) -> requests.Response:
    """Send the request of an answer again, over the same connection, as Requests' own digest authentication does."""
    _ = response.content
    response.close()
    response.request.headers["Authorization"] = authorization
    following: requests.Response = response.connection.send(response.request, **options)
    following.history = [*response.history, response]
    return following


def _onward(response: requests.Response) -> str:
    """Return where Requests goes on after a redirect, by its own rules."""
    history = response.history
    with requests.Session() as session:
        session.trust_env = False
        following = next(session.resolve_redirects(response, response.request, yield_requests=True), response.request)
    response.history = history
    return str(following.url)
