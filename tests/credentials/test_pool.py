from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from credentials._drivers import AsyncDriver, BlockingDriver
from credentials._flow import HttpRequest, send
from credentials._pool import ConnectionPool, bare_pool, is_loopback, proxy_for
from tests.credentials.servers import Exchange, loopback

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def hello(exchange: Exchange) -> None:
    exchange.reply(200, b"hello")


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_either_library_serves_both_colours(library: Any) -> None:
    pool = ConnectionPool(library=library, ssl_context=NOBODY)

    async def main(request: HttpRequest) -> bytes:
        response = await AsyncDriver(pool).run(send(request))
        await pool.aclose()
        return response.body

    with loopback(hello) as server:
        request = HttpRequest(method="GET", url=server.url)
        assert BlockingDriver(pool).run(send(request)).body == b"hello"
        assert asyncio.run(main(request)) == b"hello"
    pool.close()


def test_a_transport_is_made_once_for_each_origin() -> None:
    pool = ConnectionPool(ssl_context=NOBODY)
    urls = ("https://a.example/one", "https://a.example/two?x", "https://a.example:444/", "https://b.example/")

    async def awaitable() -> list[Any]:
        return [pool.async_transport(url) for url in urls]

    for one, same, port, host in ([pool.blocking_transport(url) for url in urls], asyncio.run(awaitable())):
        assert one is same
        assert len({id(transport) for transport in (one, port, host)}) == 3


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_pools_share_what_trusts_certifis_authorities_and_not_what_trusts_a_file(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (ConnectionPool(library=library)._ssl_context for _ in range(2))
    assert one is two
    file = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for authority in (trustme.CA(), trustme.CA()):
        authority.cert_pem.write_to_path(str(file))
        own = ConnectionPool(library=library)._ssl_context
        (trusted,) = own.get_ca_certs(binary_form=True)
        assert ssl.DER_cert_to_PEM_cert(trusted).encode() == authority.cert_pem.bytes()


def test_each_event_loop_has_a_transport_of_its_own_which_goes_with_it() -> None:
    pool = ConnectionPool(ssl_context=NOBODY)

    async def transport() -> Any:
        return pool.async_transport("https://a.example/")

    assert asyncio.run(transport()) is not asyncio.run(transport())

    async def known() -> int:
        pool.async_transport("https://a.example/")
        return len(pool._async)

    assert asyncio.run(known()) == 1


def test_a_closed_pool_opens_new_connections() -> None:
    pool = ConnectionPool(ssl_context=NOBODY)

    async def transports() -> list[Any]:
        first = pool.async_transport("https://a.example/")
        await pool.aclose()
        await pool.aclose()
        return [first, pool.async_transport("https://a.example/")]

    first = pool.blocking_transport("https://a.example/")
    pool.close()
    pool.close()
    assert pool.blocking_transport("https://a.example/") is not first
    one, other = asyncio.run(transports())
    assert one is not other


def test_an_untrusted_certificate_is_refused_by_default() -> None:
    assert ConnectionPool()._ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert ConnectionPool()._ssl_context.check_hostname


# Proxies


def test_a_request_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ConnectionPool(ssl_context=NOBODY)

    async def main(request: HttpRequest) -> int:
        response = await AsyncDriver(pool).run(send(request))
        await pool.aclose()
        return response.status

    with loopback(hello) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        request = HttpRequest(method="GET", url="http://provider.example/x")
        assert BlockingDriver(pool).run(send(request)).status == 200
        assert asyncio.run(main(request)) == 200
        pool.close()
    assert [asked.path for asked in proxy.asked] == ["http://provider.example/x"] * 2


def test_loopback_addresses_never_go_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:1")
    monkeypatch.setenv("https_proxy", "http://proxy.example:1")
    for url in ("http://127.0.0.1:8/x", "http://localhost/", "https://[::1]:9/"):
        assert proxy_for(url) is None


def test_the_proxy_is_chosen_by_scheme_and_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://login.example/") is None
    monkeypatch.setenv("all_proxy", "socks5://all.example:1")
    assert proxy_for("https://login.example/") == "socks5://all.example:1"
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert proxy_for("https://login.example/") == "http://proxy.example:3128"
    monkeypatch.setenv("no_proxy", "login.example")
    assert proxy_for("https://login.example/") is None
    assert proxy_for("https://other.example/") == "http://proxy.example:3128"


class Library(ModuleType):
    """An HTTP library that only notes the proxies of its transports."""

    def __init__(self) -> None:
        super().__init__("library")
        self.proxies: list[str | None] = []
        self.Limits, self.Proxy = dict, str
        self.HTTPTransport = self.AsyncHTTPTransport = lambda proxy, **options: self.proxies.append(proxy)


@pytest.mark.peer_defect(26)
@pytest.mark.parametrize(("direct", "proxy"), [(True, None), (False, "http://proxy.example:1")])
def test_a_direct_pool_ignores_the_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, direct: bool, proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:1")
    library = Library()
    pool = ConnectionPool(library=library, ssl_context=NOBODY, direct=direct)

    async def awaitable() -> None:
        pool.async_transport("http://169.254.169.254/")

    pool.blocking_transport("http://169.254.169.254/")
    pool.blocking_transport("https://10.0.0.4:2377/")
    asyncio.run(awaitable())
    assert library.proxies == [proxy] * 3


def test_a_bare_pool_trusts_nobody_and_reads_no_store_of_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_arguments: object, **_options: object) -> ssl.SSLContext:
        raise AssertionError("a store of authorities is read")

    monkeypatch.setattr(httpx, "create_ssl_context", read)
    monkeypatch.setattr(ssl, "create_default_context", read)
    pool = bare_pool()
    assert pool._direct
    assert pool._ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert pool._ssl_context.check_hostname
    assert pool._ssl_context.get_ca_certs() == []


def test_a_bare_pool_serves_plain_http() -> None:
    pool = bare_pool()
    with loopback(hello) as server:
        assert BlockingDriver(pool).run(send(HttpRequest(method="GET", url=server.url))).body == b"hello"
        pool.close()


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1", "127.255.0.9"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.example", "127.0.0.1.example", "127.1", "127.0.0.256", "127.0.0.x", "127.0.0.\u0661", "10.0.0.1"],
)
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
