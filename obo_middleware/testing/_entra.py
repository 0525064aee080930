"""LocalEntra: an identity provider for development and tests that behaves like Microsoft Entra ID."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from ._controls import Controls
from ._directory import Directory
from ._entra_routes import build_app
from ._faults import Faults
from ._grant import Grant
from ._jws import POOL, SigningKey
from ._local_routes import local_routes
from ._provider import Provider
from ._registrations import (
    GRAPH_IDENTIFIER_URI,
    TENANT_ID,
    Application,
    User,
    default_apps,
    default_tenant,
    make_user,
)
from ._server import BackgroundServer
from ._state import State
from ._tls import ThrowAwayCa, client_context
from ._tokens import Lifetimes


class LocalEntra(Directory, Controls):
    """An identity provider on this machine, served from a thread of its own. For tests, never for production.

    Parameters: `port` 0 takes any free one; `tls` serves https with a throw-away CA (needs `trustme`);
    `token_lifetime` and `refresh_in` are seconds; `think_time` is the seconds the token endpoint waits before
    it answers; `clock` returns epoch seconds; `graph_identifier_uri` is what Graph is called in scopes and
    audiences; `single_use_assertions` refuses a client assertion whose `jti` was seen, and
    `single_use_refresh_tokens` a refresh token that was redeemed, which Entra does not; `interactive` signs users in
    as a person meets it, with single sign-on, a page for the second factor and one for consent.

    Use it in a `with` statement, or call `start()` and `stop()`; it can be started again.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        token_lifetime: int = 3900,
        refresh_in: int | None = None,
        think_time: float = 0.0,
        clock: Callable[[], float] = time.time,
        graph_identifier_uri: str = GRAPH_IDENTIFIER_URI,
        single_use_assertions: bool = False,
        single_use_refresh_tokens: bool = False,
        interactive: bool = False,
    ) -> None:
        self.host = host
        self._port = port
        self._tls = tls
        self._ca: ThrowAwayCa | None = None
        self._server: BackgroundServer | None = None
        self._issued: list[SigningKey] = []
        self._faults = Faults(think_time)
        self._state = State(
            single_use_assertions=single_use_assertions, single_use_refresh_tokens=single_use_refresh_tokens
        )
        lifetimes = Lifetimes(token_lifetime, refresh_in)
        self._provider = Provider(self._state, lifetimes, clock, self._faults, interactive=interactive)
        users = [
            make_user("alice", default_tenant(), "Alice Adams"),
            make_user("bob", default_tenant(), "Bob Brown"),
        ]
        self._state.users = {user.object_id: user for user in users}
        self._state.apps = {app.client_id: app for app in default_apps(graph_identifier_uri)}

    # Life

    def start(self) -> Self:
        """Begin to serve; raise OSError if the port is taken, RuntimeError if it serves already."""
        if self._server is not None:
            raise RuntimeError("LocalEntra is running already")
        self._ca = ThrowAwayCa(self.host) if self._tls else None
        context = self._ca.server_context() if self._ca else None
        app = build_app(self._provider, local_routes(self))
        try:
            self._server = BackgroundServer(app, self.host, self._port, context, "LocalEntra")
        except OSError:
            self._forget_ca()
            raise
        self._state.authority = self._server.url
        self._state.keys = [POOL.borrow()]
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop serving; a second call does nothing. Keys, codes and tokens of this run are worthless then."""
        if self._server is None:
            return
        self._server.stop()
        self._server = None
        with self._provider.lock:
            POOL.give_back([*self._state.keys, *self._state.retired_keys, *self._issued])
            self._state.forget_keys()
            self._issued.clear()
        self._forget_ca()

    def _forget_ca(self) -> None:
        if self._ca is not None:
            self._ca.remove()
            self._ca = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # Addresses

    @property
    def server(self) -> BackgroundServer:
        """Return the running server; raise RuntimeError if there is none."""
        if self._server is None:
            raise RuntimeError("LocalEntra is not running: call start() or use it in a with statement")
        return self._server

    @property
    def authority(self) -> str:
        """Return scheme, host and port, no slash at the end: what stands for login.microsoftonline.com."""
        return self.server.url

    @property
    def issuer(self) -> str:
        """Return the issuer of the first tenant's version 2.0 tokens."""
        return self._state.issuer(TENANT_ID, 2)

    @property
    def tls(self) -> bool:
        """Tell whether it serves https."""
        return self._tls

    @property
    def ca(self) -> ThrowAwayCa | None:
        """Return the certificate authority of this run, None without TLS."""
        return self._ca

    @property
    def ca_pem_path(self) -> str:
        """Return the path of the CA certificate, a file until the stop; raise RuntimeError without TLS."""
        if self._ca is None:
            raise RuntimeError("only LocalEntra(tls=True), once started, has a CA certificate")
        return self._ca.pem_path

    def ssl_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this provider only."""
        return self._ca.client_context() if self._ca else client_context()

    @property
    def clock(self) -> Callable[[], float]:
        """Return the clock, in epoch seconds."""
        return self._provider.clock

    # Tokens without a request

    def sign_in(
        self,
        user: str | User,
        app: Application | None = None,
        scopes: Iterable[str] = ("access_as_user",),
        *,
        client: Application | None = None,
        version: int | None = None,
        lifetime: int | None = None,
        key: SigningKey | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return an access token for an application (the demo API), issued to a client (the demo client).

        `version` 1 or 2, else what the application accepts; `lifetime` in seconds; `key` another signer;
        `headers` and `claims` are added, replace what is there, or remove it where they are None.
        """
        target, caller = app or self.api, client or self.client
        with self._provider.lock:
            who = self._state.user(user)
            tenant = self._state.tenants[who.tenant_id]
        proof = "0" if caller.public else "1"
        session = self._provider.session(who)
        grant = Grant(tenant, caller, proof, target, target.identifier_uris[0], scopes=tuple(scopes), sign_in=session)
        return self._issue(grant, claims, version=version, lifetime=lifetime, key=key, headers=headers)

    def app_token(
        self,
        app: Application | None = None,
        roles: Iterable[str] = (),
        *,
        client: Application | None = None,
        version: int | None = None,
        lifetime: int | None = None,
        key: SigningKey | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return an app-only access token for an application (the demo API); see `sign_in`."""
        target, caller = app or self.api, client or self.client
        tenant = self._state.tenants[TENANT_ID]
        grant = Grant(tenant, caller, "1", target, target.identifier_uris[0], roles=tuple(roles))
        return self._issue(grant, claims, version=version, lifetime=lifetime, key=key, headers=headers)

    def _issue(
        self,
        grant: Grant,
        claims: Mapping[str, Any],
        *,
        version: int | None,
        lifetime: int | None,
        key: SigningKey | None,
        headers: Mapping[str, Any] | None,
    ) -> str:
        return self._provider.access_token(
            grant,
            version=grant.resource.token_version if version is None else version,
            lifetime=self._provider.lifetimes.token if lifetime is None else lifetime,
            key=key,
            headers=headers,
            changes=claims,
        )

    def sign(self, claims: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> str:
        """Sign any claims with the current key; a header given as None is left out."""
        return self._provider.signer().sign(claims, headers)

    def is_revoked(self, claims: Mapping[str, Any]) -> int | None:
        """Return the epoch second after which a client must ask for a new token, None if this one is good."""
        with self._provider.lock:
            return self._state.revoked_at(claims)

    # Counters

    @property
    def connections(self) -> int:
        """Return how many TCP connections were accepted since the last reset, LocalGraph's own left out."""
        return self.server.connections

    def reset_counts(self) -> None:
        """Forget all records and count from 0."""
        self._provider.records.reset()
        self.server.reset_connections()

    def stats(self) -> dict[str, Any]:
        """Return the counters as JSON values."""
        counts = self._provider.records.counts()
        return {
            "exchanges": self.exchanges,
            "token_requests": self.requests_to("token"),
            "connections": self.connections,
            "requests": {name: count for name, count in counts.items() if name != "exchanges"},
        }
