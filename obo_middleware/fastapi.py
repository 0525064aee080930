"""Dependencies for FastAPI: the signed-in user, scopes for each route, downstream clients, the OpenAPI scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

try:
    from fastapi import Depends, Security
    from fastapi.openapi.models import HTTPBearer
    from fastapi.requests import HTTPConnection
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
except ImportError as error:
    raise ImportError("obo_middleware.fastapi needs FastAPI: pip install 'obo-middleware[fastapi]'") from error

from obo_middleware._context import AsyncContext
from obo_middleware._step_up import check_authentication_context, checked_step_up
from obo_middleware._user import User
from obo_middleware.errors import ConfigurationError

__all__ = [
    "CurrentContext",
    "CurrentUser",
    "current_context",
    "current_user",
    "downstream",
    "require_authentication",
    "require_authentication_context",
    "require_scopes",
]


class _BearerScheme(SecurityBase):
    """What /docs shows behind "Authorize". The middleware has read and judged the token already."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="An access token for this API.")
        self.scheme_name = "bearer"

    async def __call__(self) -> None:
        """Do nothing."""


_scheme = _BearerScheme()


async def current_context(connection: HTTPConnection) -> AsyncContext:
    """Return the request's context; raises :class:`ConfigurationError` if the middleware was not added to the app."""
    context: AsyncContext | None = connection.scope.get("state", {}).get("obo")
    if context is None:
        raise ConfigurationError(
            "the app is not protected: app.add_middleware(OnBehalfOfMiddleware, settings=settings)."
        )
    return context


CurrentContext = Annotated[AsyncContext, Depends(current_context)]
"""The request's context, as a parameter of a route."""


async def current_user(
    context: CurrentContext, scopes: SecurityScopes, _scheme: Annotated[None, Security(_scheme)]
) -> User:
    """Return the signed-in user; with ``Security(current_user, scopes=[...])`` only if the token grants all of them.

    Raises :class:`MissingTokenError` and :class:`InsufficientScopeError`.
    """
    return context.require(*scopes.scopes)


CurrentUser = Annotated[User, Security(current_user)]
"""The signed-in user, as a parameter of a route."""


def require_scopes(*scopes: str) -> Any:
    """Return a dependency for routes that only users whose token has every one of the scopes may call."""
    return Security(current_user, scopes=scopes)


def require_authentication(*, acr_values: Sequence[str] = (), max_age: int | None = None) -> Any:
    """Return a dependency for routes that need a sign-in as strong as one of ``acr_values``, or as recent (RFC 9470).

    ``max_age`` is in seconds. Raises :class:`ConfigurationError` for values that would check nothing.
    """
    values = checked_step_up(acr_values, max_age)

    async def user(context: CurrentContext, _scheme: Annotated[None, Security(_scheme)]) -> User:
        return context.require_authentication(acr_values=values, max_age=max_age)

    return Depends(user)


def require_authentication_context(value: str) -> Any:
    """Return a dependency for routes that need an authentication context of Entra, such as ``c1``.

    Raises :class:`ConfigurationError` for a text that is no such id.
    """
    check_authentication_context(value)

    async def user(context: CurrentContext, _scheme: Annotated[None, Security(_scheme)]) -> User:
        return context.require_authentication_context(value)

    return Depends(user)


def downstream(name: str, *, blocking: bool = False, as_app: bool = False) -> Any:
    """Return the dependency that gives a route its client for a downstream API.

    It is an ``httpx.AsyncClient`` that acts as the user; an ``httpx.Client`` with ``blocking``, for routes
    that are plain functions; one that acts as the application with ``as_app``.
    """

    async def client(context: CurrentContext, _scheme: Annotated[None, Security(_scheme)]) -> Any:
        if as_app:
            return context.blocking_app_client(name) if blocking else context.app_client(name)
        return context.blocking_client(name) if blocking else context.client(name)

    return Depends(client)
