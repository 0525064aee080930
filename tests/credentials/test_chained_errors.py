"""The errors of chains: what they tell, hold and hide, and that they travel."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError as TheirError
from hypothesis import given
from hypothesis import strategies as st

import credentials
from credentials._errors import ChainedAuthenticationError, ChainUnavailableError, ProviderError, chain_error, told
from tests.credentials.chains import JWT, KINDS, SCOPE, Ours, Plain, chain, unavailable
from tests.credentials.helpers import Colour

ANSWER = ProviderError(status_code=503, error="temporarily_unavailable", claims="{}", retry_after=7.0)
HEAD = " failed to retrieve a token from the included credentials.\nAttempted credentials:"


class AwkwardError(Exception):
    """An error of somebody's own that cannot be made from its text."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class MuteError(Exception):
    """An error that fails to tell what it says."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def failed(colour: Colour, *members: Any) -> Any:
    with pytest.raises(credentials.ClientAuthenticationError) as caught:
        colour.get_token(chain(colour, *members), SCOPE)
    return caught.value


# Texts


def test_each_attempt_has_a_line(colour: Colour) -> None:
    error = failed(colour, Ours(unavailable("no file")), Plain(RuntimeError("first\r\n\tsecond")))
    name = type(chain(colour, Ours("a"))).__name__
    assert str(error) == f"{name}{HEAD}\n\tOurs: no file\n\tPlain: RuntimeError: first second"


def test_the_attempts_of_a_chain_within_stand_below_it(colour: Colour) -> None:
    inner = chain("blocking", Ours(unavailable("one")), chain("blocking", Plain(unavailable("two"))))
    error = failed(colour, inner, Ours(unavailable("three")))
    name, within = type(chain(colour, inner)).__name__, type(inner).__name__
    assert str(error).split("\n") == [
        f"{name} failed to retrieve a token from the included credentials.",
        "Attempted credentials:",
        f"\t{within}: {within} failed to retrieve a token from the included credentials.",
        "\tAttempted credentials:",
        "\t\tOurs: one",
        f"\t\t{within}: {within} failed to retrieve a token from the included credentials.",
        "\t\tAttempted credentials:",
        "\t\t\tPlain: two",
        "\tOurs: three",
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("error", [RuntimeError(f"got {JWT}"), TheirError(f"got {JWT}"), unavailable(f"got {JWT}")])
def test_no_token_in_a_members_error_is_told(
    colour: Colour, kind: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "credentials")
    for members in ([kind(error)], [chain(colour, kind(error))]):
        raised = failed(colour, *members)
        for text in (str(raised), repr(raised), caplog.text):
            assert "got" in text
            assert JWT not in text
            assert JWT.split(".")[1] not in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (credentials.AuthenticationError("said"), "said"),
        (TheirError("said"), "said"),
        (credentials.AuthenticationError(" "), "AuthenticationError"),
        (KeyError("k"), "KeyError: 'k'"),
        (TimeoutError(), "TimeoutError"),
        (MuteError(), "MuteError"),
    ],
)
def test_any_error_can_be_told(error: Exception, text: str) -> None:
    assert told(error) == text


def test_the_body_of_an_answer_is_not_told() -> None:
    error = TheirError("said")
    error.message = "message"
    assert told(error) == "message"
    error.message = 7  # type: ignore[assignment]  # a class of somebody's own may put anything there
    assert "said" in told(error)


@given(texts=st.lists(st.text(max_size=50), min_size=1, max_size=4))
def test_one_attempt_never_looks_like_two(texts: list[str]) -> None:
    error = chain_error("Chain", [("Member", unavailable(text)) for text in texts])
    assert len(str(error).split("\n")) == 2 + len(texts)
    assert len(str(error).splitlines()) == 2 + len(texts)
    outer = chain_error("Outer", [("Chain", error)])
    assert len(str(outer).splitlines()) == 4 + len(texts)


def test_a_forged_aggregate_is_scrubbed_like_any_other_error() -> None:
    forged = ChainUnavailableError(f"x {JWT}\n\t\ty {JWT}")
    assert str(chain_error("Chain", [("Member", forged)])).endswith("\n\tMember: x <token>\n\t\t\ty <token>")


# What they hold


def test_a_stopped_chain_has_the_answer_of_the_member_that_ended_it(colour: Colour) -> None:
    error = failed(colour, Ours(unavailable()), Ours(credentials.ProviderUnavailableError("down", ANSWER)))
    assert isinstance(error, ChainedAuthenticationError)
    assert error.answer == ANSWER
    assert (error.status_code, error.error, error.claims, error.retry_after) == (503, ANSWER.error, "{}", 7.0)


def test_the_status_of_azure_cores_errors_is_known_too(colour: Colour) -> None:
    theirs: Any = TheirError("no")
    theirs.status_code = 401
    assert failed(colour, Plain(theirs)).status_code == 401
    assert failed(colour, Plain(TheirError("no"))).status_code is None
    assert failed(colour, Plain(ValueError("no"))).answer == ProviderError()


def test_each_members_error_keeps_its_own_cause(colour: Colour) -> None:
    first, second = unavailable(), credentials.AuthenticationError("no")
    first.__cause__, second.__cause__ = OSError("a"), OSError("b")
    error = failed(colour, Plain(first), Ours(second))
    assert [str(each.__cause__) for each in error.errors] == ["a", "b"]
    assert error.__cause__ is second


def test_the_origin_is_the_error_that_ended_the_innermost_chain(colour: Colour) -> None:
    for ending in (credentials.ConsentRequiredError("no"), ValueError("no")):
        error = failed(colour, chain(colour, Ours(unavailable()), chain(colour, Ours(ending))))
        assert error.origin is ending
    plain = credentials.AuthenticationError("no")
    assert plain.origin is plain
    alone = ChainedAuthenticationError("made by hand")
    assert alone.origin is alone


def test_a_wait_told_anew_is_told_of_the_origin_too() -> None:
    down: Any = credentials.ProviderUnavailableError("down", ANSWER)
    error: Any = chain_error("Chain", [("A", unavailable()), ("B", down)])
    again = error.told_to_wait(1.0)
    assert (again.retry_after, again.origin.retry_after, error.retry_after, down.retry_after) == (1.0, 1.0, 7.0, 7.0)
    assert again.errors[0] is error.errors[0]
    assert (type(again), str(again)) == (ChainedAuthenticationError, str(error))
    foreign: Any = chain_error("Chain", [("B", ValueError("odd"))])
    assert foreign.told_to_wait(2.0).errors == foreign.errors
    assert ChainedAuthenticationError("by hand").told_to_wait(2.0).retry_after == 2.0


# How they travel


AGGREGATES = [
    chain_error("Chain", [("A", unavailable("one")), ("B", credentials.ConsentRequiredError("no", ANSWER))]),
    chain_error("Chain", [("A", unavailable("one")), ("B", credentials.AuthenticationRequiredError(["a"]))]),
]


@pytest.mark.parametrize("error", [*AGGREGATES, chain_error("Outer", [("Chain", AGGREGATES[0])])])
def test_an_aggregate_survives_pickling(error: Any) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # made a line above
    assert (type(again), str(again), again.text) == (type(error), str(error), error.text)
    assert [type(each) for each in again.errors] == [type(each) for each in error.errors]
    assert getattr(again, "answer", None) == getattr(error, "answer", None)


FOREIGN = [
    chain_error("Chain", [("A", unavailable()), ("B", AwkwardError("first", "second"))]),
    ChainUnavailableError("by hand", [AwkwardError("first", "second")]),
]


@pytest.mark.parametrize("error", [*AGGREGATES, *FOREIGN])
def test_a_copy_has_the_very_errors(error: Any) -> None:
    again = copy.copy(error)
    assert (type(again), str(again), again.errors) == (type(error), str(error), error.errors)


def test_a_foreign_error_is_pickled_as_its_text() -> None:
    error: Any = chain_error("Chain", [("A", TheirError(f"x {JWT}")), ("B", AwkwardError("first", "second"))])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # made a line above
    assert [(type(each).__name__, str(each)) for each in again.errors] == [
        ("CredentialUnavailableError", "x <token>"),
        ("AuthenticationError", "AwkwardError: first second"),
    ]
    gone = chain_error(
        "Chain", [("A", unavailable()), ("B", type("Gone", (credentials.CredentialUnavailableError,), {})("z"))]
    )
    kinds = [type(each) for each in pickle.loads(pickle.dumps(gone)).errors]  # noqa: S301  # made a line above
    assert kinds == [credentials.CredentialUnavailableError] * 2
