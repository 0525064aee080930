"""What LocalGraph knows about people: as little as the demo needs, and different for each."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from ._registrations import User

_SUBJECTS = ("Quarterly figures", "Lunch on Thursday", "Your travel request", "New phone numbers", "Minutes")
_PAGE = 10


def profile(user: User) -> dict[str, Any]:
    """Return a user's profile, with the members Graph selects by default."""
    return {
        "businessPhones": [],
        "displayName": user.display_name,
        "givenName": user.given_name,
        "jobTitle": None,
        "mail": user.user_principal_name,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": "en",
        "surname": user.surname,
        "userPrincipalName": user.user_principal_name,
        "id": user.object_id,
    }


def message(user: User, number: int) -> dict[str, Any]:
    """Return one of a user's messages."""
    return {
        "id": f"{user.object_id}-{number}",
        "subject": f"{user.given_name}: {_SUBJECTS[number]}",
        "bodyPreview": f"Hello {user.given_name}, this is message {number + 1} in your own mailbox.",
        "toRecipients": [{"emailAddress": {"name": user.display_name, "address": user.user_principal_name}}],
    }


def messages(user: User) -> list[dict[str, Any]]:
    """Return all messages of a user."""
    return [message(user, number) for number in range(len(_SUBJECTS))]


def page(items: list[dict[str, Any]], url: str, top: str, skip: str) -> dict[str, Any]:
    """Return an OData page: `top` items after the first `skip`, and an absolute link to the next page.

    Raise ValueError if `top` or `skip` is no number, or `top` is 0.
    """
    size, start = int(top or _PAGE), int(skip or 0)
    if size <= 0 or start < 0:
        raise ValueError("out of range")
    document: dict[str, Any] = {"value": items[start : start + size]}
    if start + size < len(items):
        query = urlencode({"$top": size, "$skip": start + size}, safe="$")
        document["@odata.nextLink"] = f"{url}?{query}"
    return document
