"""The hosts that the examples name, played on this machine: a proxy leads to them, and to nowhere else."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import jwt

from obo_middleware.testing import LocalEntra
from tests.credentials.servers import Exchange, loopback

Host = Callable[[Exchange], None]

VAULT, MODELS = "https://vault.azure.net", "https://cognitiveservices.azure.com"


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy that knows one CONNECT, to one port of this machine, whichever of its hosts is asked for."""

    daemon_threads = True

    def __init__(self, hosts: Mapping[str, Host], port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.hosts, self.port = hosts, port
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Tunnel(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        host = self.rfile.readline().split()[1].decode().partition(":")[0]
        while self.rfile.readline().strip():
            pass
        if host not in self.server.hosts:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes until one side has had enough; tell the other side so."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def internet(hosts: Mapping[str, Host], context: ssl.SSLContext) -> Iterator[str]:
    """Serve the hosts by https; give the URL of the proxy that leads there."""

    def respond(exchange: Exchange) -> None:
        hosts[exchange.headers["Host"].partition(":")[0]](exchange)

    with loopback(respond, context) as server, Proxy(hosts, server.server_port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy.url
        finally:
            proxy.shutdown()
            thread.join(10)


def answer(exchange: Exchange, status: int = 200, **members: Any) -> None:
    exchange.reply(status, json.dumps(members).encode(), Content_Type="application/json")


def bearer(exchange: Exchange) -> str:
    scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def claims_in(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False})) if token else {}


def query_of(exchange: Exchange) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(exchange.path).query))


def vault(entra: LocalEntra) -> Host:
    """Return a key vault that says who reads its secret."""

    def respond(exchange: Exchange) -> None:
        claims = claims_in(bearer(exchange))
        if claims.get("aud") != VAULT:
            where = f'authorization="{entra.authority}/{entra.tenant_id}", resource="{VAULT}"'
            exchange.reply(401, b"{}", WWW_Authenticate=f"Bearer {where}", Content_Type="application/json")
            return
        name = "https://your-vault.vault.azure.net/secrets/greeting/1"
        answer(exchange, value=f"Hello, {claims['oid']}", id=name, attributes={"enabled": True})

    return respond


def model(exchange: Exchange) -> None:
    """Answer as a language model that knows who asks."""
    claims = claims_in(bearer(exchange))
    if claims.get("aud") != MODELS:
        answer(exchange, 401)
        return
    answer(exchange, choices=[{"message": {"content": f"Hello, {claims['oid']}"}}])


def government(entra: LocalEntra) -> Host:
    """Return another cloud's provider, which is the local one."""

    def respond(exchange: Exchange) -> None:
        headers = {"Content-Type": exchange.headers["Content-Type"]}
        with httpx.Client(verify=entra.ssl_context(), trust_env=False) as client:
            asked = exchange.server.asked[-1]
            response = client.post(f"{entra.authority}{asked.path}", content=asked.body, headers=headers)
        exchange.reply(response.status_code, response.content, Content_Type="application/json")

    return respond


def token_giver(wanted: Mapping[str, str], secret: str, member: str, token: Callable[[], str]) -> Host:
    """Return an issuer that gives its token for the right secret and query, under the name of a member."""

    def respond(exchange: Exchange) -> None:
        if bearer(exchange) == secret and wanted.items() <= query_of(exchange).items():
            answer(exchange, 200, **{member: token()})
        else:
            answer(exchange, 401, message="no")

    return respond
