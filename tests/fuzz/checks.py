"""What holds for every answer and every line of the log, whatever came in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from obo_middleware._challenge import Reply
from tests.fuzz.world import World, must

VALUE = re.compile(r"[\x20-\x7e]*")
_QUOTED = r'[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"'  # RFC 6750 section 3: no quote and no backslash within
_CHALLENGE = re.compile(rf"Bearer {_QUOTED}(?:, {_QUOTED})*")
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_text(text: str) -> None:
    """Check a text for a log: one line, in the order that it is read, that every encoding can carry; no token."""
    must(hold=not _UNFIT.search(text) and not _TOKEN.search(text), else_=f"text: {text!r}")


def check_log(here: World) -> None:
    for line in here.log.said:
        check_text(line)


def check_headers(pairs: Iterable[tuple[str, str]]) -> None:
    for name, value in pairs:
        must(hold=VALUE.fullmatch(value) is not None, else_=f"header {name}: {value!r}")
        challenge = name.lower() == "www-authenticate"
        must(hold=not challenge or _CHALLENGE.fullmatch(value) is not None, else_=f"challenge: {value!r}")


def check_reply(reply: Reply) -> None:
    """Check an answer by itself: a status of the list, headers of one line each, a body of JSON."""
    must(hold=reply.status in (400, 401, 403, 500, 502, 503), else_=f"status {reply.status}")
    check_headers(reply.headers)
    body = json.loads(reply.body)
    must(hold=body["status"] == reply.status, else_="a body of another status")
    wait = dict(reply.headers).get("Retry-After")
    must(hold=(reply.status == 503) == (wait is not None), else_="503 without Retry-After")
    must(hold=wait is None or 1 <= int(wait) <= 86_400, else_=f"Retry-After {wait}")
