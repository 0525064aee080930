"""What is left of a first fetch that failed: in memory, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from credentials.kernel import HttpResponse
from obo_middleware._metadata import FAILURE_KEPT
from obo_middleware._runtime import Runtime
from obo_middleware.testing import LocalEntra
from tests.core.foreign_issuer import OIDC, ForeignIssuer, outcome
from tests.core.issuer_bench import Bench
from tests.core.kit import Clock, Run, no_answer, play, settings_for
from tests.core.test_metadata import OUTAGES

ANOTHERS = HttpResponse(status=200, headers={}, body=b"{}")
MANY = 20


@pytest.fixture
def issuer(clock: Clock) -> Iterator[ForeignIssuer]:
    """Run an issuer whose metadata is another one's."""
    with ForeignIssuer(clock=clock) as running:
        running.server.say(OIDC, running.metadata(issuer="https://other.example"))
        yield running


@pytest.mark.parametrize("failure", [*OUTAGES[:-1], ANOTHERS], ids=str)
def test_what_is_kept_holds_nothing_of_the_request_that_came_first(failure: Exception | HttpResponse) -> None:
    bench = Bench("a")
    bench.provider.failure = failure
    error, kept = bench.key("a").error, bench.issuer._failure
    assert kept is not None
    assert (type(kept), str(kept)) == (type(error), str(error))
    bench.key("a", no_answer)
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)


def test_who_comes_to_lead_just_after_a_failure_does_not_ask_again() -> None:
    bench = Bench("a")
    bench.provider.failure = ANOTHERS
    error = bench.key("a").error
    # Such a caller has looked before there was a failure, and leads when the fetch that failed has landed.
    played = play(bench.issuer._first_fetch_flow(), no_answer)
    assert (played.effects, type(played.error), str(played.error)) == ([], type(error), str(error))


def test_nothing_is_kept_of_it_after_a_fetch_that_went_well() -> None:
    bench = Bench("a")
    bench.provider.failure = ANOTHERS
    bench.key("a")
    bench.provider.failure = None
    bench.clock.now += FAILURE_KEPT
    assert bench.has("a")
    assert bench.issuer._failure is None


def test_a_wrong_setting_is_an_error_in_the_log_once_for_each_fetch(
    provider: LocalEntra, issuer: ForeignIssuer, clock: Clock, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(settings_for(provider, issuers=[issuer.trusted()], clock=clock))
    runtime.start()  # which is said once, and not here
    caplog.set_level(logging.INFO, "obo_middleware")
    for fetches in (1, 2):
        answers = {outcome(runtime, issuer.token(jti=str(number)), run) for number in range(MANY)}
        records = [record for record in caplog.records if record.name == "obo_middleware"]
        errors = [record.getMessage() for record in records if record.levelno == logging.ERROR]
        assert answers == {"E"}
        assert (len(errors), len(records)) == (fetches, fetches * (1 + MANY))
        assert all(record.getMessage() == errors[0] and record.exc_info is None for record in records)
        clock.now += FAILURE_KEPT
    assert "ConfigurationError: the metadata of the issuer" in caplog.text
