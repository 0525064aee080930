from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from pathlib import Path

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from obo_middleware.testing import LocalEntra, LocalGraph
from obo_middleware.testing import _server as server_module
from obo_middleware.testing._faults import Faults
from obo_middleware.testing._jws import KeyPool, MalformedTokenError, decode_base64url
from obo_middleware.testing._server import BackgroundServer
from tests.testing.kit import ask, bearer, client_credentials_form, exchange, graph_token, http_client


def names_of_threads(*, besides: set[threading.Thread] | None = None) -> set[str]:
    """Return the names of the threads that run, without those of servers that other tests share."""
    return {thread.name for thread in threading.enumerate() if thread not in (besides or set())}


def test_it_can_be_started_again(http: httpx.Client) -> None:
    entra, others = LocalEntra(), set(threading.enumerate())
    for _ in range(3):
        with entra, LocalGraph(entra):
            assert ask(entra, http, client_credentials_form(entra)).status_code == 200
            assert {"LocalEntra", "LocalGraph"} <= names_of_threads(besides=others)
        assert {"LocalEntra", "LocalGraph"}.isdisjoint(names_of_threads(besides=others))


def test_several_run_at_once_with_keys_of_their_own(http: httpx.Client) -> None:
    with LocalEntra() as one, LocalEntra() as other:
        assert one.authority != other.authority
        assert exchange(one, http, other.sign_in("alice")).status_code == 400
        assert exchange(other, http, other.sign_in("alice")).status_code == 200


def test_it_runs_once_at_a_time(entra: LocalEntra, graph: LocalGraph) -> None:
    for running in (entra, graph):
        with pytest.raises(RuntimeError, match="already"):
            running.start()


def test_it_can_be_stopped_twice() -> None:
    entra = LocalEntra().start()
    graph = LocalGraph(entra).start()
    for _ in range(2):
        graph.stop()
        entra.stop()


def test_it_says_when_it_does_not_run() -> None:
    entra = LocalEntra()
    graph = LocalGraph(entra)
    with pytest.raises(RuntimeError, match="not running"):
        assert entra.authority
    with pytest.raises(RuntimeError, match="not running"):
        entra.sign_in("alice")
    with pytest.raises(RuntimeError, match="not running"):
        assert graph.base_url
    with pytest.raises(RuntimeError, match="not running"):
        graph.start()
    with pytest.raises(RuntimeError, match="not running"):
        asyncio.run(graph.admit("token"))
    with pytest.raises(RuntimeError, match="tls=True"):
        assert entra.ca_pem_path


def test_a_port_can_be_chosen_and_may_be_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for tls in (False, True):
            entra = LocalEntra(port=port, tls=tls)
            with pytest.raises(OSError, match="in use"):
                entra.start()
            assert entra.ca is None
    with LocalEntra(port=port) as entra:
        assert entra.authority == f"http://127.0.0.1:{port}"


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    async def nothing(*_: object) -> None:
        """Answer nothing."""

    server = BackgroundServer(nothing, "127.0.0.1", 0, None, "never")
    with pytest.raises(RuntimeError, match="not been started"):
        assert server.connections
    server.stop()


def test_a_request_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_GRACE", 0.02)
    entered = threading.Event()

    async def stubborn(*_: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    server = BackgroundServer(stubborn, "127.0.0.1", 0, None, "stubborn")
    server.start()
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        entered.wait()
        server.stop()
        assert client.recv(1) == b""
    assert "stubborn" not in names_of_threads()


def test_a_client_that_leaves_while_it_sends_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    began, left = threading.Event(), threading.Event()

    async def reader(scope: Scope, receive: Receive, _: Send) -> None:
        began.set()
        try:
            await Request(scope, receive).body()
        except ClientDisconnect:
            left.set()
            raise

    server = BackgroundServer(reader, "127.0.0.1", 0, None, "left")
    server.start()
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        began.wait()
    left.wait()
    server.stop()
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_answers_are_not_held_back_by_nagles_algorithm(entra: LocalEntra, http: httpx.Client) -> None:
    assert entra.server._socket.proto == socket.IPPROTO_TCP


# TLS


def test_https_is_served_with_a_certificate_of_its_own() -> None:
    with LocalEntra(tls=True) as entra, LocalGraph(entra) as graph:
        assert entra.tls
        assert entra.authority.startswith("https://127.0.0.1:")
        path = Path(entra.ca_pem_path)
        assert path.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
        with http_client(entra.ssl_context()) as http:
            token = graph_token(entra, http)
            assert http.get(f"{graph.base_url}/me", headers=bearer(token)).status_code == 200
        with http_client(ssl.create_default_context(cafile=str(path))) as http:
            assert ask(entra, http, client_credentials_form(entra)).status_code == 200
    assert not path.exists()


def test_nobody_else_trusts_it() -> None:
    with LocalEntra(tls=True) as entra, http_client() as http, pytest.raises(httpx.ConnectError):
        ask(entra, http, client_credentials_form(entra))


def test_a_client_that_never_says_goodbye_does_not_hold_the_stop_up() -> None:
    others = set(threading.enumerate())
    entra = LocalEntra(tls=True).start()
    with http_client(entra.ssl_context()) as http:
        ask(entra, http, client_credentials_form(entra))
        entra.stop()
    assert "LocalEntra" not in names_of_threads(besides=others)


# Small parts


def test_a_key_is_lent_to_one_at_a_time() -> None:
    pool = KeyPool()
    one = pool.borrow()
    other = pool.borrow()
    assert one.kid != other.kid
    pool.give_back([one, other])
    assert pool.borrow() is one
    assert pool.borrow() is other


@pytest.mark.parametrize("text", ["a", "a b c d", "a+b/", "ä"])
def test_what_is_not_base64url_is_refused(text: str) -> None:
    with pytest.raises(MalformedTokenError):
        decode_base64url(text)


def test_base64url_may_be_padded() -> None:
    assert [decode_base64url(text) for text in ("YQ", "YQ==", "")] == [b"a", b"a", b""]


def test_faults_meet_their_endpoints_only() -> None:
    faults = Faults()
    faults.add(("one",), None, 1)
    assert faults.take("other") == (False, None)
    assert faults.take("one") == (True, None)
    assert faults.take("one") == (False, None)
