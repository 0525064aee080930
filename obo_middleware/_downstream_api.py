"""One API that the application calls, as the user or as itself."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field

from credentials.kernel import check_no_refresh, check_scopes
from obo_middleware._urls import checked_url, wrong

_GRAPH = "https://graph.microsoft.com"


@dataclass(frozen=True, slots=True)
class DownstreamApi:
    """Describe an API to call. Its tokens go to ``base_url``'s origin and path, and nowhere else.

    Args:
        base_url: An https URL, or http to a loopback address; relative URLs of requests are below it.
        scopes: What to ask for on behalf of the user.
        app_scopes: What to ask for as the application; default ``.default`` of the API that ``scopes`` belong
            to.
        timeout: Seconds that connecting, and each wait for data, may take.
        retry_within: Seconds within which a request is sent again that the API puts off by 429, or 503, with
            ``Retry-After`` (RFC 9110 section 10.2.3); default 0, never. Not sent again: after 503 a ``POST`` or
            ``PATCH``, which may have had its effect, and any body that can be read only once.

    Raises:
        ConfigurationError: A value is missing or malformed.
    """

    base_url: str
    scopes: Sequence[str] = field(kw_only=True)
    app_scopes: Sequence[str] = field(default=(), kw_only=True)
    timeout: float = field(default=10.0, kw_only=True)
    retry_within: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        base_url = _checked_base_url(self.base_url)
        check_each_scope("scopes", self.scopes)
        check_each_scope("app_scopes", self.app_scopes)
        if not self.scopes:
            raise wrong("scopes", "is empty", "name at least one scope of the API, such as 'User.Read'")
        if not _seconds(self.timeout) or self.timeout == 0:
            raise wrong("timeout", f"is {self.timeout!r}", "give a number of seconds above 0")
        if not _seconds(self.retry_within):
            raise wrong("retry_within", f"is {self.retry_within!r}", "give a number of seconds, 0 for never")
        scopes = tuple(dict.fromkeys(self.scopes))
        object.__setattr__(self, "base_url", base_url)
        object.__setattr__(self, "scopes", scopes)
        object.__setattr__(self, "app_scopes", tuple(self.app_scopes) or (_default_scope(scopes, base_url),))


def _seconds(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value < math.inf


def check_each_scope(name: str, scopes: Sequence[str]) -> None:
    """Raise :class:`ConfigurationError` unless the value is a sequence of well-formed scopes that may be asked for."""
    if isinstance(scopes, str) or not isinstance(scopes, Sequence):
        raise wrong(name, f"is a {type(scopes).__name__}", "give a list of scopes")
    if scopes:
        try:
            check_scopes(tuple(scopes), name)
            check_no_refresh(tuple(scopes))
        except ValueError as error:
            raise wrong(
                name, f"is not usable, {error}", "write each scope as the API's registration names it"
            ) from error


def _checked_base_url(base_url: str) -> str:
    fix = "give an absolute https URL without user, query or fragment, such as 'https://graph.microsoft.com/v1.0'"
    checked_url("base_url", base_url, fix=fix)
    return base_url.rstrip("/")


def _default_scope(scopes: Sequence[str], base_url: str) -> str:
    """Return the ``.default`` scope of the API that the scopes belong to; a bare scope name means Microsoft Graph."""
    resource = scopes[0].rpartition("/")[0]
    if resource:
        return f"{resource}/.default"
    parts = urllib.parse.urlsplit(base_url)
    return f"{_GRAPH if parts.scheme == 'http' else f'https://{parts.netloc}'}/.default"
