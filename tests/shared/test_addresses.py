"""Addresses of stores: which ones there are, and what is said of any other."""

from __future__ import annotations

from typing import Any

import pytest

from obo_middleware import ConfigurationError
from obo_middleware._redis_clients import Address, all_of, awaitable_client, blocking_client

TLS = {"ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "service", "options"),
    [
        ("redis://h:1/2", "one", (), "", {}),
        ("redis://user:pass@h", "one", (), "", {}),
        ("rediss://h", "one", (), "", TLS),
        ("unix:///run/redis.sock?db=1", "one", (), "", {}),
        ("redis+sentinel://a,b:1/main", "sentinel", (("a", 26_379), ("b", 1)), "main", {}),
        (
            "redis+sentinel://u:p%40q@a/main/3",
            "sentinel",
            (("a", 26_379),),
            "main",
            {"username": "u", "password": "p@q", "db": 3},
        ),
        ("rediss+sentinel://:p@a/main", "sentinel", (("a", 26_379),), "main", {"ssl": True, "password": "p"} | TLS),
        ("redis+cluster://a:1,b", "cluster", (("a", 1), ("b", 6_379)), "", {}),
        ("rediss+cluster://u@[::1]:7", "cluster", (("::1", 7),), "", {"ssl": True, "username": "u"} | TLS),
    ],
)
def test_an_address_is(url: str, kind: str, hosts: tuple[Any, ...], service: str, options: dict[str, Any]) -> None:
    address = Address.parse(url)
    assert (address.kind, address.hosts, address.service, address.options) == (kind, hosts, service, options)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://h", "memcached://h", "redis:h", None, 7])
def test_what_is_no_address_is_refused_with_the_forms_there_are(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no address of Redis or Valkey: write redis://host:6379/0"):
        Address.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:port",
        "redis://h:99999",
        "REDIS://h",
        "unix://",
        "redis+sentinel://",
        "redis+sentinel://a",
        "redis+sentinel://a/main/x",
        "redis+sentinel://a,/main",
        "redis+cluster://a:x",
        "redis+cluster://",
        "redis://h?max_connections=many",
    ],
)
def test_a_malformed_address_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(ConfigurationError, match="has no hosts, or a malformed one: write redis://host"):
        Address.parse(url)


@pytest.mark.parametrize("name", ["socket_timeout", "socket_connect_timeout", "protocol", "decode_responses"])
def test_an_address_does_not_change_what_the_store_stands_on(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sets {name}: leave that out"):
        Address.parse(f"redis://h?{name}=1")


def test_no_password_is_shown() -> None:
    for url in ("redis://u:hidden@h", "redis+sentinel://u:hidden@a/main"):
        assert "hidden" not in repr(Address.parse(url))
        with pytest.raises(ConfigurationError) as caught:
            Address.parse(url.replace("//", "//x:y@[", 1))
        assert "hidden" not in str(caught.value)


def test_clients_wait_as_long_as_they_are_told_and_try_once() -> None:
    options = {"socket_timeout": 99, "protocol": 3, "decode_responses": True, "client_name": "mine"}
    address = Address.parse("redis://h")
    for client, timeout in ((blocking_client(address, options, 0.5), 0.5), (awaitable_client(address, options), None)):
        given = client.connection_pool.connection_kwargs
        assert (given["socket_timeout"], given["socket_connect_timeout"]) == (timeout, timeout)
        assert (given["protocol"], given["decode_responses"], given["client_name"]) == (2, False, "mine")
        assert given["retry"]._retries == 0
        assert all_of(client) == (client,)


def test_the_names_of_hosts_are_checked_but_where_the_address_says_otherwise() -> None:
    def given(url: str) -> Any:
        return blocking_client(Address.parse(url), {}, 1).connection_pool.connection_kwargs["ssl_check_hostname"]

    assert given("rediss://h") is True
    assert given("rediss://h?ssl_check_hostname=false") is False


def test_sentinels_are_connected_to_as_the_store_is_and_have_a_password_of_their_own() -> None:
    options = {"ssl_ca_certs": "ca.pem", "sentinel_kwargs": {"password": "other"}}
    client = blocking_client(Address.parse("rediss+sentinel://u:p@a,b/main"), options, 0.5)
    _, first, second = all_of(client)
    given = first.connection_pool.connection_kwargs
    assert (given["password"], given.get("username"), given["socket_timeout"]) == ("other", None, 0.5)
    assert (given["ssl_ca_certs"], given["ssl_check_hostname"]) == ("ca.pem", True)
    assert second.connection_pool.connection_kwargs["host"] == "b"
    assert client.connection_pool.connection_kwargs["password"] == "p"
