"""Clients of redis-py for an address, blocking and awaitable: one server, a service behind Sentinels, or a cluster.

Rule of this file: an address is checked when it is given, and connected to when it is first needed.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

try:
    import redis.asyncio.cluster
    import redis.asyncio.retry
    import redis.asyncio.sentinel
    import redis.backoff
    import redis.cluster
    import redis.retry
    import redis.sentinel
except ImportError as error:
    raise ImportError("obo_middleware.redis needs redis-py: pip install 'obo-middleware[redis]'") from error

from obo_middleware._urls import wrong

REPLIED = (redis.exceptions.ResponseError,)
"""The errors of a store that is there, but does not do what it is asked."""
REFUSED = (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError)
"""The errors of a user or password that is wrong, or may not do enough."""

_KINDS: Mapping[str, Literal["one", "sentinel", "cluster"]] = {
    "redis": "one",
    "rediss": "one",
    "unix": "one",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_FORMS = (
    "redis://host:6379/0, rediss:// for TLS, unix:///path.sock, redis+sentinel://host:26379,host:26379/service/0 "
    "or redis+cluster://host:6379,host:6379"
)
_PORTS = {"sentinel": 26_379, "cluster": 6_379}
_TLS = {"ssl_check_hostname": True}  # which redis-py leaves out before its version 6
_THREADS = 65_536
"""Blocking connections at once, for which redis-py has a limit that would look like a store that is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Say where the store is. ``service`` is the name that Sentinels know it by."""

    url: str = field(repr=False)
    kind: Literal["one", "sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address that a URL names; raises :class:`ConfigurationError`."""
        scheme = url.partition("://")[0].lower() if isinstance(url, str) else ""
        kind = _KINDS.get(scheme)
        if kind is None:
            raise wrong("the store's URL", "is no address of Redis or Valkey", f"write {_FORMS}")
        try:
            address = cls._of_one(url) if kind == "one" else cls._of_many(url, kind)
        except ValueError as error:
            raise wrong("the store's URL", "has no hosts, or a malformed one", f"write {_FORMS}") from error
        ours = sorted(set(_bounds(None)).intersection(urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)))
        if ours:
            raise wrong("the store's URL", f"sets {', '.join(ours)}", "leave that out: max_wait bounds every wait")
        return address

    @classmethod
    def _of_one(cls, url: str) -> Address:
        parse: Callable[[str], Mapping[str, Any]] = redis.connection.parse_url
        parts = parse(url)
        if url.startswith("unix") and not parts.get("path"):
            raise ValueError("no path")
        return cls(url=url, kind="one", options=_TLS if url.startswith("rediss") else {})

    @classmethod
    def _of_many(cls, url: str, kind: Literal["sentinel", "cluster"]) -> Address:
        parts = urllib.parse.urlsplit(url)
        user, _, places = parts.netloc.rpartition("@")
        hosts = tuple(_host(place, _PORTS[kind]) for place in places.split(","))
        name, _, password = user.partition(":")
        options: dict[str, Any] = {"ssl": True, **_TLS} if parts.scheme.startswith("rediss") else {}
        options |= {"username": urllib.parse.unquote(name)} if name else {}
        options |= {"password": urllib.parse.unquote(password)} if password else {}
        service, _, number = parts.path.strip("/").partition("/")
        if kind == "sentinel" and not service:
            raise ValueError("no service")
        options |= {"db": int(number)} if number else {}
        return cls(url=url, kind=kind, hosts=hosts, service=service, options=options)


def _host(place: str, port: int) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(f"//{place}")
    if not parts.hostname:
        raise ValueError("no host")
    return parts.hostname, parts.port or port


def blocking_client(address: Address, options: Mapping[str, Any], timeout: float) -> Any:
    """Return a blocking client each of whose waits is at most so many seconds."""
    bounds = _bounds(timeout) | {"retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
    return _client(redis, address, {"max_connections": _THREADS, **address.options, **options}, bounds)


def awaitable_client(address: Address, options: Mapping[str, Any]) -> Any:
    """Return an awaitable client for one event loop; its callers bound their waits themselves."""
    bounds = _bounds(None) | {"retry": redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)}
    return _client(redis.asyncio, address, {**address.options, **options}, bounds)


def pool_of(client: Any) -> Any:
    """Return a client's pool of connections, or None for a cluster's, which has one for each node."""
    return getattr(client, "connection_pool", None)


def all_of(client: Any) -> tuple[Any, ...]:
    """Return a client and those that ask the Sentinels on its behalf, all of which are to be closed."""
    manager = getattr(pool_of(client), "sentinel_manager", None)
    return client, *(manager.sentinels if manager is not None else ())


def nodes_of(client: Any) -> tuple[Any, ...]:
    """Return the nodes that the client of a cluster is connected to."""
    return tuple(client.get_nodes()) if hasattr(client, "get_nodes") else ()


def _client(library: Any, address: Address, given: Mapping[str, Any], bounds: Mapping[str, Any]) -> Any:
    """Return a client of the library's blocking or awaitable half, whose names are the same."""
    whole = {**given, **bounds}
    if address.kind == "sentinel":
        # The Sentinels show certificates as the store does; a password of theirs is an option.
        own = {name: value for name, value in whole.items() if name.startswith("ssl")}
        whole["sentinel_kwargs"] = {**own, **given.get("sentinel_kwargs", {}), **bounds}
        return library.sentinel.Sentinel(address.hosts, **whole).master_for(address.service)
    if address.kind == "cluster":
        nodes = [library.cluster.ClusterNode(host, port) for host, port in address.hosts]
        return library.cluster.RedisCluster(startup_nodes=nodes, **whole)
    return library.Redis.from_url(address.url, **whole)


def _bounds(timeout: float | None) -> dict[str, Any]:
    # RESP2: nothing here needs the third version, which has the server send on its own account.
    waits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    return {**waits, "protocol": 2, "decode_responses": False}
