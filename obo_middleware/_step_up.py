"""What a route may ask of a sign-in, and how old one is.

Facts: RFC 9470 section 3, Microsoft Entra ID "Conditional Access authentication context".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from obo_middleware._claims import LEEWAY
from obo_middleware._urls import wrong
from obo_middleware._user import User

# Microsoft Entra ID: the ids of authentication contexts are c1 to c99.
_AUTHENTICATION_CONTEXT = re.compile(r"c[1-9][0-9]?")


def age_of_sign_in(user: User, now: float) -> float:
    """Return how many seconds ago a user signed in (``auth_time``); without end where the token does not say."""
    at = user.claims.get("auth_time")
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 <= at <= now + LEEWAY:
        return math.inf
    return now - at


def checked_step_up(acr_values: Sequence[str], max_age: int | None) -> tuple[str, ...]:
    """Return the values of ``acr`` that are strong enough; raises :class:`ConfigurationError` for a useless check."""
    # One text is one value: with `in`, the acr "1" would be found in the text "c1".
    values = (acr_values,) if isinstance(acr_values, str) else tuple(acr_values)
    if not values and max_age is None:
        raise wrong("require_authentication", "has neither acr_values nor max_age", "give one of them, or both")
    if not all(isinstance(value, str) and value.split() == [value] for value in values):
        raise wrong("acr_values", f"is {acr_values!r}", "list the values of the claim acr that are strong enough")
    if max_age is not None and (isinstance(max_age, bool) or not isinstance(max_age, int) or max_age < 0):
        raise wrong("max_age", f"is {max_age!r}", "give whole seconds, 0 or more (RFC 9470 section 3)")
    return values


def check_authentication_context(value: str) -> None:
    """Raise :class:`ConfigurationError` unless the text is the id of an authentication context."""
    if not isinstance(value, str) or not _AUTHENTICATION_CONTEXT.fullmatch(value):
        raise wrong("the authentication context", f"is {value!r}", "give its id, 'c1' to 'c99', as in Entra")
