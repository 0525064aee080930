"""What the credentials of all developer tools have in common: errors, and what these show."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import (
    AuthenticationError,
    ClientAuthenticationError,
    CredentialUnavailableError,
    UnusableAnswerError,
)
from credentials._flow import CommandResult
from credentials._types import Place
from tests.credentials.developer_tools import (
    AZ,
    AZD,
    KINDS,
    LATER,
    SCOPE,
    Kind,
    asking,
    failed,
    of,
    on_path,
    shown,
    succeeded,
)
from tests.credentials.helpers import NOW, play
from tests.credentials.tools import Tool

OPAQUE = "canary0opaque0token0without0any0dots"
JWT = "eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOiJjYW5hcnkifQ.canary"


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
def tool(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    return on_path(kind, tmp_path, monkeypatch)


# In chains


@pytest.mark.parametrize("place", [Place.ALONE, Place.CHAIN])
def test_output_without_a_token_stops_a_chain(kind: Kind, tool: Tool, place: Place) -> None:
    assert type(play(asking(of(kind), place=place), succeeded("nothing")).error) is UnusableAnswerError


def test_output_without_a_token_is_the_next_ones_turn_in_the_default_credential(kind: Kind, tool: Tool) -> None:
    error = play(asking(of(kind), place=Place.DEFAULT), succeeded("nothing")).error
    assert type(error) is CredentialUnavailableError
    assert isinstance(error.__cause__, UnusableAnswerError)
    assert str(error) == str(error.__cause__)


@pytest.mark.parametrize("kind", [AZ, AZD], ids=["cli", "developer cli"])
def test_a_refusal_is_the_next_ones_turn_in_the_default_credential_only(kind: Kind, tool: Tool) -> None:
    refused = failed("ERROR: AADSTS50079: due to a change")
    for place, expected in ((Place.ALONE, AuthenticationError), (Place.DEFAULT, CredentialUnavailableError)):
        error = play(asking(of(kind), place=place), refused).error
        assert type(error) is expected
        assert "AADSTS50079" in str(error)


@pytest.mark.parametrize("kind", [AZ, AZD], ids=["cli", "developer cli"])
def test_a_refusal_carries_what_the_tool_said(kind: Kind) -> None:
    with pytest.raises(AuthenticationError, match="gave no token: ERROR: AADSTS50079: no") as caught:
        kind.process(failed("ERROR: AADSTS50079: no\nTrace: AADSTS700082\n"), now=NOW)
    assert caught.value.error_codes == (50079, 700082)
    assert caught.value.error_description == "ERROR: AADSTS50079: no Trace: AADSTS700082"


# Secrets


@pytest.mark.parametrize("secret", [OPAQUE, JWT], ids=["opaque", "jwt"])
@pytest.mark.parametrize(
    "form",
    [
        '{{"accessToken":"{0}"',
        "{{'accessToken' :\t'{0}'",
        '{{\\"token\\":\\"{0}\\"}}',
        '"refresh_token" :  "{0}',
        "accessToken={0}",
        "access_token: {0}",
        "Authorization: Bearer {0}",
        "azsdk%{0}%later",
        '{{"data":{{"Token":"{0}"',
        '{{"error":"see \\"token\\": \\"{0}\\""}}',
        '{{"data":{{"message":"token: \'{0}\'"}}}}',
    ],
)
def test_no_text_of_a_tool_shows_a_token(
    kind: Kind, tool: Tool, form: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="credentials")
    text = form.format(secret)
    for result in (
        failed(text),
        failed(output=text),
        succeeded(text),
        succeeded(f"{{\n{text}"),
        failed(f"x\n{text}\n"),
    ):
        error = play(asking(of(kind)), result).error
        assert isinstance(error, ClientAuthenticationError)
        assert "canary" not in shown(error)
    assert "canary" not in caplog.text


@pytest.mark.parametrize("token", ["", " ", "a\u00e9", "a b\n"])
def test_a_token_that_no_header_may_have_is_refused(kind: Kind, token: str) -> None:
    with pytest.raises(UnusableAnswerError, match="Unexpected output"):
        kind.process(succeeded(kind.output(token, LATER)), now=NOW)


def test_the_log_shows_the_program_and_not_its_output(kind: Kind, tool: Tool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="credentials")
    tool.says(kind.output(JWT, LATER))
    credential = of(kind)
    credential.get_token(SCOPE)
    assert str(tool.path) in caplog.text
    assert "canary" not in caplog.text + repr(credential) + str(credential)


# Garbage

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.lists(st.integers())
MEMBERS = st.sampled_from(["accessToken", "expires_on", "expiresOn", "token", "error", "data", "message"])
OBJECTS = st.dictionaries(MEMBERS, VALUES | st.dictionaries(MEMBERS, VALUES)).map(
    lambda value: str(value).replace("'", '"')
)
LINES = st.lists(st.text(max_size=20), max_size=4).map(lambda parts: "azsdk%" + "%".join(parts))
OUTPUTS = st.text() | OBJECTS | LINES | st.tuples(st.text(max_size=9), OBJECTS).map("\n".join)


@pytest.mark.parametrize("garbled", KINDS.values(), ids=KINDS)
@given(st.sampled_from([0, 0, 1, 127, -9]), OUTPUTS, OUTPUTS)
def test_garbage_is_a_token_or_an_error_of_ours(garbled: Kind, status: int, output: str, errors: str) -> None:
    try:
        info = garbled.process(CommandResult(status=status, output=output, errors=errors), now=NOW)
    except (AuthenticationError, CredentialUnavailableError):
        return
    assert status == 0
    assert info.token
    assert info.token.isascii()
