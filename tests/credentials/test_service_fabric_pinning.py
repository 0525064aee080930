"""ServiceFabric's TLS: one certificate is let in, and nobody else gets a single byte of a request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from types import ModuleType

import httpx
import httpx2
import pytest

from credentials import AuthenticationError, CredentialUnavailableError
from credentials._drivers import BlockingDriver
from credentials._errors import TransportError
from credentials._flow import HttpRequest, send
from credentials._pool import ConnectionPool, bare_pool
from credentials._service_fabric import ServiceFabric, digest_of, pinned_context
from credentials._types import AccessTokenInfo
from tests.credentials.fabric_node import NODE, SECRET_HEADER, Node, flipped, node, server_context, thumbprint, wanted
from tests.credentials.helpers import Colour, Drive
from tests.credentials.identities import credential_of, forget_azure, set_variables
from tests.credentials.servers import closed_port

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
LIBRARIES = [httpx, httpx2]
MISMATCH = "does not have the thumbprint"

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
both_libraries = pytest.mark.parametrize("library", LIBRARIES, ids=["httpx", "httpx2"])


def token(server: Node, colour: Colour, digits: str, library: ModuleType = httpx) -> AccessTokenInfo:
    """Ask the node for a token, and hang up."""
    source = ServiceFabric(server.url, SECRET_HEADER, digits)
    source.pool = ConnectionPool(library=library, ssl_context=pinned_context(digest_of(digits)), direct=True)
    try:
        return Drive(colour.name, source.pool)(source.token_flow(wanted()))
    finally:
        source.pool.close()


@both_versions
@both_libraries
def test_the_pinned_certificate_is_let_in(
    tmp_path: Path, colour: Colour, library: ModuleType, version: ssl.TLSVersion
) -> None:
    with node(server_context(tmp_path, version=version)) as server:
        assert token(server, colour, thumbprint(), library).token == "fabric-token"
    assert server.received.startswith(b"GET /metadata/identity/oauth2/token?api-version=2019-07-01-preview&resource=")
    assert SECRET_HEADER.encode() in server.received


@pytest.mark.peer_defect(5)
@both_versions
@both_libraries
@pytest.mark.parametrize("position", [0, 39])
def test_a_thumbprint_that_is_off_by_one_bit_sends_nothing(
    tmp_path: Path, colour: Colour, library: ModuleType, version: ssl.TLSVersion, position: int
) -> None:
    context = server_context(tmp_path, version=version)
    with node(context) as server, pytest.raises(AuthenticationError, match=MISMATCH):
        token(server, colour, flipped(thumbprint(), position), library)
    assert server.received == b""
    assert server.connections == 1


def test_the_secret_goes_over_pinned_connections_whichever_the_driver_has(tmp_path: Path) -> None:
    driver = BlockingDriver(bare_pool())
    with node(server_context(tmp_path)) as server:
        right, wrong = (ServiceFabric(server.url, SECRET_HEADER, d) for d in (thumbprint(), flipped(thumbprint(), 7)))
        with pytest.raises(AuthenticationError, match=MISMATCH):
            driver.run(wrong.token_flow(wanted()))
        assert driver.run(right.token_flow(wanted())).token == "fabric-token"
        right.pool.close()


def test_the_public_credential_gets_its_token_so(
    tmp_path: Path, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_azure(monkeypatch)
    with node(server_context(tmp_path)) as server:
        set_variables(monkeypatch, IDENTITY_ENDPOINT=server.url, IDENTITY_HEADER=SECRET_HEADER)
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", thumbprint().upper())
        assert colour.get_token(credential_of(colour), "https://vault.azure.net/.default").token == "fabric-token"
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", flipped(thumbprint(), 11))
        before = server.received
        with pytest.raises(AuthenticationError, match=MISMATCH):
            colour.get_token(credential_of(colour), "https://vault.azure.net/.default")
    assert server.received == before


def test_another_certificate_is_refused(tmp_path: Path, colour: Colour) -> None:
    with node(server_context(tmp_path, ("evil",))) as server, pytest.raises(AuthenticationError, match=MISMATCH):
        token(server, colour, thumbprint())
    assert server.received == b""


def test_the_pinned_certificate_behind_another_leaf_is_refused(tmp_path: Path, colour: Colour) -> None:
    with node(server_context(tmp_path, ("evil", NODE))) as server, pytest.raises(AuthenticationError, match=MISMATCH):
        token(server, colour, thumbprint())
    assert server.received == b""


@pytest.mark.peer_defect(5)
def test_a_malformed_thumbprint_opens_no_connection(tmp_path: Path, colour: Colour) -> None:
    context = server_context(tmp_path)
    with node(context) as server, pytest.raises(CredentialUnavailableError, match="IDENTITY_SERVER_THUMBPRINT"):
        token(server, colour, thumbprint()[:-1])
    assert server.connections == 0


def test_the_empty_digest_lets_nobody_in(tmp_path: Path, colour: Colour) -> None:
    pool = ConnectionPool(ssl_context=pinned_context(b""), direct=True)
    with node(server_context(tmp_path)) as server, pytest.raises(TransportError, match="thumbprint"):
        Drive(colour.name, pool)(send(HttpRequest(method="GET", url=server.url)))
    assert server.received == b""


def test_a_node_that_is_not_there_is_no_mismatch(colour: Colour) -> None:
    with closed_port() as url:
        source = ServiceFabric(url.replace("http:", "https:"), SECRET_HEADER, thumbprint())
        with pytest.raises(CredentialUnavailableError, match="ConnectError"):
            Drive(colour.name, source.pool)(source.token_flow(wanted()))
        source.pool.close()


def test_no_proxy_sees_the_connection(tmp_path: Path, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    with node(server_context(tmp_path)) as server, closed_port() as proxy:
        for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy)
        # Not a name that the pool would keep from a proxy anyway.
        source = ServiceFabric(server.url.replace("127.0.0.1", "0x7f.1"), SECRET_HEADER, thumbprint())
        assert Drive(colour.name, source.pool)(source.token_flow(wanted())).token == "fabric-token"
        source.pool.close()


# The handshake itself


@pytest.mark.parametrize("position", range(40))
def test_every_digit_of_the_thumbprint_counts(tmp_path: Path, position: int) -> None:
    server = server_context(tmp_path)
    _shake_hands(pinned_context(digest_of(thumbprint())), server)
    with pytest.raises(ssl.SSLCertVerificationError, match="thumbprint"):
        _shake_hands(pinned_context(digest_of(flipped(thumbprint(), position))), server)


def _shake_hands(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    """Make a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@both_versions
def test_a_resumed_session_is_compared_again(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = pinned_context(digest_of(thumbprint()))
    with node(server_context(tmp_path, version=version)) as server:
        with _connected(context, server, None) as first:
            first.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert first.recv(65_536)
            session = first.session
        with _connected(context, server, session) as second:
            assert second.session_reused
        before = server.received
        context.digest = digest_of(flipped(thumbprint(), 0))  # type: ignore[attr-defined]  # as no caller would
        with pytest.raises(ssl.SSLCertVerificationError, match="thumbprint"):
            _connected(context, server, session)
    assert server.received == before


def _connected(context: ssl.SSLContext, server: Node, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port))
    return context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)


@both_versions
def test_asyncios_own_tls_is_pinned_too(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async def main(server: Node, digits: str) -> None:
        context = pinned_context(digest_of(digits))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.close()
        await writer.wait_closed()

    with node(server_context(tmp_path, version=version)) as server:
        asyncio.run(main(server, thumbprint()))
        with pytest.raises(ssl.SSLCertVerificationError, match="thumbprint"):
            asyncio.run(main(server, flipped(thumbprint(), 20)))
    assert server.received == b""


def test_old_versions_of_tls_and_renegotiation_are_not_spoken() -> None:
    context = pinned_context(b"")
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
