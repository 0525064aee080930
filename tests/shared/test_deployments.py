"""All the places where a store can be: a cluster, behind Sentinels, TLS, a user of its own, a socket of Unix."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.shared.apps import COLOURS, LEAVING_CONNECTIONS, SCOPE, App, Workers
from tests.shared.deployments import Cluster, cluster, watched
from tests.shared.proxy import Proxy
from tests.shared.servers import REDIS, Product, Server, eventually

pytestmark = LEAVING_CONNECTIONS

ACL = ["+get", "+set", "+del", "+eval", "+pttl", "+exists", "+sadd", "+srem", "+scard", "+smembers", "+pexpire"]
ACL += [
    "+publish",
    "+subscribe",
    "+ping",
    "+zadd",
    "+zrangebyscore",
    "+zremrangebyscore",
    "+expire",
    "+scan",
    "+unlink",
]
"""What docs and messages may tell people to allow."""


def check_that_workers_share(working: Workers, url: str, **options: object) -> list[App]:
    """Check that two workers of different colours share tokens at that address, and that one hears the other."""
    users = [working.newcomer() for _ in range(4)]
    wants = [(working.sign_in(user), SCOPE) for user in users]
    before = working.exchanges
    first, second = apps = [working.start(url, colour, **options).listens() for colour in COLOURS]
    assert [app.store.check() for app in apps] == ["", ""]
    got = first.tokens(wants)
    first.store._outbox.end()
    assert second.tokens(wants) == got
    assert working.exchanges == before + 4
    second.forget(users[0])
    eventually(lambda: len(first.runtime.engine) == 3)
    second.forget()
    eventually(lambda: len(first.runtime.engine) == 0)
    first.tokens(wants)
    assert working.exchanges == before + 8
    assert [app.store.statistics.failures for app in apps] == [0, 0]
    return apps


# A cluster


@pytest.fixture(scope="module")
def three(product: Product) -> Iterator[Cluster]:
    with cluster(product) as running:
        yield running


def test_workers_share_a_cluster(working: Workers, three: Cluster) -> None:
    check_that_workers_share(working, three.url)
    wants = [(working.sign_in(), SCOPE) for _ in range(20)]
    working.start(three.url, "async").tokens(wants)
    eventually(lambda: len(three.every_key("*:e:*")) >= 20)
    assert all(node.every_key("*:e:*") for node in three.nodes)


# Sentinels


def test_workers_share_a_master_that_fails_over_and_lose_nothing_but_time(working: Workers, product: Product) -> None:
    with watched(product) as service:
        apps = check_that_workers_share(working, service.url)
        service.fail_over()
        wants = [(working.sign_in(), SCOPE) for _ in range(4)]
        first, second = [[working.whose(token) for token in app.tokens(wants)] for app in apps]
        assert first == second
        eventually(lambda: all(app.store.statistics.listening for app in apps))
        check_that_workers_share(working, service.url)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def encrypted(server: Server, authority: trustme.CA) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Proxy(server.address, context) as proxy:
        yield proxy


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_workers_share_a_store_behind_tls(working: Workers, encrypted: Proxy, ca: str) -> None:
    check_that_workers_share(working, f"rediss://127.0.0.1:{encrypted.port}", ssl_ca_certs=ca)


def test_the_address_may_say_whom_to_trust(working: Workers, encrypted: Proxy, ca: str, colour: str) -> None:
    app = working.start(f"rediss://127.0.0.1:{encrypted.port}?ssl_ca_certs={ca}", colour).listens()
    assert working.whose(app.token(working.sign_in("alice"))) == "alice"
    assert app.store.statistics.failures == 0


@pytest.mark.parametrize("colour", COLOURS)
def test_a_store_that_cannot_prove_who_it_is_gets_nothing(
    working: Workers, server: Server, encrypted: Proxy, ca: str, colour: str
) -> None:
    for place in ("127.0.0.1:{}", f"localhost:{{}}?ssl_ca_certs={ca}"):  # an unknown authority, another name
        app = working.start(f"rediss://{place.format(encrypted.port)}", colour)
        assert working.whose(app.token(working.sign_in("alice"))) == "alice"
        assert (app.store.statistics.failures > 0, server.every_key()) == (True, [])


# A user of its own, and a socket


def test_a_user_of_the_store_needs_its_own_keys_and_channel_only(working: Workers, own_server: Server) -> None:
    rules = ["on", ">secret%", "~obo:*", "resetchannels", "&obo:news", "-@all", *ACL]
    own_server.ask("ACL", "SETUSER", "app", *rules)
    check_that_workers_share(working, f"redis://app:secret%25@127.0.0.1:{own_server.port}")


def test_workers_share_a_store_with_a_password(working: Workers, product: Product) -> None:
    with Server(product, requirepass="secret") as protected:
        check_that_workers_share(working, f"redis://:secret@127.0.0.1:{protected.port}/3")
        assert protected.ask("DBSIZE") == 0


def test_workers_share_a_store_behind_a_socket(working: Workers, server: Server) -> None:
    check_that_workers_share(working, f"unix://{server.socket}")


# The servers themselves


def test_without_a_server_the_tests_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.shared.servers import NoServerError, program_of

    monkeypatch.setenv("PATH", "")
    nowhere = REDIS._replace(package="no_such_package", given=None)
    with pytest.raises(
        NoServerError, match=r"pip install no_such_package, or name the path .* in OBO_TEST_REDIS_SERVER"
    ):
        program_of(nowhere)
    assert program_of(nowhere._replace(given="/given")) == "/given"
