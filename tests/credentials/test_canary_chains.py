"""No token that others put into their errors is shown by what asks them: chains, and token providers."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from credentials import (
    AuthenticationError,
    ClientAuthenticationError,
    CredentialUnavailableError,
    get_bearer_token_provider,
)
from credentials import aio as awaitable
from credentials._errors import ChainedAuthenticationError, ProviderError
from tests.credentials.canary import OPAQUE, SCOPE, TOKEN, Canary, asks
from tests.credentials.chains import AsyncOurs, AsyncPlain, AsyncTheirs, Ours, Plain, Theirs, chain, unavailable
from tests.credentials.defaults import default, with_members
from tests.credentials.helpers import Colour

pytestmark = pytest.mark.attack(184)

TEXTS = {
    "bare": f"refused {TOKEN}.",
    "in JSON": json.dumps({"access_token": OPAQUE, "assertion": TOKEN}),
    "spaced": json.dumps({"access_token": OPAQUE}, indent=2),
    "in JSON within JSON": json.dumps({"message": json.dumps({"accessToken": OPAQUE})}),
    "in a header": f"Authorization: Bearer {OPAQUE}",
    "in broken lines": f"it was {TOKEN[:70]}\n{TOKEN[70:150]}\n{TOKEN[150:]}",
}


class ForeignError(Exception):
    """An error of somebody else's, with its answer."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.response = text


class ForeignUnavailableError(CredentialUnavailableError):
    """An error of somebody else's that lets a chain go on."""


class ForeignAzureError(ClientAuthenticationError):
    """azure-core's error, as a foreign credential raises it."""


FOREIGN = (ForeignError, ForeignAzureError, ForeignUnavailableError)
MEMBERS = (Theirs, AsyncTheirs, Plain, AsyncPlain)


def chains(colour: Colour, member: Any) -> list[Any]:
    """Return what has the member within: a chain, a chain within a chain, and the default one."""
    last = (Ours if colour.name == "blocking" else AsyncOurs)(unavailable())
    return [chain(colour, member, last), chain(colour, chain(colour, member), last), with_members(colour, member, last)]


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: error.__name__)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_members_text_is_told_without_its_token(
    canary: Canary, colour: Colour, kind: Any, error: Callable[[str], Exception], text: str
) -> None:
    canary.foreign = FOREIGN
    for credential in chains(colour, kind(error(text))):
        failure = canary.fails(asks(canary, colour, credential))
        assert "<token>" in str(failure)


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_token_provider_tells_no_token(canary: Canary, kind: Any, text: str) -> None:
    canary.foreign = FOREIGN
    canary.fails(get_bearer_token_provider(kind(ForeignError(text)), SCOPE))
    provide = awaitable.get_bearer_token_provider(kind(ForeignError(text)), SCOPE)
    canary.fails(lambda: asyncio.run(provide()))  # type: ignore[arg-type]  # a coroutine, whatever the protocol says


@pytest.mark.parametrize("token", [TOKEN, OPAQUE])
def test_a_members_good_token_is_not_shown(canary: Canary, colour: Colour, token: str) -> None:
    for kind in MEMBERS:
        for credential in chains(colour, kind(token)):
            assert canary.watch(asks(canary, colour, credential)) is None


class Broken:
    """A credential whose answers are not what they should be."""

    def __init__(self, value: object) -> None:
        self.value = value

    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        return self.value


class Strange:
    """A token that says nothing usable of its end."""

    def __init__(self, token: str, expires_on: object) -> None:
        self.token, self.expires_on = token, expires_on


@pytest.mark.parametrize(
    "value", [TOKEN, OPAQUE, Strange(TOKEN, TOKEN), Strange(f"{OPAQUE}\n", 1), {"token": TOKEN}, (OPAQUE, OPAQUE)]
)
def test_a_members_unusable_token_is_not_shown(canary: Canary, colour: Colour, value: object) -> None:
    for credential in (chain(colour, Broken(value)), with_members(colour, Broken(value))):
        canary.fails(asks(canary, colour, credential))
    canary.fails(get_bearer_token_provider(Broken(value), SCOPE))


def test_the_pickled_error_of_a_chain_has_no_token(canary: Canary, colour: Colour) -> None:
    canary.foreign = FOREIGN
    failure = canary.fails(asks(canary, colour, chain(colour, Theirs(ForeignError(TEXTS["in JSON"])))))
    assert isinstance(failure, ChainedAuthenticationError)
    again = pickle.loads(pickle.dumps(failure))  # noqa: S301  # our own bytes
    canary.foreign = ()
    canary.examine_error(again)


def test_an_error_made_while_another_is_handled_notes_nothing_of_it(canary: Canary) -> None:
    errors: list[Exception] = []
    try:
        Theirs(ForeignError(OPAQUE)).get_token_info(SCOPE, options={})
    except ForeignError:
        errors = [AuthenticationError("refused", ProviderError(status_code=400)), CredentialUnavailableError("none")]
    for error in errors:
        canary.examine_error(error)
    assert errors


def test_the_default_credential_shows_nothing_of_itself(canary: Canary, colour: Colour) -> None:
    canary.examine(default(colour, exclude_environment_credential=True))
