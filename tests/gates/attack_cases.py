"""The 196 cases of the list of attacks: each with its outcome, and with what is special about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.gates import attack_cases_of_requests as requests
from tests.gates import attack_cases_of_services as services

OUTCOMES: Mapping[str, str] = {
    "U": '401, `Bearer realm="..."` without `error`: a token is needed (with `scope` and `resource_metadata` if set)',
    "B": '400, `Bearer realm="...", error="invalid_request"`: the request is malformed',
    "T": '401, `Bearer realm="...", error="invalid_token"` with one description that never says why',
    "S": '403, `Bearer realm="...", error="insufficient_scope"` and, where known, `scope`',
    "P": '401, `Bearer error="insufficient_user_authentication"` with `acr_values` and/or `max_age` (RFC 9470)',
    "C": '401, `Bearer realm="", authorization_uri="...", error="insufficient_claims", claims="..."`; '
    "403 without claims for a client that does not declare `cp1`",
    "403": "403 without a challenge",
    "X": "503 with `Retry-After`: the provider is down or throttles",
    "G": "502: the provider's answer cannot be used",
    "E": "500: our own mistake; the log says what to mend, the answer nothing",
    "F": "nothing at all: the settings are refused, or the app does not start (`ConfigurationError`)",
    "R": "what the handler makes of a typed error, else a 500; nothing was sent",
    "N": "no answer of its own: the rule beside it always holds",
    "OK": "what the application answers; the rule beside it holds",
}

LATER: Mapping[int, str] = {
    **dict.fromkeys((139, 150, 159), "with RFC 8693 token exchange"),
}
"""Cases of features that do not exist yet, and with which feature they come."""

CHOSEN: Mapping[int, str] = {
    120: "By default the key of a cached token is made of who signed in, where, through which client, how strongly and "
    "with which scopes, as the verified token says; `cache_partition='assertion'` makes it of the exact token, as MSAL "
    "does. A challenge's claims are no part of the key: they skip the cache, and the new token replaces the old one.",
    121: "Other libraries keep one downstream token for each incoming token. Here the next token of the same session "
    "gets it too, and never a session that differs in client, strength, roles or scopes. A token silent about its "
    "session is a session of its own.",
    157: "A refresh token would outlive the sign-in that it came from. None is asked for, `offline_access` is refused, "
    "and one that comes unasked is dropped.",
}
"""Cases that are decided otherwise than most libraries do, and why."""

OWN_CHOICE = frozenset(
    {10, 11, 16, 17, 19, 20, 21, 55, 56, 80, 83, 86, 88, 89, 91, 108, 119, 122, 125, 126, 127, 128, 129, 133, 134, 136}
    | {140, 141, 146, 149, 154, 157, 160, 172, 173, 176, 178, 179, 183, 186, 187, 188, 190, 193, 196}
)
"""Cases whose outcome no standard, vendor's document or known defect fixes."""


@dataclass(frozen=True)
class Case:
    """One attack and what must come of it: a code of `OUTCOMES`, and words to it."""

    number: int
    attack: str
    outcome: str
    words: str


@dataclass(frozen=True)
class Section:
    """The cases about one part of the middleware."""

    title: str
    cases: tuple[Case, ...]


def _section(title: str, rows: tuple[requests.Row, ...]) -> Section:
    return Section(title, tuple(Case(*row) for row in rows))


SECTIONS: tuple[Section, ...] = (
    _section("How a token is presented", requests.PRESENTING),
    _section("The token's form and signature", requests.STRUCTURE),
    _section("What the token claims", requests.CLAIMS),
    _section("Keys and metadata of the provider", services.KEYS),
    _section("Exchange and cache", services.EXCHANGE),
    _section("Calls to downstream APIs", services.DOWNSTREAM),
    _section("Answers, logs and resources", services.ANSWERS),
)
NUMBERS = frozenset(case.number for section in SECTIONS for case in section.cases)
