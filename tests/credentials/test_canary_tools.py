"""No token in the output of a developer tool is shown, however it is written there."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from credentials._developer_command import DeveloperTool
from credentials._flow import CommandResult
from tests.credentials.canary import OPAQUE, TOKEN, Canary, asks, misplaced
from tests.credentials.developer_tools import KINDS, Kind, asking, of, on_path
from tests.credentials.helpers import Colour, play

pytestmark = pytest.mark.attack(184)

WIDTH = 80


def wrapped(text: str, between: str) -> str:
    """Return a text as a console of that width breaks it."""
    return between.join(text[start : start + WIDTH] for start in range(0, len(text), WIDTH))


def named(name: str, token: str) -> dict[str, str]:
    """Return a member that holds the token, in every way of writing it."""
    member = {name: token}
    compact, spaced = json.dumps(member, separators=(",", ":")), json.dumps(member, indent=4)
    once, twice = json.dumps({"message": compact}), json.dumps({"message": json.dumps({"message": compact})})
    return {
        "compact": compact,
        "spaced": spaced,
        "spaces around": f'{{ "{name}"  :  "{token}" }}',
        "over lines": f'{{\n"{name}"\n:\n\t"{token}"\n}}',
        "single quotes": str(member),
        "within JSON": once,
        "twice within JSON": twice,
        "escaped quotes": compact.replace('"', "\\u0022"),
        "escaped twice": compact.replace('"', "\\\\u0022"),
        "YAML": f"{name}: {token}\nexpires: never" if name != "token" else compact,
        "an assignment": f'${name} = "{token}"',
        "cut off": compact[:-6],
        "after much else": " " * 900 + compact,
    }


def bare(token: str) -> dict[str, str]:
    """Return a JWT, in every way of writing it."""
    return {
        "bare": f"ERROR: {token}.",
        "a header": f"Authorization: Bearer {token}",
        "a table": f"AccessToken    ExpiresOn\n{token}    2026-01-01",
        "broken lines": wrapped(f"ERROR: the token {token} is wrong", "\n"),
        "indented broken lines": wrapped(f"ERROR: the token {token} is wrong", "\r\n     | "),
        "escaped dots": token.replace(".", "\\u002e"),
        "in colour": f"\x1b[31m{token}\x1b[0m",
        "in a URL": f"https://x/?access_token={token}&y",
        "quoted": json.dumps(f"got '{token}'"),
        "the mark": f"azsdk%{token}%soon",
        "the mark, broken": f"azsdk%{wrapped(token, chr(10))}%1",
    }


def outputs() -> dict[str, str]:
    answers = {
        f"{name} {key}": body.decode("utf-8", "replace")
        for name in ("accessToken", "token", "Token")
        for key, body in misplaced(name).items()
    }
    members = {
        f"{name} {key} {token[:3]}": text
        for name in ("accessToken", "access_token", "token", "refreshToken", "id_token")
        for token in (TOKEN, OPAQUE)
        for key, text in named(name, token).items()
    }
    bearer = {"an opaque header": f"Authorization: Bearer {OPAQUE}"}
    return {**answers, **members, **bare(TOKEN), **bearer, "an opaque mark": f"azsdk%{OPAQUE}%soon"}


def results(text: str) -> list[CommandResult]:
    """Return the ways in which a tool may say this."""
    lines = json.dumps({"error": text}) + "\n" + json.dumps({"data": {"message": text}})
    return [
        CommandResult(status=0, output=text, errors=""),
        CommandResult(status=1, output=text, errors=f"ERROR: {text}"),
        CommandResult(status=1, output="", errors=text),
        CommandResult(status=1, output=lines, errors=""),
    ]


@pytest.mark.parametrize("text", outputs().values(), ids=outputs())
def test_no_token_in_a_tools_output_is_shown(
    canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    # Pieces too: a console breaks the lines.
    canary.secrets |= {TOKEN[start : start + 24] for start in range(0, len(TOKEN) - 24, 8)}
    for kind in KINDS.values():
        on_path(kind, tmp_path, monkeypatch)
        for result in results(text):
            played = play(asking(of(kind)), result)
            if played.error is not None:
                canary.examine_error(played.error)
            canary.show(played.value)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_token_of_a_real_process_is_shown(
    canary: Canary, colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    text = named("accessToken", OPAQUE)["spaced"] + bare(TOKEN)["broken lines"]
    for said in ({"output": text}, {"errors": text}):
        on_path(kind, tmp_path, monkeypatch).says(**said, status=1)
        canary.fails(asks(canary, colour, kind.make(colour)))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_a_tool_said_before_it_hung_is_not_shown(
    canary: Canary, colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    on_path(kind, tmp_path, monkeypatch).does(f"echo {TOKEN}\necho {TOKEN} >&2\nexec sleep 60\n")
    canary.fails(asks(canary, colour, kind.make(colour, process_timeout=0.2)))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_good_token_is_not_shown(
    canary: Canary, colour: Colour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    on_path(kind, tmp_path, monkeypatch).says(kind.output(TOKEN, 4_000_000_000))
    assert canary.watch(asks(canary, colour, kind.make(colour))) is None


def test_the_texts_are_those_of_tokens() -> None:
    assert all(TOKEN[:20] in text or OPAQUE[:8] in text for text in outputs().values())
    assert base64.urlsafe_b64decode(TOKEN.split(".")[0] + "==")
    assert all(issubclass(kind.blocking, DeveloperTool) for kind in KINDS.values())
