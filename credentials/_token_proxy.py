"""The token proxy of AKS identity binding: token requests go to it, and it brings them to Microsoft Entra.

Facts: the settings in the environment and the shape of the URLs are those of azure-identity. The request stays what it
is for the token endpoint: the assertion's audience and the cache's keys name the endpoint, not the proxy.

Rules of this file:

1. The assertion leaves only after the proxy has shown a certificate that one of the named authorities, and no other,
   has issued for the named server.
2. A file of authorities is read again when it has changed; one that is not good takes nothing away.
3. Connections that trust what the file held before are closed when nobody uses them any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from credentials._flow import Flow, HttpRequest, HttpResponse, call, run
from credentials._fork import renew_in_children
from credentials._pool import ConnectionPool, split_url
from credentials._token_endpoint import post_flow

_PROXY = "AZURE_KUBERNETES_TOKEN_PROXY"
_SERVER_NAME = "AZURE_KUBERNETES_SNI_NAME"
_CA_FILE = "AZURE_KUBERNETES_CA_FILE"
_CA_DATA = "AZURE_KUBERNETES_CA_DATA"
_RECEIVER = "the AKS token proxy"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class TokenProxy:
    """Send token requests to the proxy at ``url``.

    ``server_name`` is whose certificate it must show, where that is not the URL's host. ``trusted`` are the connections
    to use; without them the credential's own serve.
    """

    def __init__(self, url: str, *, server_name: str = "", trusted: TrustedPool | None = None) -> None:
        self._url = url
        self._server_name = server_name
        self._trusted = trusted

    @property
    def pools(self) -> tuple[ConnectionPool, ...]:
        """The connections that the proxy has of its own."""
        return self._trusted.pools if self._trusted is not None else ()

    def send_flow(self, request: HttpRequest) -> Flow[HttpResponse]:
        """Send a token request to the proxy, as :func:`post_flow` sends it to the token endpoint."""
        request = replace(request, url=rewritten(request.url, self._url), server_name=self._server_name)
        if self._trusted is None:
            return (yield from post_flow(request, receiver=_RECEIVER))
        use = self._trusted.begin()
        try:
            yield from _close_flow(self._trusted.left_over())
            return (yield from run(post_flow(request, receiver=_RECEIVER), use.pool))
        finally:
            self._trusted.end(use)


def token_proxy(environ: Mapping[str, str]) -> TokenProxy | None:
    """Return the proxy that the environment names, or None; raises ``ValueError`` for settings that cannot be used."""
    url, ca_file, ca_data = environ.get(_PROXY), environ.get(_CA_FILE), environ.get(_CA_DATA)
    if not url:
        alone = [name for name in (_SERVER_NAME, _CA_FILE, _CA_DATA) if environ.get(name)]
        if alone:
            raise ValueError(f"{_PROXY} is not set, but {', '.join(alone)} is: set it too, or set none of them")
        return None
    _check_url(url)
    server_name = environ.get(_SERVER_NAME, "")
    if server_name and not _NAME.fullmatch(server_name):
        raise ValueError(f"{_SERVER_NAME} {server_name!r} must be a host name")
    if ca_file and ca_data:
        raise ValueError(f"{_CA_FILE} and {_CA_DATA} are both set: set only one of them")
    trusted = _file_pool(ca_file) if ca_file else _data_pool(ca_data) if ca_data else None
    return TokenProxy(url, server_name=server_name, trusted=trusted)


def rewritten(url: str, proxy: str) -> str:
    """Return a URL as the proxy takes it: at its origin, below its path; one that is there already is left alone."""
    wanted, through = urllib.parse.urlsplit(url), urllib.parse.urlsplit(proxy)
    path = through.path.rstrip("/")
    if _origin(wanted) == _origin(through) and (wanted.path == path or wanted.path.startswith(f"{path}/")):
        return url
    path = f"{path}/{wanted.path.lstrip('/')}"
    return wanted._replace(scheme=through.scheme, netloc=through.netloc, path=path).geturl()


def _origin(parts: urllib.parse.SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or 443


def _check_url(url: str) -> None:
    parts = split_url(url)
    if parts is None:
        raise ValueError(f"{_PROXY} is not a URL")
    if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"[\w.:\[\]-]+", parts.netloc):
        raise ValueError(f"{_PROXY} must be an https URL with a host and without user and password")
    if not re.fullmatch(r"[!-~]+", url) or "?" in url or "#" in url:
        raise ValueError(f"{_PROXY} must be without query, fragment and spaces")


@dataclass(slots=True, eq=False)
class Use:
    """Connections that trust one set of authorities, and how many flows use them."""

    pool: ConnectionPool
    flows: int = 0


class TrustedPool:
    """Hold connections that trust the authorities in some PEM text, and those only; safe for threads.

    ``read`` returns the text, or None if it is the same as last time; it raises ``ValueError`` if there is nothing to
    read, and so does this constructor for text that holds no certificate.
    """

    def __init__(self, read: Callable[[], bytes | None]) -> None:
        self._read = read
        self._pem = read() or b""
        self._now = Use(_pool_trusting(self._pem))
        self._before: list[Use] = []
        self.renew_after_fork()
        renew_in_children(self)

    @property
    def pools(self) -> tuple[ConnectionPool, ...]:
        """All connections, those that are no more to be used included."""
        with self._lock:
            return (self._now.pool, *[use.pool for use in self._before])

    def begin(self) -> Use:
        """Return the connections to use now; give them to :meth:`end` afterwards."""
        with self._lock:
            # What cannot be read is being replaced just now: what was good stays good.
            with contextlib.suppress(ValueError):
                self._renew()
            self._now.flows += 1
            return self._now

    def end(self, use: Use) -> None:
        """Note that connections are not used any more."""
        with self._lock:
            use.flows -= 1

    def left_over(self) -> list[ConnectionPool]:
        """Return, once, the connections to close: those of former authorities that nobody uses any more."""
        with self._lock:
            left = [use.pool for use in self._before if not use.flows]
            self._before = [use for use in self._before if use.flows]
            return left

    def renew_after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def _renew(self) -> None:
        pem = self._read()
        if pem is None or pem == self._pem:
            return
        use = Use(_pool_trusting(pem))
        self._before.append(self._now)
        self._pem, self._now = pem, use


class AuthorityFile:
    """Read a PEM file when it has changed."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._seen: tuple[int, ...] = ()

    def __call__(self) -> bytes | None:
        """Return what is in the file unless it was read before; raises ``ValueError`` if it cannot be read."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return None
            pem = self._path.read_bytes()
        except OSError as error:
            raise ValueError(f"the file {str(self._path)!r} cannot be read: {error.strerror}") from error
        # Looked at before it was read: a file that changes meanwhile is read once more.
        self._seen = seen
        return pem


def _file_pool(path: str) -> TrustedPool:
    try:
        return TrustedPool(AuthorityFile(path))
    except ValueError as error:
        raise ValueError(f"{_CA_FILE} {path!r} cannot be used: {error}") from error


def _data_pool(data: str) -> TrustedPool:
    try:
        return TrustedPool(lambda: os.fsencode(data))
    except ValueError as error:
        raise ValueError(f"{_CA_DATA} cannot be used: {error}") from error


def _pool_trusting(pem: bytes) -> ConnectionPool:
    """Return connections that trust the authorities in a PEM text, and reach the cluster without any HTTP proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Comments may hold any character; certificates hold none beyond ASCII.
        context.load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ValueError, ssl.SSLError) as error:
        raise ValueError("it does not hold certificates in PEM format") from error
    return ConnectionPool(ssl_context=context, direct=True)


def _close_flow(pools: list[ConnectionPool]) -> Flow[None]:
    for pool in pools:
        # The token matters more than the end of connections that nobody uses.
        with contextlib.suppress(Exception):
            yield from call(_closing(pool))


def _closing(pool: ConnectionPool) -> Callable[[], Coroutine[Any, Any, str]]:
    async def close() -> str:
        pool.close()
        await pool.aclose()
        return ""

    return close
