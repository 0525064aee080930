from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import azure.core.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

import credentials
from credentials import _errors as module
from credentials._errors import AnswerTooLargeError, ProviderError, TransportError, scrub

ANSWER = ProviderError(
    status_code=400,
    error="interaction_required",
    error_description="AADSTS50076: more",
    error_codes=(50076,),
    suberror="basic_action",
    claims="{}",
    correlation_id="c",
    trace_id="t",
    timestamp="now",
    retry_after=3.5,
)
KINDS = [
    credentials.AuthenticationError,
    credentials.InteractionRequiredError,
    credentials.ConsentRequiredError,
    credentials.InvalidAssertionError,
    credentials.ClientConfigurationError,
    credentials.ProviderUnavailableError,
    credentials.UnusableAnswerError,
]
MADE: list[Exception] = [
    *[kind("said", ANSWER) for kind in KINDS],
    credentials.AuthenticationError("said"),
    credentials.CredentialUnavailableError("said"),
    credentials.AuthenticationRequiredError(["a", "b"], "said", claims="{}"),
    TransportError("said"),
    AnswerTooLargeError("said"),
]
FIELDS = (*ProviderError.__dataclass_fields__, "scopes", "text", "message")


def test_every_credential_error_is_azure_cores_too() -> None:
    for name in credentials.__all__:
        thing: Any = getattr(credentials, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert issubclass(thing, azure.core.exceptions.ClientAuthenticationError)


def test_unavailable_and_refused_are_siblings() -> None:
    unavailable, refused = credentials.CredentialUnavailableError, credentials.AuthenticationError
    assert not issubclass(unavailable, refused)
    assert not issubclass(refused, unavailable)
    assert issubclass(credentials.AuthenticationRequiredError, unavailable)
    assert issubclass(credentials.ConsentRequiredError, credentials.InteractionRequiredError)


def test_an_error_without_an_answer_says_so() -> None:
    error = credentials.AuthenticationError("said")
    assert (error.status_code, error.error, error.error_codes, error.claims) == (None, None, (), None)
    assert str(error) == "said"


def test_an_error_has_every_field_of_its_answer() -> None:
    error = credentials.AuthenticationError("said", ANSWER)
    assert {name: getattr(error, name) for name in ProviderError.__dataclass_fields__} == {
        name: getattr(ANSWER, name) for name in ProviderError.__dataclass_fields__
    }


def test_a_wait_can_be_told_anew_without_changing_the_error() -> None:
    error = credentials.ProviderUnavailableError("said", ANSWER)
    again = error.told_to_wait(1.0)
    assert type(again) is type(error)
    assert (again.retry_after, error.retry_after, again.claims, str(again)) == (1.0, 3.5, "{}", "said")


def test_a_required_sign_in_says_what_for() -> None:
    error = credentials.AuthenticationRequiredError(["a"])
    assert (error.scopes, error.claims) == (("a",), None)
    assert "Sign the user in" in str(error)


def raised(error: Exception) -> Exception:
    """Return an equal error that was made and raised while another was handled."""
    with pytest.raises(type(error)) as caught:
        raise_while_handling(error)
    return caught.value


def raise_while_handling(error: Exception) -> None:
    try:
        int("no number")
    except ValueError as inner:
        raise copy.copy(error) from inner


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: Exception) -> None:
    for made in (error, raised(error)):
        for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):  # noqa: S301  # made a line above
            assert type(again) is type(error)
            assert str(again) == str(error)
            assert [getattr(again, name, None) for name in FIELDS] == [getattr(error, name, None) for name in FIELDS]


# Texts


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("plain", "plain"),
        ("  a\r\nb\x00c\u2028d  ", "a b c d"),
        pytest.param("a\ud800b\u202ec\u2066\udfffd", "a b c d", id="halves of characters, and reversed order"),
        ("x eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.AA-_ y", "x <token> y"),
        ("x eyJhbGciOiJSUzI1NiJ9..AA.BB.CC= y", "x <token> y"),
        ("eyJhbGciOi", "eyJhbGciOi"),
        ('{"access_token":"eyJhbGciOiJSUzI1NiJ9"}', '{"access_token":"<token>"}'),
    ],
)
def test_scrub(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@given(st.text())
def test_scrubbed_text_is_one_bounded_line(text: str) -> None:
    assert len(scrub("y" * 3000 + text)) <= 2048
    assert len(scrub(text).splitlines()) <= 1


def test_a_token_that_is_cut_is_still_scrubbed() -> None:
    assert "eyJ" not in scrub("a" * (4 * module._MAX_TEXT - 40) + "eyJhbGciOiJSUzI1NiJ9" * 9)
    assert "eyJ" not in scrub("a" * (module._MAX_TEXT - 5) + " eyJhbGciOiJSUzI1NiJ9" * 9)


def run_in_a_fresh_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_without_azure_core_the_errors_stand_alone() -> None:
    program = """
import pickle, sys
sys.modules["azure.core.exceptions"] = None
import credentials
error = credentials.AuthenticationRequiredError(["a"], "said", claims="{}")
again = pickle.loads(pickle.dumps(error))
print(credentials.ClientAuthenticationError.__module__, again, again.scopes, again.claims)
print(pickle.loads(pickle.dumps(credentials.ConsentRequiredError("no"))))
"""
    assert run_in_a_fresh_python(program) == "credentials._errors said ('a',) {}\nno\n"


def test_a_platform_without_fork_is_served_too() -> None:
    program = """
import cachetools, httpx, jwt, logging, os, random
del os.register_at_fork
import credentials
print(credentials.ClientSecret("s"))
"""
    assert run_in_a_fresh_python(program) == "ClientSecret()\n"
