"""Every path once at DEBUG: no token, secret, assertion or key is logged, told in an error, or shown."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from credentials import AuthenticationError
from credentials import _token_endpoint as token_endpoint
from credentials._errors import ChainedAuthenticationError, ProviderError
from obo_middleware.testing import LocalEntra
from tests.credentials.canary import Canary, shown_by_copies
from tests.credentials.helpers import (
    GRAPH,
    SECRET,
    Clock,
    Colour,
    certificate_pem,
    key_pem,
    local_options,
    token_answer,
)

pytestmark = pytest.mark.attack(184)

SCOPE = f"{GRAPH}/User.Read"
CALLBACK_SECRET = "canary-of-the-callback"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    canary.hide(SECRET)
    canary.hide(CALLBACK_SECRET)
    monkeypatch.setattr(token_endpoint, "RETRY_DELAYS", (0.0, 0.0))


def user(entra: LocalEntra, colour: Colour, canary: Canary, **options: Any) -> Any:
    assertion = canary.hide(options.pop("user_assertion", None) or entra.sign_in("alice"))
    proof = {} if "client_assertion_func" in options or "client_certificate" in options else {"client_secret": SECRET}
    arguments = local_options(entra) | {"user_assertion": assertion} | proof | options
    return colour.on_behalf_of(entra.tenant_id, entra.api.client_id, **arguments)


def get(canary: Canary, colour: Colour, credential: Any, **options: Any) -> Callable[[], object]:
    def work() -> object:
        token = colour.get_token(credential, SCOPE, **options)
        canary.hide(token.token)
        info = colour.get_token_info(credential, SCOPE)
        return [token, info, credential, credential._client, vars(credential._client)]

    return work


def test_success_shows_nothing(entra: LocalEntra, colour: Colour, canary: Canary) -> None:
    credential = user(entra, colour, canary)
    canary.watch(get(canary, colour, credential))
    canary.watch(get(canary, colour, credential, claims="{}", enable_cae=True))
    canary.watch(get(canary, colour, user(entra, colour, canary)))
    assert entra.exchanges >= 3
    assert {"httpcore", "httpx"} & {record.name.partition(".")[0] for record in canary.records}, "nothing is logged"


def test_success_with_a_certificate_or_a_callback_shows_nothing(
    entra: LocalEntra, colour: Colour, canary: Canary
) -> None:
    entra.add_certificate(entra.api, certificate_pem())
    pem = canary.hide_pem(key_pem() + certificate_pem())
    canary.watch(get(canary, colour, user(entra, colour, canary, client_certificate=pem, send_certificate_chain=True)))
    assert entra.exchanges == 1
    canary.hide(entra.token_requests[0].form["client_assertion"])
    proof = canary.hide(entra.token_requests[0].form["client_assertion"])
    canary.watch(get(canary, colour, user(entra, colour, canary, client_assertion_func=lambda: proof)))
    assert entra.exchanges == 2


def broken() -> str:
    raise LookupError("no assertion today")


WRONG: dict[str, dict[str, Any]] = {
    "a wrong secret": {"client_secret": CALLBACK_SECRET},
    "an opaque proof": {"client_assertion_func": lambda: CALLBACK_SECRET},
    "a broken callback": {"client_assertion_func": broken},
    "an opaque user token": {"user_assertion": "canary-of-an-opaque-assertion"},
    "a strange user token": {
        "user_assertion": "eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOiJjYW5hcnkgY2FuYXJ5IGNhbmFyeSBjYW5hcnkifQ.x"
    },
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
def test_what_is_refused_shows_nothing(
    entra: LocalEntra, colour: Colour, canary: Canary, options: dict[str, Any]
) -> None:
    credential = user(entra, colour, canary, **options)
    for _ in range(2):
        canary.watch(get(canary, colour, credential))
    assert entra.exchanges == 0


def test_refusals_of_every_kind_show_nothing(colour: Colour, canary: Canary, clock: Clock) -> None:
    with LocalEntra(clock=clock) as entra:
        credential = user(entra, colour, canary)
        canary.watch(get(canary, colour, credential))
        clock.now += 3700
        faults: list[Callable[[], object]] = [
            lambda: entra.require_mfa("alice"),
            lambda: entra.revoke("alice", end_session=True),
            lambda: entra.throttle(3, times=1),
            lambda: entra.outage(500, times=3),
            lambda: entra.drop_connections(times=3),
        ]
        for fault in faults:
            fault()
            canary.watch(get(canary, colour, credential))
            clock.now += 400
            canary.watch(get(canary, colour, credential))


TOKEN = "canary-in-a-broken-answer-0123456789"
BROKEN: dict[str, bytes] = {
    "cut off": b'{"token_type":"Bearer","expires_in":3600,"access_token":"' + TOKEN.encode(),
    "no text": b'\xff{"access_token":"' + TOKEN.encode() + b'"}',
    "a page": b"<html>" + TOKEN.encode(),
    "type pop": token_answer(TOKEN, token_type="pop").body,
    "no life": token_answer(TOKEN, expires_in=None).body,
    "fewer scopes": token_answer(TOKEN, scope="other").body,
    "an error beside it": token_answer(TOKEN, error="invalid_grant").body,
    "a list": b'["' + TOKEN.encode() + b'"]',
}


@pytest.mark.peer_defect(9)
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("status", [200, 400, 307])
def test_broken_answers_show_nothing(
    entra: LocalEntra, colour: Colour, canary: Canary, body: bytes, status: int
) -> None:
    canary.hide(TOKEN)
    entra.answer_once(status, {"Location": entra.authority}, body)
    canary.watch(get(canary, colour, user(entra, colour, canary)))


def test_many_followers_of_a_failure_show_nothing(entra: LocalEntra, canary: Canary) -> None:
    colour = Colour("async")
    entra.require_consent("bob", entra.api, ["User.Read"])
    credential = user(entra, colour, canary, user_assertion=entra.sign_in("bob"))

    async def main() -> list[Any]:
        async with credential:
            return await asyncio.gather(*[credential.get_token(SCOPE) for _ in range(5)], return_exceptions=True)

    for error in asyncio.run(main()):
        canary.shown += traceback.format_exception(error)
    entra.grant_consent("bob", entra.api, ["User.Read"])


def test_bad_arguments_show_nothing(entra: LocalEntra, colour: Colour, canary: Canary) -> None:
    pem = canary.hide_pem(key_pem(password=b"canary-password") + certificate_pem())
    canary.hide("canary-password")
    canary.hide("canary-wrong")
    for options in (
        {"client_certificate": pem, "password": "canary-wrong"},
        {"client_certificate": pem},
        {"client_certificate": pem, "client_secret": SECRET},
        {"client_certificate": pem[:900]},
        {"client_secret": SECRET, "user_assertion_token": "canary-wrong"},
        {"client_secret": SECRET, "authority": "http://login.example"},
    ):
        canary.watch(lambda options=options: user(entra, colour, canary, **options))  # type: ignore[misc]  # late binding
    canary.watch(get(canary, colour, user(entra, colour, canary)))


# The canary itself


class LeakyError(AuthenticationError):
    """An error that shows its secret wherever a test says."""


def leak_in_text() -> Exception:
    return LeakyError(f"the secret is {SECRET}")


def leak_in_attribute() -> Exception:
    error = LeakyError("refused")
    error.answer = ProviderError(error_description=SECRET)
    return error


def leak_in_note() -> Exception:
    error = LeakyError("refused")
    error.add_note(SECRET)
    return error


def leak_in_cause() -> Exception:
    error = LeakyError("refused")
    error.__cause__ = ValueError(SECRET)
    return error


def leak_in_hidden_context() -> Exception:
    error = LeakyError("refused")
    error.__context__ = json.JSONDecodeError("bad", SECRET, 0)
    error.__suppress_context__ = True
    return error


def leak_in_member() -> Exception:
    return ChainedAuthenticationError("refused", None, [ValueError(SECRET)])


LEAKS = (leak_in_text, leak_in_attribute, leak_in_note, leak_in_cause, leak_in_hidden_context, leak_in_member)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_the_canary_finds_a_leak_in_an_error(caplog: pytest.LogCaptureFixture, leak: Callable[[], Exception]) -> None:
    canary = Canary(caplog)
    canary.hide(SECRET)
    canary.examine_error(leak())
    assert canary.leaks()


class Leaky:
    """A value that keeps its secret out of sight, but not out of its attributes and its pickle."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return "Leaky()"


@pytest.mark.parametrize("text", [SECRET, f"b64 {base64.b64encode(SECRET.encode()).decode()}"])
def test_the_canary_finds_a_leak_in_a_value(caplog: pytest.LogCaptureFixture, text: str) -> None:
    canary = Canary(caplog)
    canary.hide(SECRET)
    canary.examine(Leaky("harmless"))
    assert not canary.leaks()
    canary.shown += shown_by_copies(Leaky(text))
    assert canary.leaks()


def test_the_canary_finds_a_leak_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    canary = Canary(caplog)
    canary.hide(SECRET)
    logging.getLogger("credentials").warning("the secret is %s", SECRET)
    with pytest.raises(AssertionError):
        canary.check()
    caplog.clear()
