"""Where the identity provider is, and which tenant a request is for.

Facts: Microsoft identity platform, "Microsoft Entra authentication and national clouds".
"""

from __future__ import annotations

import functools
import os
import re
import urllib.parse
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from credentials._errors import ClientConfigurationError
from credentials._pool import is_loopback, split_url

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")  # a leading dash would be an option to a command line tool
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_SEVERAL = re.compile(r"[A-Za-z0-9_.:/-]+(?: [A-Za-z0-9_.:/-]+)+")
_ADDRESS = re.compile(r"(?:[a-zA-Z]+://)?[\w.:\[\]-]+(?:/[\w./-]*)?")
_PUBLIC_HOSTS = ("login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net")


class AzureAuthorityHosts:
    """Name the authority hosts of the Azure clouds."""

    AZURE_PUBLIC_CLOUD = "login.microsoftonline.com"
    AZURE_CHINA = "login.chinacloudapi.cn"
    AZURE_GOVERNMENT = "login.microsoftonline.us"


@dataclass(frozen=True, slots=True)
class Authority:
    """Hold the normalised URL of an identity provider, without a trailing slash."""

    url: str

    @classmethod
    def parse(
        cls, value: str | None, *, allow_local: bool = False, environ: Mapping[str, str] = os.environ
    ) -> Authority:
        """Return the authority for a host or URL; without one ``AZURE_AUTHORITY_HOST``, then the public cloud.

        Raises ``ValueError`` for anything but https, save http to a loopback address with ``allow_local``.
        """
        text = value or environ.get("AZURE_AUTHORITY_HOST") or AzureAuthorityHosts.AZURE_PUBLIC_CLOUD
        if not isinstance(text, str):
            raise ValueError("authority must be a string, the host or https URL of the provider")
        url = text.rstrip(" /") if "://" in text else "https://" + text.rstrip(" /")
        _check_url(text, url, allow_local)
        return cls(url)

    @property
    def host(self) -> str:
        """The host name, in lower case."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    def in_region(self, region: str) -> Authority:
        """Return the authority of one region: Azure's own token service there (as MSAL composes it).

        One with plain http is as it was: it is on this machine, and a name made of its host's may be elsewhere.
        """
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme != "https":
            return self
        host = "login.microsoft.com" if self.host in _PUBLIC_HOSTS else parts.netloc
        return Authority(parts._replace(netloc=f"{region}.{host}").geturl())

    def token_endpoint(self, tenant_id: str) -> str:
        """Return the URL of a tenant's token endpoint: composed, no discovery is needed."""
        return f"{self.url}/{tenant_id}/oauth2/v2.0/token"


def _check_url(text: str, url: str, allow_local: bool) -> None:
    # What is no address at all may be a secret in the wrong place, and what is before an @ a password.
    shown = f"authority {text!r}" if _ADDRESS.fullmatch(text) else "authority"
    parts = split_url(url)
    if parts is None:
        raise ValueError(f"{shown} is not a URL")
    host = parts.hostname or ""
    if (
        not host
        or parts.query
        or parts.fragment
        or not re.fullmatch(r"[\w.:\[\]-]+", parts.netloc)
        or not re.fullmatch(r"[!-~]+", url)
    ):
        raise ValueError(f"{shown} must be a host or an https URL without user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host) and allow_local):
        raise ValueError(f"{shown} must use https; plain http is for loopback addresses, if allowed")


def check_tenant(tenant_id: str, name: str = "tenant_id") -> str:
    """Return the tenant id or domain; raises ``ValueError`` for one that cannot be a GUID or a domain."""
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
        raise ValueError(
            # Not what was given: where arguments are swapped, it is a secret.
            f"{name} is not valid: give the tenant's GUID or domain (letters, digits, '-' and '.', a letter or digit "
            "first)"
        )
    return tenant_id


def resolve_tenant(
    default: str, requested: str | None, allowed: Collection[str], environ: Mapping[str, str] = os.environ
) -> str:
    """Return the tenant that a request is for.

    Raises :class:`ClientConfigurationError` for a tenant that is not among ``additionally_allowed_tenants``,
    and ``ValueError`` for one that is no tenant id. ``AZURE_IDENTITY_DISABLE_MULTITENANTAUTH`` and AD FS keep
    every request in the default.
    """
    if requested is None or requested == default:
        return default
    check_tenant(requested)
    if default == "adfs" or environ.get("AZURE_IDENTITY_DISABLE_MULTITENANTAUTH"):
        return default
    if "*" in allowed or requested in allowed or (default == "organizations" and not allowed):
        return requested
    raise ClientConfigurationError(
        f"The credential is not set up for tenant {requested!r}. Add it to additionally_allowed_tenants, "
        "or add '*' to allow every tenant."
    )


def check_scopes(scopes: tuple[str, ...], method: str) -> tuple[str, ...]:
    """Return the scopes without doubles; raises ``ValueError`` for none or a malformed one (RFC 6749 section 3.3)."""
    if not scopes:
        raise ValueError(f'"{method}" requires at least one scope')
    for position, scope in enumerate(scopes, 1):
        if not isinstance(scope, str):
            raise ValueError(f"scope {position} is not a string: give each scope as an argument of its own")
    return _well_formed(scopes)


@functools.lru_cache(maxsize=1024)
def _well_formed(scopes: tuple[str, ...]) -> tuple[str, ...]:
    for position, scope in enumerate(scopes, 1):
        if not _SCOPE.fullmatch(scope):
            # By its place, where it may be a secret in the wrong place.
            shown = repr(scope) if _SEVERAL.fullmatch(scope) else position
            raise ValueError(f"scope {shown} is not valid: write each scope on its own, without spaces or quotes")
    return tuple(dict.fromkeys(scopes))
