"""LocalGraph: a downstream API that really checks the tokens it gets."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ._entra import LocalEntra
from ._faults import CannedAnswer, Faults, outage_headers
from ._graph_check import Caller, TokenChecker, TokenRefusedError
from ._graph_routes import RefusalError, as_refusal, build_graph, claims_challenge, invalid_token
from ._records import GraphRequest, Records
from ._registrations import GRAPH_CLIENT_ID, User
from ._server import BackgroundServer


@dataclass(slots=True)
class _Demand:
    """What a user's next requests are answered with: a challenge, or (None) a token called expired."""

    claims: Mapping[str, Any] | None
    times: int | None

    def spend(self) -> bool:
        """Count one request; tell whether it was the last."""
        self.times = None if self.times is None else self.times - 1
        return self.times == 0


class LocalGraph:
    """A downstream API on this machine in the shape of Microsoft Graph, for the users of a LocalEntra.

    Parameters: `entra`, whose tokens it takes and which must be running when this starts (its TLS is used
    too); `port` 0 takes any free one; `think_time` is the seconds it waits before each answer.
    """

    def __init__(self, entra: LocalEntra, *, host: str = "127.0.0.1", port: int = 0, think_time: float = 0.0) -> None:
        self._entra = entra
        self._host, self._port = host, port
        self._server: BackgroundServer | None = None
        self._checker: TokenChecker | None = None
        self._lock = threading.Lock()
        self._demands: dict[str, list[_Demand]] = {}
        self.faults = Faults(think_time)
        self.records: Records[GraphRequest] = Records()

    # Life

    def start(self) -> Self:
        """Begin to serve; raise RuntimeError if it serves already or LocalEntra does not."""
        if self._server is not None:
            raise RuntimeError("LocalGraph is running already")
        entra = self._entra
        audiences = frozenset((*entra.graph.identifier_uris, GRAPH_CLIENT_ID))
        self._checker = TokenChecker(entra.authority, entra.ssl_context(), audiences, entra.clock)
        context = entra.ca.server_context() if entra.ca else None
        self._server = BackgroundServer(build_graph(self), self._host, self._port, context, "LocalGraph")
        self._server.start()
        self._server.run(self._checker.fetch_keys())
        return self

    def stop(self) -> None:
        """Stop serving; a second call does nothing."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def server(self) -> BackgroundServer:
        """Return the running server; raise RuntimeError if there is none."""
        if self._server is None:
            raise RuntimeError("LocalGraph is not running: call start() or use it in a with statement")
        return self._server

    @property
    def base_url(self) -> str:
        """Return the URL every endpoint begins with, as in https://graph.microsoft.com/v1.0."""
        return f"{self.server.url}/v1.0"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that tell an app of both: those of `Settings.from_env`, and `GRAPH_BASE_URL`."""
        entra = self._entra
        found = {
            "AZURE_TENANT_ID": entra.tenant_id,
            "AZURE_CLIENT_ID": entra.api.client_id,
            "AZURE_CLIENT_SECRET": entra.api.secret,
            "AZURE_AUTHORITY_HOST": entra.authority,
            "OBO_ALLOW_LOCAL_ISSUER": "true",
            "GRAPH_BASE_URL": self.base_url,
        }
        return found | ({"SSL_CERT_FILE": str(entra.ca_pem_path)} if entra.tls else {})

    # What the endpoints ask

    async def admit(self, token: str) -> Caller:
        """Return who presents a token; raise `RefusalError`."""
        if self._checker is None:
            raise RuntimeError("LocalGraph is not running")
        try:
            caller = await self._checker.check(token)
        except TokenRefusedError as error:
            raise as_refusal(error) from error
        self._check_revocation(caller)
        self._check_demands(caller)
        return caller

    def _check_revocation(self, caller: Caller) -> None:
        second = self._entra.is_revoked(caller.claims)
        if second is None:
            return
        claims = {"access_token": {"nbf": {"essential": True, "value": str(second)}}}
        raise self._challenge(caller, claims if caller.understands_challenges else None)

    def _challenge(self, caller: Caller, claims: Mapping[str, Any] | None) -> RefusalError:
        text = "Continuous access evaluation resulted in challenge with result: InteractionRequired."
        refusal = invalid_token(text)
        refusal.caller = caller
        if claims is not None:
            refusal.challenge = claims_challenge(self._entra.authority, dict(claims))
        return refusal

    def _check_demands(self, caller: Caller) -> None:
        with self._lock:
            demands = self._demands.get(caller.user or "")
            if not demands:
                return
            demand = demands[0]
            if demand.spend():
                demands.pop(0)
        if demand.claims is None:
            refusal = invalid_token("Lifetime validation failed, the token is expired.")
            refusal.caller = caller
            raise refusal
        raise self._challenge(caller, demand.claims)

    def user(self, object_id: str) -> User:
        """Return a user by object id; raise KeyError."""
        return {user.object_id: user for user in self.all_users()}[object_id]

    def all_users(self) -> list[User]:
        """Return all users, in the order they were registered."""
        return list(self._entra.users.values())

    # What a test tells it

    def challenge(self, user: str | User, claims: Mapping[str, Any] | None = None, *, times: int | None = 1) -> None:
        """Answer a user's next requests, so many `times` (None: for ever), with a claims challenge.

        Without `claims` it asks for the authentication context `c1`.
        """
        default = {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
        self._demand(user, _Demand(default if claims is None else claims, times))

    def expire(self, user: str | User, *, times: int | None = 1) -> None:
        """Answer a user's next requests as if the token had expired: 401 without claims."""
        self._demand(user, _Demand(None, times))

    def _demand(self, user: str | User, demand: _Demand) -> None:
        who = user if isinstance(user, User) else self._entra.users[user]
        with self._lock:
            self._demands.setdefault(who.object_id, []).append(demand)

    @property
    def think_time(self) -> float:
        """Return how long it thinks before each answer, in seconds; can be set."""
        return self.faults.think_time

    @think_time.setter
    def think_time(self, seconds: float) -> None:
        self.faults.think_time = seconds

    def outage(self, status: int = 503, retry_after: float | str | None = None, *, times: int | None = None) -> None:
        """Answer with an error of the service."""
        body = b'{"error":{"code":"serviceNotAvailable","message":"The service is not available."}}'
        self.faults.add(("graph",), CannedAnswer(status, outage_headers(retry_after), body), times)

    def answer_once(self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Answer the next request with arbitrary bytes."""
        self.faults.add(("graph",), CannedAnswer(status, headers or {}, body), 1)

    def drop_connections(self, *, times: int | None = None) -> None:
        """Cut the connection of requests without an answer."""
        self.faults.add(("graph",), None, times)

    def forget_faults(self) -> None:
        """Forget all faults, challenges and the think time."""
        self.faults.forget()
        with self._lock:
            self._demands.clear()

    # Records

    @property
    def requests(self) -> list[GraphRequest]:
        """Return the latest requests, oldest first (10 000 are kept)."""
        return self.records.latest()

    @property
    def connections(self) -> int:
        """Return how many TCP connections were accepted since the last reset."""
        return self.server.connections

    def reset_counts(self) -> None:
        """Forget the requests and count connections from 0."""
        self.records.reset()
        self.server.reset_connections()
