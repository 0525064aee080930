"""The canary: it collects everything that is shown, logged or pickled, and looks for secrets in it.

Also the servers and answers by which secrets could come to be shown: a mirror of whatever a request carries, and tokens
in all the wrong places of an answer.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from credentials import ClientAuthenticationError
from tests.credentials.helpers import Colour
from tests.credentials.servers import Exchange

SCOPE = "https://vault.azure.net/.default"
TOKEN = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNhbmFyeSJ9."
    "eyJzdWIiOiJjYW5hcnkgb2YgYSB0b2tlbiB0aGF0IG5vYm9keSBtYXkgc2VlIGFueXdoZXJlIn0."
    "Y2FuYXJ5LXNpZ25hdHVyZS1vZi1hLXRva2VuLXRoYXQtbm9ib2R5LW1heS1zZWUtYW55d2hlcmU"
)
OPAQUE = "0.canary-of-an-opaque-token_1234567890"

Work = Callable[[], object]


class Canary:
    """Collect what is shown, and what must not be in it; ``foreign`` are errors whose own texts are not ours."""

    def __init__(self, caplog: pytest.LogCaptureFixture, foreign: tuple[type[BaseException], ...] = ()) -> None:
        self.caplog = caplog
        self.foreign = foreign
        self.deaf_to: tuple[str, ...] = ()
        """Loggers of others that show, at DEBUG, what no code of ours could hide."""
        self.secrets: set[str] = set()
        self.shown: list[str] = []

    def hide(self, text: str) -> str:
        """Declare a text secret: as a whole, encoded, and, for a token, each part that is long enough to harm."""
        encoded = {urllib.parse.quote_plus(text), base64.b64encode(text.encode()).decode(), repr(text)[1:-1]}
        self.secrets |= {text, *encoded, *[part for part in text.split(".") if len(part) > 40]}
        return text

    def hide_pem(self, pem: bytes) -> bytes:
        lines = pem.decode().split("-----BEGIN CERTIFICATE")[0].splitlines()
        self.secrets |= {line for line in lines if len(line) == 64}
        return pem

    def show(self, *things: object) -> None:
        self.shown += [text for thing in things for text in (repr(thing), str(thing))]

    def watch(self, work: Work) -> Exception | None:
        """Do the work, collect what its value or its error shows anywhere, and return the error."""
        try:
            self.show(work())
        except (ClientAuthenticationError, ValueError, TypeError) as error:
            self.examine_error(error)
            return error
        return None

    def fails(self, work: Work) -> Exception:
        """Watch work that must fail, and return the error."""
        error = self.watch(work)
        assert error is not None, "nothing failed"
        return error

    def examine_error(self, error: BaseException) -> None:
        """Collect what an error shows: the traceback, all it came from, its attributes, its copies, its pickle."""
        if not self.foreign:
            self.shown += traceback.format_exception(error)
        self._show_chain(error, set())

    def _show_chain(self, error: BaseException | None, seen: set[int]) -> None:
        if error is None or id(error) in seen or isinstance(error, self.foreign):
            return
        seen.add(id(error))
        attributes = {name: value for name, value in vars(error).items() if name != "errors"}
        self.show(error.args, *attributes.values(), getattr(error, "doc", ""), getattr(error, "object", ""))
        self.shown += [str(error), *traceback.format_exception_only(error)]
        if type(error).__module__.startswith("credentials"):
            self.shown += [repr(error), *shown_by_copies(error)]
        for other in (error.__cause__, error.__context__, *getattr(error, "errors", ())):
            self._show_chain(other, seen)

    def examine(self, *things: object) -> None:
        """Collect what a credential or value shows: its text, its attributes, its copies, its pickle."""
        for thing in things:
            # One level down, and not into slots: what a value hides from its text is its own.
            self.show(thing, *getattr(thing, "__dict__", {}).values())
            self.shown += shown_by_copies(thing)

    @property
    def records(self) -> list[logging.LogRecord]:
        # Not `caplog.records`: they are empty once a fixture is taken down.
        return self.caplog.get_records("call")

    def leaks(self) -> list[str]:
        """Return the beginnings of the secrets that were shown, with what stands before them."""
        for record in self.records:
            if record.name.startswith(self.deaf_to or "nobody"):
                continue
            fields = vars(record).get("correlation_id")
            self.shown += [record.getMessage(), repr(record.args), str(record.exc_text), str(fields)]
            if record.exc_info:
                self.shown += traceback.format_exception(*record.exc_info)
        return sorted(
            {f"{text[:120]} … {secret[:12]}" for text in self.shown for secret in self.secrets if secret in text}
        )

    def check(self) -> None:
        leaks = self.leaks()
        assert not leaks, "\n".join(leaks)


def shown_by_copies(thing: object) -> list[str]:
    """Return the texts of a thing's copies, and its pickle; one that refuses says why."""
    texts: list[str] = []
    for make in (copy.copy, copy.deepcopy):
        try:
            texts.append(repr(make(thing)))
        except TypeError as error:
            texts += traceback.format_exception(error)
    for protocol in (0, pickle.HIGHEST_PROTOCOL):
        try:
            texts.append(pickle.dumps(thing, protocol).decode("latin-1"))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            texts += traceback.format_exception(error)
    return texts


def asks(canary: Canary, colour: Colour, credential: Any, scope: str = SCOPE) -> Work:
    """Return the work of asking a credential; what it gives is secret from then on."""

    def work() -> object:
        token = colour.get_token(credential, scope)
        canary.hide(token.token)
        info = colour.get_token_info(credential, scope)
        canary.examine(credential)
        return [token, info]

    return work


# Answers that show what was sent

_HEADERS = ("authorization", "secret", "x-identity-header")
_FIELDS = ("client_secret", "assertion", "client_assertion")


def sent(exchange: Exchange) -> str:
    """Return all that the last request carried, the secrets first."""
    asked = exchange.server.asked[-1]
    form = dict(urllib.parse.parse_qsl(asked.body.decode()))
    headers = [asked.headers.get(name, "") for name in _HEADERS]
    # Without the word that tells what it is, too.
    secrets = [header.rpartition(" ")[2] for header in headers] + headers + [form.get(name, "") for name in _FIELDS]
    return " ".join([*secrets, asked.body.decode(), asked.path])


def _all_members(text: str) -> bytes:
    names = ("error", "error_description", "suberror", "claims", "correlation_id", "trace_id", "timestamp", "message")
    return json.dumps(dict.fromkeys((*names, "code", "error_codes", "error_uri"), f"it got {text}")).encode()


def _inner(text: str) -> bytes:
    return json.dumps({"error": {"code": text, "message": text, "correlationId": text, "innererror": text}}).encode()


def _json_within(text: str) -> bytes:
    within = json.dumps({"access_token": text, "request": {"headers": text}})
    return json.dumps({"error": "invalid_client", "error_description": within, "message": within}).encode()


MIRRORS: dict[str, Callable[[str], bytes]] = {
    "in every member": _all_members,
    "in an inner object": _inner,
    "in JSON within JSON": _json_within,
    "on a page": lambda text: f"<html>unreachable: {text}</html>".encode(),
}
STATUSES = (200, 302, 400, 401, 403, 429, 500)


def mirror(status: int, form: Callable[[str], bytes]) -> Callable[[Exchange], None]:
    """Return what refuses every request with an answer that repeats all of it."""
    return lambda exchange: exchange.reply(status, form(sent(exchange)))


# Answers with a token in the wrong place


def misplaced(name: str = "access_token") -> dict[str, bytes]:
    """Return answers that hold the token, none of which is right; ``name`` is the member that it should be in."""
    good: dict[str, Any] = {name: TOKEN, "token_type": "Bearer", "expires_in": 3600}
    text = json.dumps(good)
    wrong: dict[str, object] = {
        "of another type": good | {"token_type": TOKEN},
        "without a life": {name: TOKEN},
        "for a life": {name: "x y", "expires_in": TOKEN, "expires_on": TOKEN, "expiresOn": TOKEN},
        "in an object": {name: {"value": TOKEN}},
        "one level down": {"data": good, "message": text},
        "in a list": [good],
        "with a line break": good | {name: f"{TOKEN}\n"},
        "beside an error": good | {"error": "invalid_grant"},
        "as the error": {"error": TOKEN, "error_description": TOKEN, "suberror": TOKEN, "claims": TOKEN},
        "in JSON within JSON": {"error": "x", "error_description": text, "message": json.dumps({"x": text})},
        "opaque, in a text": {"error": "x", "error_description": f'{{"{name}" : "{OPAQUE}"}}'},
        "as a name": {TOKEN: 1},
    }
    raw = {
        "cut off": text[:-30].encode(),
        "no UTF-8": b"\xff" + text.encode(),
        "on a page": f"<html><pre>{text}</pre>unreachable".encode(),
        "twice": f'{{"{name}":"{TOKEN}","{name}":"{TOKEN}"}}'.encode(),
        "two documents": f"{text}\n{text}".encode(),
        "no number": text.replace("3600", "NaN").encode(),
        "bare": TOKEN.encode(),
    }
    return {**{key: json.dumps(value).encode() for key, value in wrong.items()}, **raw}


def says(status: int, body: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.reply(status, body)


def speaks_no_http(exchange: Exchange) -> None:
    exchange.close_connection = True
    exchange.wfile.write(f"{TOKEN}\r\nSet-Cookie {TOKEN}\r\n\r\n".encode())


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Iterator[Canary]:
    """Give a canary that listens to every logger at DEBUG, and checks at the end."""
    with caplog.at_level(logging.DEBUG):
        for name in list(logging.Logger.manager.loggerDict):
            caplog.set_level(logging.DEBUG, logger=name)
        canary = Canary(caplog)
        canary.hide(TOKEN)
        canary.hide(OPAQUE)
        yield canary
        canary.check()
