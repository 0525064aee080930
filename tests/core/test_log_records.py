"""The fields that log records have beside their text."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import credentials
from credentials._errors import ProviderError
from credentials.kernel import correlation_id_of, event
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware.errors import ConfigurationError, MissingTokenError, UpstreamUnavailableError, answer_for
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face
from tests.core.kit import World, api, claims_of, settings, settings_for
from tests.core.test_trace import TRACE

TRACE_ID = TRACE.split("-")[1]
PROVIDERS = "0000aaaa-11bb-cccc-dd22-eeeeee333333"


def refused_by_provider(correlation_id: str = PROVIDERS) -> credentials.AuthenticationError:
    return credentials.ProviderUnavailableError("down", ProviderError(correlation_id=correlation_id))


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (MissingTokenError(), "obo.request.refused"),
        (UpstreamUnavailableError("down"), "obo.request.upstream_failed"),
        (ConfigurationError("wrong"), "obo.request.failed"),
        (KeyError("bug"), "obo.request.failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_ends_a_request_has_the_name_of_its_event(
    error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        Runtime(settings()).reply(error, None)
    (record,) = caplog.records
    assert vars(record)["event"] == name
    assert not {"correlation_id", "trace_id"} & vars(record).keys()


def test_a_record_has_the_trace_of_its_request_and_the_providers_id_before_it(caplog: pytest.LogCaptureFixture) -> None:
    context = AsyncContext(Runtime(settings()), None, trace=TRACE)
    cause = refused_by_provider()
    answer = answer_for(cause)
    answer.__cause__ = cause
    with caplog.at_level(logging.INFO):
        for error in (MissingTokenError(), cause, answer):
            context.answer_to(error)
    told: list[dict[str, Any]] = [vars(record) for record in caplog.records]
    assert [one["trace_id"] for one in told] == [TRACE_ID] * 3
    assert [one["correlation_id"] for one in told] == [TRACE_ID, PROVIDERS, PROVIDERS]


@pytest.mark.parametrize("text", ["", "a b", "x" * 65, "eyJhbGciOiJub25lIn0.e30.", None, 7])
def test_what_is_no_id_is_left_out(text: Any) -> None:
    assert correlation_id_of(refused_by_provider(text)) == ""
    assert event("obo.x", refused_by_provider(text)) == {"event": "obo.x"}


def test_errors_that_are_each_others_cause_end_the_search() -> None:
    one, other = KeyError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert correlation_id_of(one) == correlation_id_of(None) == ""


def test_the_providers_id_of_a_real_refusal_is_in_the_log(entra: LocalEntra, caplog: pytest.LogCaptureFixture) -> None:
    world = World(entra, Runtime(settings_for(entra, downstream_apis={"api": api("http://127.0.0.1:9")})))
    entra.require_consent("alice", entra.api, ["User.Read"])
    context = world.context("alice")
    with pytest.raises(credentials.ConsentRequiredError) as caught:
        context.blocking_credential.get_token("User.Read")
    with caplog.at_level(logging.INFO):
        context.answer_to(caught.value)
    assert vars(caplog.records[-1])["correlation_id"] == caught.value.correlation_id != ""
    world.runtime.close()


def test_a_failed_refresh_has_its_event_in_each_colour(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    context = face.context("alice", lifetime=90_000)
    face.call(context, "/me")
    face.entra.throttle(9)
    face.entra.clock.now = claims_of(face.tokens[0])["exp"] - 100  # type: ignore[attr-defined]  # these tests' clock
    assert face.call(context, "/me").status_code == 200
    assert "obo.token.refresh_failed" in [vars(record).get("event") for record in caplog.records]
