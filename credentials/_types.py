"""The values that credentials take and give: access tokens and the options of a token request.

Rules of this file: shapes only, no behaviour; whatever holds a token has a ``repr`` that does not show it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypedDict

Clock = Callable[[], float]
"""Returns the time in seconds since the epoch, like :func:`time.time`."""


_HEADER_SAFE = re.compile(r"[!-~]+")


def is_header_safe(token: str) -> bool:
    """Tell whether a token can stand in an HTTP header; one that cannot would end up in an error's text."""
    return _HEADER_SAFE.fullmatch(token) is not None


if TYPE_CHECKING:
    from azure.core.credentials import AccessToken as _AzureAccessToken

    # Typed clients of the Azure SDK take a credential only if its tokens are, by name, azure-core's.
    class AccessToken(_AzureAccessToken):
        """Hold an access token and the time, in seconds since the epoch, at which it expires (as azure-core does)."""

        # For those who do not have azure-core, whose class then is Any.
        token: str
        expires_on: int

else:

    class AccessToken(NamedTuple):
        """Hold an access token and the time, in seconds since the epoch, at which it expires (as azure-core does)."""

        token: str
        expires_on: int

        def __repr__(self) -> str:
            return f"AccessToken(token=<hidden>, expires_on={self.expires_on})"


class AccessTokenInfo(NamedTuple):
    """Hold an access token with its type; the times are seconds since the epoch.

    ``refresh_on`` is when a caller that can should ask again, although the token stays valid until
    ``expires_on``.
    """

    token: str
    expires_on: int
    token_type: str = "Bearer"  # noqa: S105  # the name of a type, no secret
    refresh_on: int | None = None

    def __repr__(self) -> str:
        return f"AccessTokenInfo(token=<hidden>, expires_on={self.expires_on}, refresh_on={self.refresh_on})"


class TokenRequestOptions(TypedDict, total=False):
    """Name the options of one token request; each may be left out (as azure-core does)."""

    claims: str
    tenant_id: str
    enable_cae: bool


class Place(enum.Enum):
    """Say where a credential is asked: what is fatal alone may be the next one's turn in a chain."""

    ALONE = enum.auto()
    CHAIN = enum.auto()
    DEFAULT = enum.auto()


class TokenCredential(Protocol):
    """Describe what can be asked for a token, blocking: azure-core's protocol of the same name."""

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> _Token:
        """Return an access token for the scopes."""


class AsyncTokenCredential(Protocol):
    """Describe what can be asked for a token, awaitable: azure-core's protocol of the same name."""

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Awaitable[_Token]:
        """Return an access token for the scopes."""


class _Token(Protocol):
    """What every library's access token has in common."""

    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> int: ...
