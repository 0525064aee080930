"""What is said about a token, and what is kept back."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from obo_middleware.command._explained import explained, kind_of
from obo_middleware.command._terminal import harmless
from obo_middleware.testing import LocalEntra, foreign_key
from tests.command.kit import Run, Said, Terminal

NOW = 1_800_000_000.0


@pytest.fixture
def inspected(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run the command with a token on standard input."""

    def inspects(token: str, *words: str) -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO(token))
        return run("inspect", *words)

    return inspects


Inspected = Callable[..., Said]


def unsigned(claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    parts = (header or {"alg": "RS256", "typ": "JWT", "kid": "k"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{texts[0]}.{texts[1]}.c2lnbmF0dXJl"


# Whether it would be accepted


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("before", ["", "Bearer ", "authorization: bearer ", '"'])
def test_a_good_token_is_accepted(inspected: Inspected, entra: LocalEntra, before: str) -> None:
    said = inspected(f"{before}{entra.sign_in('alice')}\n")
    assert (said.code, said.err) == (0, "")
    assert "accepted: the signature and every claim are as the app wants them" in said.out


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://graph.microsoft.com"}, "aud"),
        ({"exp": 1_700_000_000}, "the token has expired"),
        ({"iss": "https://login.microsoftonline.com/other/v2.0"}, "the claim iss is no issuer of the settings"),
        ({"scp": None, "roles": ["Orders.Read"], "idtyp": "app"}, "the token is an application's own"),
    ],
)
def test_a_token_that_is_refused_says_why(
    inspected: Inspected, entra: LocalEntra, claims: dict[str, Any], reason: str
) -> None:
    said = inspected(entra.sign_in("alice", **claims), "--json")
    verdict = json.loads(said.out)["verdict"]
    assert (said.code, verdict["accepted"], reason in verdict["reason"]) == (1, False, True)


@pytest.mark.usefixtures("variables")
def test_a_foreign_signature_is_refused(inspected: Inspected, entra: LocalEntra) -> None:
    said = inspected(entra.sign_in("alice", key=foreign_key()))
    assert said.code == 1
    assert "not accepted: the" in said.out


def test_without_settings_nothing_is_judged(inspected: Inspected, entra: LocalEntra) -> None:
    said = inspected(entra.sign_in("alice"), "--json")
    assert (said.code, json.loads(said.out)["verdict"]["accepted"]) == (0, None)
    assert "not judged: name the app with --app" in said.out


def test_without_the_provider_nothing_follows_for_the_token(
    inspected: Inspected, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalEntra() as gone:
        token = gone.sign_in("alice")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", token and gone_url(token))
    said = inspected(token, "--json")
    verdict = json.loads(said.out)["verdict"]
    assert (said.code, verdict["accepted"], "could not be fetched" in verdict["reason"]) == (0, None, True)


def gone_url(token: str) -> str:
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return str(claims["iss"]).partition("/0b0a")[0]


@pytest.mark.usefixtures("variables")
def test_the_settings_may_be_an_apps(inspected: Inspected, entra: LocalEntra) -> None:
    said = inspected(entra.sign_in("bob"), "--app", "example_apps.fastapi_graph.app:app")
    assert "accepted: the signature" in said.out


# What is shown


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_neither_the_token_nor_its_signature_is_shown(
    inspected: Inspected, entra: LocalEntra, words: tuple[str, ...]
) -> None:
    token = entra.sign_in("alice")
    said = inspected(token, *words)
    for part in token.split("."):
        assert part[:20] not in said.out + said.err


def test_a_token_may_be_given_as_an_argument(run: Run, entra: LocalEntra) -> None:
    document = json.loads(run("inspect", entra.sign_in("alice"), "--json").out)
    assert document["claims"]["name"] == "Alice Adams"
    assert document["meanings"]["oid"] == "the user, the same in all apps of the tenant"
    assert document["header"]["alg"] == "RS256"
    assert document["warning"] is None


def test_a_claim_cannot_draw_on_the_screen(inspected: Inspected) -> None:
    claims = {"name": "\x1b[2J\x1b]0;x\x07[bold]accepted[/bold] :smile: \u202e", "scp": "a", "amr": ["\x1b[1m"]}
    said = inspected(unsigned(claims))
    assert said.code == 0
    assert not set(said.out) & {"\x1b", "\x07", "\u202e"}
    assert "[bold]accepted[/bold]" in said.out


def test_what_a_terminal_would_not_print_is_escaped() -> None:
    assert harmless("a\x1b\n\u202e\u200bé") == "a\\x1b\\n\\u202e\\u200bé"


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("exp", NOW + 30, "when it ends: 2027-01-15 08:00:30 UTC, in 30 seconds"),
        ("exp", NOW + 90, "when it ends: 2027-01-15 08:01:30 UTC, in 1 minute"),
        ("nbf", NOW - 7200, "from when it is good: 2027-01-15 06:00:00 UTC, 2 hours ago"),
        ("iat", NOW - 3 * 86_400, "when it was issued: 2027-01-12 08:00:00 UTC, 3 days ago"),
        ("exp", "soon", "when it ends: this is no time"),
        ("exp", 1e30, "when it ends: this is no time"),
        ("azpacr", "1", "how the client proved who it is: a client with a secret"),
        ("appidacr", ["x"], "how the client proved who it is: unknown"),
        ("aud", "x", "the API that the token is for"),
        ("rh", "x", ""),
    ],
)
def test_claims_are_said_in_words(name: str, value: Any, meaning: str) -> None:
    assert explained(name, value, NOW) == meaning


@pytest.mark.parametrize(
    ("header", "claims", "said"),
    [
        ({"nonce": "n"}, {"scp": "User.Read"}, "for a Microsoft API such as Graph"),
        ({}, {"nonce": "n", "name": "x"}, "This is an ID token"),
        ({}, {"name": "x"}, "It grants nothing"),
        ({}, {"roles": ["a"]}, ""),
    ],
)
def test_tokens_of_other_kinds_are_recognised(header: dict[str, str], claims: dict[str, Any], said: str) -> None:
    assert said in kind_of(header, claims)
    assert bool(said) == bool(kind_of(header, claims))


def test_a_token_of_another_kind_is_said_on_the_screen(inspected: Inspected) -> None:
    assert "This is an ID token" in inspected(unsigned({"nonce": "n", "exp": time.time()})).out


# What is no token


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no token: pipe one in"),
        ("Bearer ", "there is no token: pipe one in"),
        ("a.b.c.d.e", "the token is encrypted: only the API that it is for can read it"),
        ("nonsense", "this is no access token that can be read: the token does not have three segments"),
        ("a.b.!", "this is no access token that can be read: the token is malformed"),
        ("x" * 70_000, "the token is longer than 65536 characters: is it a token?"),
    ],
)
def test_what_is_no_token_is_said_in_a_line(inspected: Inspected, text: str, problem: str) -> None:
    said = inspected(text)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"obo-middleware: {problem}")
    assert said.err.count("\n") == 1


def test_a_person_is_told_to_paste(inspected: Inspected, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(unsigned({"scp": "a"})))
    said = run("inspect")
    assert (said.code, said.err) == (0, "Paste the token, then Enter and Ctrl-D:\n")
