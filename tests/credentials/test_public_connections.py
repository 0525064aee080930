"""The guard against requests into this network: the connection goes where the check was, and nowhere else."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from credentials import _addresses
from credentials._addresses import AddressRefusedError
from credentials._drivers import BlockingDriver
from credentials._errors import TransportError
from credentials._flow import HttpRequest, HttpResponse, send
from credentials._http import native_request
from credentials._pool import ConnectionPool
from tests.credentials.helpers import Drive
from tests.credentials.servers import Exchange, Loopback, loopback

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
HOST = "keys.example"
PUBLIC, PUBLIC_6 = "20.190.151.7", "2603:1006:2000::8"
REQUEST = HttpRequest(method="GET", url=f"https://{HOST}/keys?v=2", public_only=True)


@LIBRARIES
@pytest.mark.parametrize(
    ("url", "address", "connected", "host"),
    [
        ("https://keys.example/a?b#c", PUBLIC, f"https://{PUBLIC}/a?b#c", "keys.example"),
        ("https://Keys.example:8443/a", PUBLIC, f"https://{PUBLIC}:8443/a", "Keys.example:8443"),
        ("https://keys.example/", PUBLIC_6, f"https://[{PUBLIC_6}]/", "keys.example"),
        ("https://keys.example:8443/", PUBLIC_6, f"https://[{PUBLIC_6}]:8443/", "keys.example:8443"),
        ("https://user:word@keys.example/", PUBLIC, f"https://{PUBLIC}/", "keys.example"),
    ],
)
def test_the_checked_address_stands_for_the_host(
    library: Any, url: str, address: str, connected: str, host: str
) -> None:
    native = native_request(library, HttpRequest(method="GET", url=url, address=address))
    assert str(native.url) == connected
    assert native.headers["host"] == host
    assert native.headers["connection"] == "close"
    assert native.extensions["sni_hostname"] == "keys.example"


@LIBRARIES
def test_a_server_name_of_its_own_stays(library: Any) -> None:
    request = HttpRequest(method="GET", url=REQUEST.url, address=PUBLIC, server_name="pinned.example")
    assert native_request(library, request).extensions["sni_hostname"] == "pinned.example"


Resolve = Callable[..., list[Any]]


class Names:
    """A name service that gives the next of its answers each time; this machine's stand for public addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
        self.left, self.asked = list(answers), 0
        self._real: Resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        if host not in (HOST, HOST.encode()):
            return self._real(host, port, *arguments, **options)
        self.asked += 1
        return self._real(self.left.pop(0), port, *arguments, **options)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def hello(exchange: Exchange) -> None:
    exchange.reply(200, b"hello")


@contextmanager
def showing(authority: trustme.CA, name: str) -> Iterator[Loopback]:
    """Serve https on this machine under a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with loopback(hello, context) as server:
        yield server


def ask(drive: Drive, library: Any, authority: trustme.CA, port: int) -> HttpResponse:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    pool = ConnectionPool(library=library, ssl_context=context)
    request = HttpRequest(method="GET", url=f"https://{HOST}:{port}/keys", public_only=True)
    try:
        return Drive(drive.colour, pool)(send(request))
    finally:
        pool.close()


@pytest.fixture
def this_machine_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count 127.0.0.1 as public: no other address can be reached in a test."""
    monkeypatch.setattr(_addresses, "is_public", lambda address: address == "127.0.0.1")


@pytest.mark.attack(114)
@LIBRARIES
@pytest.mark.usefixtures("this_machine_is_public")
def test_the_name_is_looked_up_once_and_no_proxy_asked(
    drive: Drive, library: Any, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, "127.0.0.1", "10.0.0.4")  # the second would be for who looks it up again (rebinding)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with showing(authority, HOST) as server:
        assert ask(drive, library, authority, server.server_port).body == b"hello"
    assert names.asked == 1
    (asked,) = server.asked
    assert (asked.path, asked.headers["host"]) == ("/keys", f"{HOST}:{server.server_port}")
    assert asked.headers["connection"] == "close"


@pytest.mark.attack(114)
@LIBRARIES
@pytest.mark.usefixtures("this_machine_is_public")
@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_the_certificate_must_be_for_the_name_and_not_for_the_address(
    drive: Drive, library: Any, authority: trustme.CA, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, "127.0.0.1")
    with showing(authority, name) as server:
        with pytest.raises(TransportError, match="not trusted: Hostname mismatch"):
            ask(drive, library, authority, server.server_port)
        assert server.asked == []


@pytest.mark.attack(114)
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::ffff:7f00:1]"],
)
def test_an_address_in_the_url_is_judged_too_however_it_is_written(drive: Drive, host: str) -> None:
    with loopback(hello) as server:
        request = HttpRequest(method="GET", url=f"http://{host}:{server.server_port}/", public_only=True)
        with pytest.raises(AddressRefusedError):
            drive(send(request))
        assert server.asked == []


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example", "x\x00.example"])
def test_a_name_that_cannot_be_found_is_a_transport_error(drive: Drive, host: str) -> None:
    with pytest.raises(TransportError):
        drive(send(HttpRequest(method="GET", url=f"https://{host}/", public_only=True)))


def test_a_name_service_that_hangs_costs_the_requests_time_and_no_more(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: hung.wait(20) and [])

    async def release() -> None:
        hung.set()

    monkeypatch.setattr(drive.pool, "aclose", release)  # the last before the loop waits for its threads
    with pytest.raises(TransportError, match=r"^Timeout$"):
        drive(send(HttpRequest(method="GET", url=REQUEST.url, public_only=True, timeout=0.02)))
    hung.set()


def test_connections_to_checked_addresses_are_not_kept(
    authority: trustme.CA, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback(hello) as server:
        request = HttpRequest(method="GET", url=f"http://{HOST}:{server.server_port}/", address="127.0.0.1")
        driver = BlockingDriver(pool)
        assert driver.run(send(request)).body == driver.run(send(request)).body == b"hello"
        assert pool.blocking_transport(request.url, PUBLIC) is not pool.blocking_transport(request.url, PUBLIC)
        assert not [origin for origin in pool._blocking if HOST in origin]
