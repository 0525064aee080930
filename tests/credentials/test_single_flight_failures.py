from __future__ import annotations

import pytest

from credentials import (
    AuthenticationError,
    AuthenticationRequiredError,
    ClientAuthenticationError,
    ConsentRequiredError,
    CredentialUnavailableError,
)
from credentials import _single_flight as module
from credentials._errors import ProviderError
from credentials._flow import Flow, WaitFor
from credentials._single_flight import FlightTable, Landing, LeaderGoneError
from tests.credentials.flights import KEY, Crowd, Work, play_never, until, waiting


@pytest.mark.attack(126)
def test_a_failure_reaches_everybody_as_a_fresh_error_and_is_no_success(table: FlightTable[str], crowd: Crowd) -> None:
    error = ConsentRequiredError("no consent", ProviderError(status_code=400, error="invalid_grant", claims="{}"))
    work = Work(table, error=error)
    crowd.threads(5, work.flow)
    crowd.tasks(5, work.flow)
    until(lambda: waiting(table.find(KEY), 9))
    work.go.set()
    errors = crowd.join()
    assert len({id(one) for one in errors}) == 10
    assert sum(one is error for one in errors) == 1
    for one in errors:
        assert isinstance(one, ConsentRequiredError)
        assert (str(one), one.status_code, one.claims) == ("no consent", 400, "{}")
        assert one is error or one.__cause__ is error
    assert (work.count, len(table), work.store) == (1, 0, {})
    work.error = None
    crowd.outcomes.clear()
    crowd.threads(1, work.flow)
    assert crowd.join() == ["token 2"]


class PickyError(Exception):
    def __init__(self, *, needed: str) -> None:
        super().__init__(needed, "more")


class PickyAuthenticationError(ClientAuthenticationError):
    def __init__(self, *, needed: str) -> None:
        super().__init__(needed)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("said", ProviderError(retry_after=3)),
        CredentialUnavailableError("said"),
        AuthenticationRequiredError(["s"], "said", claims="{}"),
        ClientAuthenticationError("said"),
        ValueError("said"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_fresh_error_equals_the_leaders(table: FlightTable[str], error: Exception) -> None:
    fresh = followed(table, error)
    assert fresh is not error
    assert type(fresh) is type(error)
    assert str(fresh) == "said"
    assert fresh.__cause__ is error
    attributes = ("scopes", "claims", "retry_after")
    assert [getattr(fresh, name, None) for name in attributes] == [getattr(error, name, None) for name in attributes]


@pytest.mark.parametrize("error", [PickyError(needed="said"), PickyAuthenticationError(needed="said")])
def test_an_error_that_cannot_be_made_again_still_says_what_the_leaders_said(
    table: FlightTable[str], error: Exception
) -> None:
    fresh = followed(table, error)
    assert isinstance(fresh, ClientAuthenticationError)
    assert fresh is not error
    assert fresh.__cause__ is error


def followed(table: FlightTable[str], error: Exception) -> BaseException:
    """Return what a follower raises when its leader failed."""
    flow = table.fly_flow(KEY, lambda: None, lambda: play_never("exchange"))
    flight = table.lead(KEY)
    assert flight is not None
    assert next(flow) == WaitFor(flight, module.PATIENCE)
    table._land(KEY, flight, Landing(error=error))
    try:
        flow.send(None)
    except Exception as fresh:  # noqa: BLE001  # the test looks at it
        return fresh
    raise AssertionError("no error came")


def test_an_interrupt_of_the_leader_counts_as_gone(table: FlightTable[str]) -> None:
    def interrupted() -> Flow[str]:
        yield from ()
        raise KeyboardInterrupt

    flight = table.lead(KEY)
    assert flight is not None
    with pytest.raises(KeyboardInterrupt):
        next(table.lead_flow(KEY, flight, interrupted))
    assert isinstance(flight.future.result(0).error, LeaderGoneError)
    assert len(table) == 0
