"""What the client of the API gets where the application's credential is a chain."""

from __future__ import annotations

import pytest

import credentials
from credentials._errors import ChainedAuthenticationError, ChainUnavailableError, ProviderError
from obo_middleware._runtime import Runtime
from obo_middleware.errors import ClaimsChallengeError, OboError, UpstreamUnavailableError, answer_for
from tests.core.kit import settings
from tests.core.test_runtime import ERRORS


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS, ids=lambda value: getattr(value, "__name__", None))
def test_a_chain_is_answered_as_the_member_that_ended_it(
    error: credentials.ClientAuthenticationError, kind: type[OboError], status: int
) -> None:
    inner = ChainedAuthenticationError("inner", None, [credentials.CredentialUnavailableError("no file"), error])
    whole = ChainedAuthenticationError("the whole chain", None, [inner])
    answer = answer_for(whole, ["a"])
    assert (type(answer), str(answer)) == (kind, "the whole chain")
    assert Runtime(settings()).reply(whole, None).status == status


def test_a_chains_answer_has_what_the_caller_needs_next() -> None:
    asked = credentials.InteractionRequiredError("x", ProviderError(claims="{}"))
    down = credentials.ProviderUnavailableError("x", ProviderError(retry_after=7.0))
    first, second = (answer_for(ChainedAuthenticationError("x", None, [error])) for error in (asked, down))
    assert isinstance(first, ClaimsChallengeError)
    assert isinstance(second, UpstreamUnavailableError)
    assert (first.claims, second.retry_after) == ("{}", 7.0)


def test_a_chain_of_which_nothing_is_here_is_our_own_configuration() -> None:
    assert Runtime(settings()).reply(ChainUnavailableError("nothing"), None).status == 500


@pytest.mark.parametrize("last", [ValueError("odd"), credentials.ClientAuthenticationError("theirs")])
def test_a_chain_that_something_foreign_ended_gave_no_usable_answer(last: Exception) -> None:
    assert Runtime(settings()).reply(ChainedAuthenticationError("x", None, [last]), None).status == 502
