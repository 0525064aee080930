"""What every answer with a token or a refusal has in common, whoever gives it (RFC 6749 sections 5.1 and 5.2).

Pure functions: the callers say in their errors whose answer it was.
"""

from __future__ import annotations

import email.utils
import json
import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, cast

from credentials._errors import ProviderError, scrub
from credentials._flow import AskCredential, HttpResponse
from credentials._strict_json import parse_object
from credentials._types import AccessTokenInfo, is_header_safe

_LONGEST_LIFE = 366 * 86_400
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_SHORTEST_SECRET = 4
"""Characters: to hide anything shorter would only garble the message."""


def token_in_answer(answer: Mapping[str, Any], now: float) -> AccessTokenInfo:
    """Return the token in an answer; raises ``ValueError`` with the problem, which names no content."""
    token = answer.get("access_token")
    if not isinstance(token, str) or not is_header_safe(token):
        raise ValueError("has no usable access_token")
    # RFC 6749 section 7.1: a client must not use a token whose type it does not understand.
    if str(answer.get("token_type", "Bearer")).lower() != "bearer":
        raise ValueError("has a token_type other than Bearer")
    expires_on = _expires_on(answer, now)
    return AccessTokenInfo(token, expires_on, refresh_on=_refresh_on(answer, now, expires_on))


def asking_method(credential: Any) -> Callable[..., Any]:
    """Return the method to ask a foreign credential by: the one that tells more, if it has it."""
    return cast(Callable[..., Any], getattr(credential, "get_token_info", None) or credential.get_token)


def asking(effect: AskCredential) -> Callable[[], Any]:
    """Return the call that asks a foreign credential for a token."""
    credential, options = effect.credential, effect.options
    method = asking_method(credential)
    if getattr(credential, "get_token_info", None) is not None:
        return lambda: method(*effect.scopes, options=options)
    return lambda: method(*effect.scopes, **options)


def info_from(token: Any) -> AccessTokenInfo:
    """Return the token that a foreign credential gave; raises ``ValueError`` with the problem, without its content."""
    text = getattr(token, "token", None)
    if not isinstance(text, str) or not is_header_safe(text):
        raise ValueError("the credential's token is empty or has characters that no HTTP header may have")
    refresh_on = getattr(token, "refresh_on", None)
    kind = str(getattr(token, "token_type", None) or "Bearer")
    # Not raised where it is caught: what stands where a number should be may be anything, and so may the error's text.
    with suppress(AttributeError, TypeError, ValueError, OverflowError):
        return AccessTokenInfo(text, int(token.expires_on), kind, None if refresh_on is None else int(refresh_on))
    raise ValueError("the credential's token does not say when it expires")


def provider_error(
    answer: Mapping[str, Any], response: HttpResponse, now: float, secrets: Collection[str] = ()
) -> ProviderError:
    """Return what an error answer says, fit for messages (RFC 6749 section 5.2 and Entra's additions).

    ``secrets`` are those that the request carried, which an answer may repeat.
    """
    answer = {name: hide(value, secrets) if isinstance(value, str) else value for name, value in answer.items()}
    codes = answer.get("error_codes")
    return ProviderError(
        status_code=response.status,
        error=_text(answer, "error"),
        error_description=_text(answer, "error_description"),
        error_codes=tuple(c for c in codes if isinstance(c, int)) if isinstance(codes, list) else (),
        suberror=_text(answer, "suberror"),
        claims=_claims(answer.get("claims")),
        correlation_id=_text(answer, "correlation_id"),
        trace_id=_text(answer, "trace_id"),
        timestamp=_text(answer, "timestamp"),
        retry_after=parse_retry_after(response.headers.get("retry-after"), now),
    )


def _claims(value: object) -> str | None:
    """Return what a challenge asks for (OpenID Connect Core section 5.5: a JSON object), or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parse_object(value.encode())
    except ValueError:
        return None
    # Not scrubbed: the text is the front end's to send, to the last character.
    return _JWT.sub("<token>", value)


def hide(text: str, secrets: Collection[str]) -> str:
    """Return a text without these secrets, be they plain, as in a form, or as in JSON."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            for form in (secret, urllib.parse.quote_plus(secret, errors="replace"), json.dumps(secret)[1:-1]):
                text = text.replace(form, "<secret>")
    return text


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    return scrub(value) if isinstance(value, str) else ""


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header tells (RFC 9110 section 10.2.3), or None."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _expires_on(answer: Mapping[str, Any], now: float) -> int:
    """Return when the token expires; an implausible lifetime counts as over, so the token is never kept."""
    if "expires_on" not in answer and "expires_in" not in answer:
        raise ValueError("does not say when the token expires")
    seconds = _number(answer["expires_on"]) - now if "expires_on" in answer else _number(answer["expires_in"])
    return int(now + seconds) if 0 < seconds < _LONGEST_LIFE else int(now)


def _refresh_on(answer: Mapping[str, Any], now: float, expires_on: int) -> int:
    """Return when to refresh: as told, else after half of a life of two hours or more, else 300 s before the end."""
    life = expires_on - now
    told = _number(answer.get("refresh_in"))
    if 0 < told < life:
        return int(now + told)
    return int(now + life / 2) if life >= 7200 else int(expires_on - min(300.0, life / 2))


def _number(value: object) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value) if abs(value) < 1e15 else 0.0
