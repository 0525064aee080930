"""Connection pools: the HTTP library's transports, made once and shared by everybody.

Rules of this file:

1. A transport is used as the library documents it: a bare ``Request`` in, a ``Response`` out. So there is no
   cookie jar, no redirect, no event hook and no default header that users could share.
2. The TLS context of certifi's authorities is made once in a process (20 ms); a transport once for each origin and,
   awaitable, for each event loop. Origins do not share one, for the HTTP library looks at every connection of a
   transport whenever it sends a request; and a crowd of requests is spread over several (see _lanes).
3. Connections do not outlive a fork.
"""

from __future__ import annotations

import functools
import os
import ssl
import threading
import urllib.parse
import urllib.request
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx

from credentials._fork import renew_in_children
from credentials._lanes import Lanes

if TYPE_CHECKING:
    import asyncio

_KEEP_ALIVE = 60.0
"""Seconds that an idle connection is kept: long enough that a new user finds one open."""

_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables that name files for the HTTP library to trust in place of certifi's."""


class ConnectionPool:
    """Hold the shared transports of one HTTP library, blocking and awaitable.

    ``library`` is the module ``httpx`` or ``httpx2``. ``ssl_context`` replaces the library's own, which
    trusts certifi's authorities and those of ``SSL_CERT_FILE``. Proxies are taken from the environment
    (``HTTPS_PROXY``, ``NO_PROXY``), but not with ``direct``: an endpoint of this very machine, such as that of its
    managed identity, is never behind one. ``http2`` offers HTTP/2 to servers with TLS, and needs the package ``h2``.
    """

    def __init__(
        self,
        *,
        library: ModuleType = httpx,
        ssl_context: ssl.SSLContext | None = None,
        direct: bool = False,
        http2: bool = False,
    ) -> None:
        self.library = library
        self._direct = direct
        self._http2 = http2
        self._ssl_context = ssl_context or _default_context(library)
        self._limits = library.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE
        )
        self._start_anew()
        renew_in_children(self)

    def blocking_transport(self, url: str, address: str = "") -> Any:
        """Return the library's blocking transport for a URL's origin, or a new one for an ``address`` of its host.

        The new one knows no proxy, which would look the name up itself, and is not kept: names may share an address.
        """
        if address:
            return self._make(self.library.HTTPTransport, None)
        origin = _origin(url)
        with self._lock:
            transport = self._blocking.get(origin)
            if transport is None:
                transport = self._blocking[origin] = self._lanes(self.library.HTTPTransport, url)
        return transport

    def async_transport(self, url: str, address: str = "") -> Any:
        """Return the awaitable one for the running event loop, in the same way."""
        import asyncio  # see the rules of _drivers

        if address:
            return self._make(self.library.AsyncHTTPTransport, None)
        origin = _origin(url)
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._async:
                # Their own connections hold loops that ended without a close: the weak keys would stay for ever.
                for ended in [known for known in self._async if known.is_closed()]:
                    del self._async[ended]
            transports = self._async.setdefault(loop, {})
            transport = transports.get(origin)
            if transport is None:
                transport = transports[origin] = self._lanes(self.library.AsyncHTTPTransport, url)
        return transport

    def close(self) -> None:
        """Close the blocking connections; a later request opens new ones."""
        with self._lock:
            transports = list(self._blocking.values())
            self._blocking.clear()
        for transport in transports:
            transport.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later request opens new ones."""
        import asyncio  # see the rules of _drivers

        with self._lock:
            transports = self._async.pop(asyncio.get_running_loop(), {})
        for transport in transports.values():
            await transport.aclose()

    def renew_after_fork(self) -> None:
        """Forget the parent's connections without closing them: they are the parent's."""
        # Kept alive: their destructors would close the sockets' TLS sessions under the parent's feet.
        self._inherited = (self._blocking, self._async)
        self._start_anew()

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._blocking: dict[str, Any] = {}
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Any]]
        self._async = weakref.WeakKeyDictionary()

    def _lanes(self, transport: Any, url: str) -> Lanes:
        return Lanes(self.library, lambda: self._make(transport, url))

    def _make(self, transport: Any, url: str | None) -> Any:
        proxy = None if self._direct or url is None else proxy_for(url)
        return transport(
            verify=self._ssl_context,
            limits=self._limits,
            proxy=proxy and self.library.Proxy(proxy),
            http2=self._http2,
        )


def bare_pool() -> ConnectionPool:
    """Return a pool for plain http to this very machine, or for a credential that sends nothing itself.

    It trusts no certificate and uses no proxy, and so costs next to nothing.
    """
    return ConnectionPool(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), direct=True)


def _default_context(library: ModuleType) -> ssl.SSLContext:
    # The files of the variables may change while the process runs; those of certifi, which is a package, do not.
    own = any(os.environ.get(name) for name in _AUTHORITIES)
    context: ssl.SSLContext = library.create_ssl_context() if own else _shared_context(library)
    return context


@functools.cache
def _shared_context(library: ModuleType) -> Any:
    return library.create_ssl_context()


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def proxy_for(url: str) -> str | None:
    """Return the environment's proxy for a URL, or None; loopback addresses never have one."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def split_url(url: str) -> urllib.parse.SplitResult | None:
    """Return a URL's parts, its port checked, or None if it is none; no error, which would quote a piece of it."""
    try:
        parts = urllib.parse.urlsplit(url)
        _port = parts.port
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host name can only mean this machine (RFC 6761 section 6.3, RFC 1122 section 3.2.1.3)."""
    if host in ("localhost", "::1"):
        return True
    octets = host.split(".")
    return octets[0] == "127" and len(octets) == 4 and all(_is_octet(octet) for octet in octets)


def _is_octet(text: str) -> bool:
    # No zero before another digit: some readers take the rest for octal, and others the whole for a name to look up.
    return text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 256 and str(int(text)) == text
