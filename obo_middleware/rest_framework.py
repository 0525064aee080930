"""Django REST framework: the signed-in user as ``request.user``, and scopes as permissions.

Facts: the documents of Django REST framework 3.16, "Authentication" (custom authentication) and "Permissions".

Rule of this file: the middleware has judged the token; nothing here reads one.
"""

from __future__ import annotations

from typing import Any

try:
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.permissions import BasePermission
except ImportError as error:
    raise ImportError(
        "obo_middleware.rest_framework needs Django REST framework: pip install djangorestframework"
    ) from error

from obo_middleware._context import Context
from obo_middleware._user import User
from obo_middleware.django import context_of
from obo_middleware.errors import MissingTokenError

__all__ = ["OnBehalfOfAuthentication", "has_scopes"]


class OnBehalfOfAuthentication(BaseAuthentication):
    """Authenticate a request as the user whom the middleware has found: ``request.user``, with the context as ``auth``.

    Needs ``obo_middleware.django.OnBehalfOfMiddleware`` among the project's middleware.
    """

    def authenticate(self, request: Any) -> tuple[User, Context] | None:
        """Return the user and the context, or None for a request without a token where that may go on."""
        context = context_of(request)
        return None if context.user is None else (context.user, context)

    def authenticate_header(self, request: Any) -> str:
        """Return the challenge for who is not signed in, with which the framework answers 401 (RFC 6750 section 3)."""
        return dict(context_of(request).answer_to(MissingTokenError()).headers)["WWW-Authenticate"]


def has_scopes(*scopes: str) -> type[BasePermission]:
    """Return a permission class for views that only users whose token has every one of the scopes may call.

    The view raises :class:`MissingTokenError` or :class:`InsufficientScopeError`, which the middleware answers.
    """

    class HasScopes(BasePermission):
        def has_permission(self, request: Any, view: object) -> bool:
            context_of(request).require(*scopes)
            return True

    return HasScopes
