"""Requests that may go to public addresses only: a guard against names that lead into the network where this runs.

Facts: IANA's registries of special-purpose addresses (RFC 6890, RFC 8190), RFC 4291 section 2.5.5, RFC 6052
section 2.1.

Rules of this file:

1. All addresses of a name count. One that is not public refuses the name, whichever would have been chosen.
2. The connection goes to an address that was checked. The name is not looked up again, so that a second, different
   answer (DNS rebinding) changes nothing; it still decides whose certificate the server must show.
3. Pure, but for the flow: the drivers look names up and send.
"""

from __future__ import annotations

import ipaddress
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace

from credentials._errors import AnswerTooLargeError, TransportError
from credentials._flow import Flow, HttpRequest, HttpResponse, resolve, send

# What some versions of Python call global, or what only looks so: IANA's protocol assignments and the metadata service
# of Oracle's cloud among them, the relays of 6to4, and the wire server that every machine in Azure trusts.
_SPECIAL = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2002::/16", "3fff::/20")))
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
"""Prefixes that an IPv4 address follows: mapped ones, and those of NAT64, by which networks with IPv6 only reach it."""
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214 section 6.1


class AddressRefusedError(TransportError):
    """Say that nothing was sent, because the host has an address that is not public; the text names both."""


def public_flow(request: HttpRequest) -> Flow[HttpResponse]:
    """Send a request to a public address of its host, or to one of the other family if the first does not answer.

    The request's timeout covers all of it. Raises :class:`AddressRefusedError`, with nothing sent, if any address of
    the host is not public, and :class:`TransportError` if there is no answer.
    """
    until = time.monotonic() + request.timeout
    host = _host_of(request.url)
    try:
        found = yield from resolve(host, timeout=request.timeout)
    except TimeoutError as error:
        raise TransportError("Timeout") from error
    *others, last = check_public(host, found)
    for address in others:
        try:
            return (yield from send(_at(request, address, (until - time.monotonic()) / 2)))
        except AnswerTooLargeError:
            raise
        except TransportError:
            continue
    return (yield from send(_at(request, last, until - time.monotonic())))


def check_public(host: str, addresses: Sequence[str]) -> list[str]:
    """Return the first address of each family; raises :class:`AddressRefusedError` if any of them is not public."""
    if not addresses:
        raise TransportError("the host has no address")
    for address in addresses:
        if not is_public(address):
            raise AddressRefusedError(f"{host} has the address {address}, which is not a public one")
    first_of_each = {":" in address: address for address in reversed(addresses)}
    return sorted(first_of_each.values(), key=addresses.index)


def is_public(text: str) -> bool:
    """Tell whether an address is a host's on the public internet, also where one of IPv4 is embedded in it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_4(address)
    embedded = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in network for network in _EMBEDDING):
        return _is_public_4(embedded)
    if address not in _GLOBAL_UNICAST or any(address in network for network in _SPECIAL_6):
        return False
    tunnelled = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    return address.is_global and not (tunnelled and not _is_public_4(embedded))


def _is_public_4(address: ipaddress.IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in _SPECIAL)
    return address.is_global and not special


def _at(request: HttpRequest, address: str, seconds: float) -> HttpRequest:
    if seconds <= 0:
        raise TransportError("Timeout")
    return replace(request, address=address, timeout=seconds)


def _host_of(url: str) -> str:
    try:
        host = urllib.parse.urlsplit(url).hostname
    except ValueError as error:
        raise TransportError("InvalidURL") from error
    if not host:
        raise TransportError("InvalidURL")
    return host
