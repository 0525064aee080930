"""One HTTP exchange in the library's terms: whose certificate is checked, how long it may take, and why it failed."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from credentials._errors import ProviderUnavailableError, TransportError
from credentials._flow import HttpRequest, HttpResponse, send
from credentials._http import native_request, why
from credentials._pool import ConnectionPool
from tests.credentials.helpers import Colour, Drive, key_pem, rsa_key
from tests.credentials.servers import Exchange, Loopback, loopback

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
ADDRESS = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
NAME = x509.DNSName("pinned.example")


@functools.cache
def shown(whose: x509.GeneralName, year: int = 2126) -> bytes:
    """Return a self-signed certificate that is valid until a year, as PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    begin, end = (datetime.datetime(y, 1, 1, tzinfo=datetime.UTC) for y in (2020, year))
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(7)
    builder = builder.public_key(rsa_key().public_key()).not_valid_before(begin).not_valid_after(end)
    builder = builder.add_extension(x509.SubjectAlternativeName([whose]), critical=False)
    return builder.sign(rsa_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def hello(exchange: Exchange) -> None:
    exchange.reply(200, b"hello")


class TlsServer:
    """A server with a certificate, and the names that clients asked it for."""

    def __init__(self, running: Loopback, names: list[str | None]) -> None:
        self.running, self.names = running, names

    def ask(self, drive: Drive, library: Any, trusted: bytes | None, **options: Any) -> HttpResponse:
        """Ask it over a pool that trusts one certificate, or none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if trusted is not None:
            context.load_verify_locations(cadata=trusted.decode())
        pool = ConnectionPool(library=library, ssl_context=context)
        try:
            return Drive(drive.colour, pool)(send(HttpRequest(method="GET", url=self.running.url, **options)))
        finally:
            pool.close()


@contextmanager
def showing(certificate: bytes, folder: Path) -> Iterator[TlsServer]:
    """Serve https with a certificate."""
    path = folder / "server.pem"
    path.write_bytes(key_pem() + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with loopback(hello, context) as running:
        yield TlsServer(running, names)


# Certificates


@LIBRARIES
@pytest.mark.parametrize(
    ("certificate", "trusted", "reason"),
    [
        (shown(ADDRESS), False, "self.signed certificate"),
        (shown(ADDRESS, 2021), True, "certificate has expired"),
        (shown(NAME), True, "IP address mismatch"),
    ],
    ids=["self-signed", "expired", "wrong host"],
)
def test_a_certificate_that_is_not_trusted_says_why(  # noqa: PLR0917  # each combination counts
    drive: Drive, library: Any, certificate: bytes, trusted: bool, reason: str, tmp_path: Path
) -> None:
    with showing(certificate, tmp_path) as server:
        with pytest.raises(TransportError, match=f"^the server's certificate is not trusted: .*{reason}"):
            server.ask(drive, library, certificate if trusted else None)
        assert server.running.asked == []


@LIBRARIES
def test_a_server_name_is_asked_for_and_its_certificate_checked(drive: Drive, library: Any, tmp_path: Path) -> None:
    with showing(shown(NAME), tmp_path) as server:
        assert server.ask(drive, library, shown(NAME), server_name="pinned.example").body == b"hello"
        assert server.names == ["pinned.example"]
        (asked,) = server.running.asked
        assert asked.headers["host"] == server.running.url.removeprefix("https://")


@LIBRARIES
def test_a_server_name_is_checked_in_place_of_the_urls_host(drive: Drive, library: Any, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(TransportError, match="not trusted: Hostname mismatch"))
        server = stack.enter_context(showing(shown(ADDRESS), tmp_path))
        server.ask(drive, library, shown(ADDRESS), server_name="pinned.example")


class Speaking:
    """A TLS server that reads each request whole and answers it beside its TLS, with bytes of the test's choice."""

    def __init__(self, data: bytes, folder: Path) -> None:
        path = folder / "server.pem"
        path.write_bytes(key_pem() + shown(ADDRESS))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(path)
        self._data = data
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.answered = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:  # the test is over
                return
            with contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        secured = self._context.wrap_socket(connection, server_side=True)
        while b"\r\n\r\n" not in secured.recv(65_536):
            continue
        with socket.socket(fileno=secured.detach()) as bare:
            self.answered += 1
            bare.sendall(self._data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(
    params=[
        b"\x17\x03\x03\x00\x20" + bytes(32),
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"",
    ],
    ids=["record", "plain text", "alert", "end"],
)
def speaking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Speaking]:
    with Speaking(request.param, tmp_path) as server:
        yield server


@LIBRARIES
def test_tls_that_breaks_after_the_handshake_is_a_transport_error(
    drive: Drive, library: Any, speaking: Speaking
) -> None:
    context = ssl.create_default_context(cadata=shown(ADDRESS).decode())
    pool = ConnectionPool(library=library, ssl_context=context)
    request = HttpRequest(method="GET", url=speaking.url)
    with pytest.raises(TransportError, match=r"^(SSLError|ReadError|RemoteProtocolError)$") as caught:
        Drive(drive.colour, pool)(send(request))
    assert type(caught.value) is TransportError
    assert speaking.answered == 1
    pool.close()


def test_a_credential_asks_again_where_tls_breaks_and_tells_it_as_any_other_failure(
    colour: Colour, speaking: Speaking
) -> None:
    context = ssl.create_default_context(cadata=shown(ADDRESS).decode())
    credential = colour.client_secret("tenant", "client", "hidden", authority=speaking.url, connection_verify=context)
    with pytest.raises(ProviderUnavailableError) as caught:
        colour.get_token(credential, "a/.default")
    assert "hidden" not in str(caught.value)
    assert speaking.answered == 4


def test_a_failure_is_named_by_its_kind_and_never_by_its_text() -> None:
    assert why(ValueError("secret text")) == "ValueError"


def test_a_certificate_error_is_found_below_other_errors() -> None:
    inner = ssl.SSLCertVerificationError("the pin differs")
    context = LookupError()
    context.__context__ = inner
    outer = ValueError()
    outer.__cause__ = context
    assert why(outer) == "the server's certificate is not trusted: no reason told"


# Requests


@LIBRARIES
@pytest.mark.parametrize(("timeout", "connect"), [(60.0, 2.0), (1.0, 1.0)])
def test_connecting_has_a_bound_of_its_own_within_that_of_all(library: Any, timeout: float, connect: float) -> None:
    request = HttpRequest(method="GET", url="http://a.example/", timeout=timeout, connect_timeout=2.0)
    timeouts = native_request(library, request).extensions["timeout"]
    assert timeouts == {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}


@LIBRARIES
def test_a_servers_name_is_told_only_where_it_differs_from_the_urls_host(library: Any) -> None:
    request = HttpRequest(method="GET", url="https://a.example/")
    assert "sni_hostname" not in native_request(library, request).extensions


@LIBRARIES
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:port/", "InvalidURL"),
        ("http://a\x00b.example/", "InvalidURL"),
        ("http://[::1/", "ValueError"),
        ("gopher://127.0.0.1/", "UnsupportedProtocol"),
        ("", "UnsupportedProtocol"),
    ],
)
def test_a_url_that_is_none_is_a_transport_error(drive: Drive, library: Any, url: str, kind: str) -> None:
    pool = ConnectionPool(library=library, ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(TransportError, match=f"^{kind}$"):
        Drive(drive.colour, pool)(send(HttpRequest(method="GET", url=url)))
    pool.close()
