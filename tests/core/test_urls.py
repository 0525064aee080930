from __future__ import annotations

import pytest

from credentials.kernel import is_loopback
from obo_middleware._urls import is_here

pytestmark = pytest.mark.attack(196)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost."),
        *("127.0.0.1", "127.0.0.1.", "127.255.255.255", "127.1", "127.0.1", "2130706433", "0x7f000001", "017700000001"),
        *("0x7f.0.0.1", "0177.1", "0X7F.1", "127.0.0.01", "127.0x", "127.65536"),
        *("0.0.0.0", "0", "00", "0x", "0x0", "0.1", "0.255.0.1"),  # noqa: S104  # nothing is bound to it
        *("::1", "::", "0:0:0:0:0:0:0:1", "::1%lo", "::127.0.0.1", "::ffff:127.0.0.1", "::FFFF:7f00:1"),
        *("::ffff:0.0.0.0", "64:ff9b::127.0.0.1"),
    ],
)
def test_a_host_that_some_resolver_takes_for_this_machine_may_be_here(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "idp.example", "localhost.example", "localhosts", "xlocalhost", "127.0.0.1.example", "127.example"),
        *("10.0.0.1", "128.0.0.1", "1.127", "126.255.255.255", "1.0.0.127", "2147483648", "0x80000000", "0200.1"),
        *("127.0.0.256", "127.256.1", "127.16777216", "127.0.0.0.1", "127..1", "127.08", "127.0x7g", "0b1"),
        *("127.-1", "127.+1", "127.1_0", "127.\u0661", "9" * 5_000, "0x" + "f" * 99, "1" + "0" * 40),
        *("2001:db8::1", "2001:db8::7f00:1", "::2:127.0.0.1", "::ffff:10.0.0.1", "fe80::1", "1::", ":1", "::1::"),
    ],
    ids=lambda host: host[:20],
)
def test_any_other_host_is_elsewhere(host: str) -> None:
    assert not is_here(host)


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1", "127.255.0.9"])
def test_what_http_is_permitted_to_may_be_here(host: str) -> None:
    assert is_loopback(host)
    assert is_here(host)


@pytest.mark.parametrize("host", ["127.1", "localhost.", "a.localhost", "0", "::ffff:127.0.0.1", "2130706433"])
def test_no_other_spelling_permits_http(host: str) -> None:
    assert not is_loopback(host)
