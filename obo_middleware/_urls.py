"""URLs and problems of settings: what a plain URL is, and the one form in which a wrong value is told."""

from __future__ import annotations

import re
import urllib.parse

from credentials.kernel import is_loopback
from obo_middleware.errors import ConfigurationError

# The quote and the backslash too would be trouble where a URL stands in a header (RFC 6750 section 3).
_PLAIN = re.compile(r"[!#-\[\]-~]+")


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
