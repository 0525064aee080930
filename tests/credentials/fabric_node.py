"""A Service Fabric node: a TLS server that notes every byte of a request which it gets, complete or not."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from credentials._flow import HttpRequest, RunFlow, SendRequest
from credentials._managed_identity_answer import Identity, IdentityQuery
from credentials._service_fabric import ServiceFabric
from tests.credentials.helpers import NOW, Played, certificate_der, certificate_pem, key_pem, play, token_answer

ENDPOINT = "https://localhost:2377/metadata/identity/oauth2/token"
RESOURCE = "https://vault.azure.net"
SECRET_HEADER = "7d1b0c5e-header-of-the-node"
NODE = "fabric-node"


def thumbprint(name: str = NODE) -> str:
    return hashlib.sha1(certificate_der(name), usedforsecurity=False).hexdigest()


def flipped(digits: str, position: int) -> str:
    """Return a thumbprint that differs by one bit."""
    changed = f"{int(digits[position], 16) ^ 1:x}"
    return digits[:position] + changed + digits[position + 1 :]


def wanted(*, refused: str | None = None, capabilities: tuple[str, ...] = (), **identity: str) -> IdentityQuery:
    identity_ = Identity(**identity)
    return IdentityQuery(resource=RESOURCE, identity=identity_, now=NOW, refused=refused, capabilities=capabilities)


def asked(source: ServiceFabric, query: IdentityQuery, *answers: object) -> Played[Any]:
    """Play by hand what the source does over its own connections."""
    outer = source.token_flow(query)
    effect = next(outer)
    assert isinstance(effect, RunFlow)
    assert effect.pool is source.pool
    outer.close()
    return play(effect.flow, *answers)


def requests(played: Played[Any]) -> list[HttpRequest]:
    return [effect.request for effect in played.effects if isinstance(effect, SendRequest)]


def server_context(
    directory: Path, names: tuple[str, ...] = (NODE,), version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """Return the TLS context of a server that shows the certificates, the first of which is its own."""
    path = directory / "-".join(names)
    path.write_bytes(key_pem(names[0]) + b"".join(certificate_pem(name) for name in names))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.maximum_version = version
    return context


class Node:
    """A server for one connection after the other; it answers whatever looks like the end of a request's headers."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = self._listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}/metadata/identity/oauth2/token"
        self.connections = 0
        self.received = b""
        """What came inside of TLS; complete once the node has stopped."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait until everything that was sent is noted."""
        self._stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive(), "a client has left its connection open"

    def _serve(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            with plain:
                if self._stopping:
                    return
                self.connections += 1
                try:
                    self._talk(plain)
                except OSError:
                    continue  # the client hung up, as it should if it does not like the certificate

    def _talk(self, plain: socket.socket) -> None:
        body = token_answer("fabric-token").body
        with self._context.wrap_socket(plain, server_side=True) as secure:
            while data := secure.recv(65_536):
                self.received += data
                if data.endswith(b"\r\n\r\n"):
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@contextmanager
def node(context: ssl.SSLContext) -> Iterator[Node]:
    """Serve while the block runs; the clients must close their connections within it."""
    server = Node(context)
    server.start()
    try:
        yield server
    finally:
        server.stop()
