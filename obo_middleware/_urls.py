"""URLs and problems of settings: what a plain URL is, and the one form in which a wrong value is told."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from credentials.kernel import is_loopback
from obo_middleware.errors import ConfigurationError

# The quote and the backslash too would be trouble where a URL stands in a header (RFC 6750 section 3).
_PLAIN = re.compile(r"[!#-\[\]-~]+")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# RFC 1122 section 3.2.1.3: an address of "this network" reaches this host too, where a system lets it be used.
_HERE = tuple(map(ipaddress.IPv4Network, ("127.0.0.0/8", "0.0.0.0/8")))
# Addresses of IPv4 in those of IPv6: the old form, in which ``::1`` and ``::`` lie, mapped ones, and those of NAT64.
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96")))


def wrong(name: str, problem: str, fix: str) -> ConfigurationError:
    """Return the error for a setting: which one, what is wrong with it, and what to do."""
    return ConfigurationError(f"{name} {problem}: {fix}.")


def checked_url(name: str, url: object, *, fix: str) -> urllib.parse.SplitResult:
    """Return the parts of an absolute https URL, or of an http one to a loopback address, with nothing but a path.

    Raises :class:`ConfigurationError` that names the setting for anything else.
    """
    if not isinstance(url, str) or not _PLAIN.fullmatch(url):
        raise wrong(name, f"{url!r} is not a URL", fix)
    try:
        parts = urllib.parse.urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise wrong(name, f"{url!r} is not a URL", fix) from error
    if not host or "?" in url or "#" in url or "@" in parts.netloc:
        raise wrong(name, f"{url!r} is not a plain absolute URL", fix)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise wrong(name, f"{url!r} would send tokens unencrypted", fix)
    return parts


def is_here(host: str) -> bool:
    """Tell whether a host may mean this machine, in any spelling that some resolver takes for it.

    Wider than ``is_loopback``, and for refusing only: what may be here need not be.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    address = _ipv6(name) if ":" in name else _ipv4(name)
    return address is not None and any(address in network for network in _HERE)


def _ipv6(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address of IPv6, or the one of IPv4 that is embedded in it; None if it is malformed."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    embeds = any(address in network for network in _EMBEDDING)
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF) if embeds else address


def _ipv4(text: str) -> ipaddress.IPv4Address | None:
    """Return an address as ``inet_aton`` reads it, in up to four numbers of any base; None for a name."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        *first, last = map(_number, parts)
        return ipaddress.IPv4Address(bytes(first) + last.to_bytes(4 - len(first), "big"))
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)
