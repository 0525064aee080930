"""The guard against requests into this network: which addresses are public, and which of a host's is taken."""

from __future__ import annotations

import ipaddress

import pytest

from credentials._addresses import AddressRefusedError, check_public, is_public, public_flow
from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import HttpRequest, ResolveHost, SendRequest
from tests.credentials.helpers import answer, play

HOST = "keys.example"
PUBLIC, PUBLIC_6 = "20.190.151.7", "2603:1006:2000::8"
REQUEST = HttpRequest(method="GET", url=f"https://{HOST}/keys?v=2", public_only=True)


# Which addresses are public


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        PUBLIC_6,
        "8.8.8.8",
        "192.0.1.1",
        f"::ffff:{PUBLIC}",
        f"64:ff9b::{PUBLIC}",
        "2603:1006::5efe:20.190.151.7",
    ],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


# This machine, private networks, link-local ones, those of providers (Azure's wire server, the metadata services of
# Azure, Alibaba, Oracle and Amazon), documentation, benchmarks, multicast, and what is reserved.
INSIDE = """
127.0.0.1 127.8.9.1 0.0.0.0 0.1.2.3 10.0.0.4 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 168.63.129.16
100.64.0.1 100.100.100.200 192.0.0.192 192.0.2.1 198.18.0.1 192.88.99.1 203.0.113.9 224.0.0.1 239.255.255.250
240.0.0.1 255.255.255.255 :: ::1 ::2 fe80::1 fe80::1%eth0 fec0::1 fc00::1 fd00:ec2::254 ff02::1 100::1 2001:db8::1
3fff::1 5f00::1 64:ff9b:1::8.8.8.8 2001:2::1 ::8.8.8.8 4000::1
"""


@pytest.mark.parametrize("address", ["224.0.0.1", "240.0.0.1", "192.0.0.9", "168.63.129.16", "2001:20::1", "2002::1"])
def test_what_is_special_is_not_public_whatever_python_calls_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    monkeypatch.setattr(ipaddress.IPv6Address, "is_global", True)
    assert is_public("8.8.8.8")
    assert not is_public(address)


@pytest.mark.attack(114)
@pytest.mark.parametrize("address", INSIDE.split())
def test_an_address_of_this_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.attack(114)
@pytest.mark.parametrize(
    "form",
    [
        *("::ffff:{0}", "::ffff:0:{0}", "::{0}", "64:ff9b::{0}", "64:ff9b:1::{0}"),
        *("2603:1006::5efe:{0}", "2603:1006::200:5efe:{0}"),
    ],
)
@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "10.0.0.4", "100.64.0.1"])
def test_a_private_address_within_another_is_not_public(form: str, inner: str) -> None:
    assert not is_public(form.format(inner))


@pytest.mark.attack(114)
@pytest.mark.parametrize("address", ["2002:7f00:1::", "2002:808:808::1", "2001:0:808:808::1", "2001::f5ff:fffb"])
def test_tunnels_whose_other_end_is_anywhere_are_not_public(address: str) -> None:  # 6to4 and Teredo
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "keys.example", "1.2.3", "0x7f.0.0.1", "20.190.151.007", f"[{PUBLIC_6}]"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


# Which of a host's addresses is taken


@pytest.mark.attack(114)
@pytest.mark.parametrize("found", [["10.0.0.4"], [PUBLIC, "10.0.0.4"], [PUBLIC, PUBLIC_6, "::1"], ["fe80::1", PUBLIC]])
def test_one_private_address_among_others_refuses_the_host(found: list[str]) -> None:
    with pytest.raises(AddressRefusedError, match=r"^keys\.example has the address .+, which is not a public one$"):
        check_public(HOST, found)


def test_the_first_address_of_each_family_is_taken() -> None:
    assert check_public(HOST, ["8.8.8.8", "8.8.4.4", PUBLIC_6, "2603::1"]) == ["8.8.8.8", PUBLIC_6]
    assert check_public(HOST, [PUBLIC_6, "2603::1", PUBLIC]) == [PUBLIC_6, PUBLIC]
    assert check_public(HOST, [PUBLIC]) == [PUBLIC]


def sent(effect: object) -> HttpRequest:
    assert isinstance(effect, SendRequest)
    return effect.request


def test_the_request_goes_to_the_address_that_was_found() -> None:
    played = play(public_flow(REQUEST), (PUBLIC,), answer())
    assert played.effects[0] == ResolveHost(HOST, REQUEST.timeout)
    (request,) = map(sent, played.effects[1:])
    assert (request.address, request.url) == (PUBLIC, REQUEST.url)
    assert 0 < request.timeout <= REQUEST.timeout


def test_the_other_family_is_tried_where_the_first_does_not_answer() -> None:
    played = play(public_flow(REQUEST), (PUBLIC_6, PUBLIC), TransportError("ConnectError"), answer(word="hello"))
    first, second = map(sent, played.effects[1:])
    assert (first.address, second.address) == (PUBLIC_6, PUBLIC)
    assert first.timeout <= REQUEST.timeout / 2
    assert second.timeout <= REQUEST.timeout
    assert played.result.status == 200


@pytest.mark.parametrize("error", [AnswerTooLargeError("the answer is too large")])
def test_an_answer_that_is_too_large_is_not_asked_for_again(error: TransportError) -> None:
    assert play(public_flow(REQUEST), (PUBLIC_6, PUBLIC), error).error is error


def test_the_last_failure_comes_through() -> None:
    error = TransportError("ConnectError")
    assert play(public_flow(REQUEST), (PUBLIC,), error).error is error


@pytest.mark.attack(114)
def test_a_refused_host_is_sent_nothing() -> None:
    played = play(public_flow(REQUEST), (PUBLIC, "169.254.169.254"))
    assert played.effects == [ResolveHost(HOST, REQUEST.timeout)]
    assert isinstance(played.error, AddressRefusedError)


@pytest.mark.parametrize(
    ("found", "problem"),
    [((), "the host has no address"), (TimeoutError(), "Timeout"), (TransportError("gaierror"), "gaierror")],
    ids=["none", "late", "not found"],
)
def test_a_host_without_addresses_is_sent_nothing(found: object, problem: str) -> None:
    played = play(public_flow(REQUEST), found)
    assert len(played.effects) == 1
    assert type(played.error) is TransportError
    assert str(played.error) == problem


@pytest.mark.parametrize("url", ["https://[::1/", "https:///keys", "keys", ""])
def test_a_url_without_a_host_is_sent_nothing(url: str) -> None:
    played = play(public_flow(HttpRequest(method="GET", url=url, public_only=True)))
    assert played.effects == []
    assert type(played.error) is TransportError


def test_the_time_for_finding_the_address_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, REQUEST.timeout])
    monkeypatch.setattr("credentials._addresses.time.monotonic", lambda: next(times))
    played = play(public_flow(REQUEST), (PUBLIC,))
    assert len(played.effects) == 1
    assert str(played.error) == "Timeout"
