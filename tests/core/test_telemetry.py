"""What OpenTelemetry is told of requests for tokens, by blocking and by awaitable code."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from credentials import AccessToken, ProviderUnavailableError
from credentials.kernel import Event, Work
from obo_middleware import ConfigurationError
from obo_middleware._context import AsyncContext
from obo_middleware._runtime import Runtime
from obo_middleware.errors import ConsentNeededError, UpstreamUnavailableError
from obo_middleware.telemetry import OpenTelemetry
from obo_middleware.testing import LocalEntra
from tests.core.faces import Face, make_face
from tests.core.hostile import Answer, Scripted
from tests.core.kit import (
    NOW,
    settings,
)
from tests.core.test_auth_challenges import challenge, first
from tests.core.watching import Watching


def test_the_first_token_of_a_user_is_a_miss_and_the_next_one_is_from_memory(watched: Face, watching: Watching) -> None:
    context = watched.context("alice")
    for _ in range(3):
        assert watched.call(context, "/me").status_code == 200
    assert watching.points("obo.cache.lookups") == {("api", "miss"): 1, ("api", "memory"): 2}
    assert watching.points("obo.exchange.duration") == {("api", "on_behalf_of"): 1}
    assert watching.points("obo.token.duration") == {("api",): 1}
    assert watching.points("obo.metadata.duration") == {(): 1}


def test_units_are_those_of_the_semantic_conventions(watched: Face, watching: Watching) -> None:
    watched.get()
    units = {name: metric.unit for name, metric in watching.metrics.items()}
    assert units == {
        "obo.cache.lookups": "{lookup}",
        "obo.exchange.duration": "s",
        "obo.token.duration": "s",
        "obo.metadata.duration": "s",
    }
    (point,) = watching.metrics["obo.token.duration"].data.data_points
    assert isinstance(point, HistogramDataPoint)
    assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (0.005, 10.0)
    assert 0 < point.sum < 60


def test_the_applications_own_token_says_so(watched: Face, watching: Watching) -> None:
    for _ in range(2):
        watched.call(AsyncContext(watched.runtime, None), "/me", as_app=True)
    assert watching.points("obo.exchange.duration") == {("api", "client_credentials"): 1}
    assert watching.points("obo.cache.lookups") == {("api", "miss"): 1, ("api", "memory"): 1}


def test_a_token_for_a_credential_of_the_azure_sdk_has_no_apis_name(watched: Face, watching: Watching) -> None:
    context = watched.context("alice")
    for _ in range(2):
        if watched.blocking:
            context.blocking_credential.get_token("User.Read")
        else:
            watched.run(lambda: context.credential.get_token("User.Read"))
    assert watching.points("obo.cache.lookups") == {("miss",): 1, ("memory",): 1}
    assert watching.points("obo.exchange.duration") == {("on_behalf_of",): 1}


class Own:
    """A credential of the application's own."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("own", int(NOW) + 3600)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_credential_of_the_applications_own_is_watched_too(
    entra: LocalEntra, server: Scripted, watching: Watching, *, blocking: bool
) -> None:
    server.say("/v1/me", {"ok": True})
    more = {"app_credential": Own(), "telemetry": watching.telemetry}
    face = make_face(entra, server, httpx, blocking=blocking, **more)
    for _ in range(2):
        face.call(AsyncContext(face.runtime, None), "/me", as_app=True)
    assert watching.points("obo.exchange.duration") == {("api", "app_credential"): 1}
    assert watching.points("obo.cache.lookups") == {("api", "miss"): 1, ("api", "memory"): 1}
    face.runtime.close()


def test_what_failed_is_told_by_one_word(watched: Face, watching: Watching, entra: LocalEntra) -> None:
    entra.require_consent("bob", entra.api, ["User.Read"])
    with pytest.raises(ConsentNeededError):
        watched.get("bob")
    entra.throttle(9, times=1)
    with pytest.raises(UpstreamUnavailableError):
        watched.get("alice")
    entra.answer_once(400, {}, b'{"error":"invalid_client","error_description":"no"}')
    entra.clock.now += 10  # type: ignore[attr-defined]  # the clock of these tests
    with pytest.raises(ConfigurationError):
        watched.get("alice")
    failed = {"consent_required": 1, "provider_unavailable": 1, "client_configuration": 1}
    assert watching.points("obo.exchange.duration") == {
        (word, "api", "on_behalf_of"): number for word, number in failed.items()
    }
    assert watching.points("obo.token.duration") == {(word, "api"): number for word, number in failed.items()}


def test_requests_that_are_sent_again_are_counted_by_their_reason(
    watched: Face, watching: Watching, waits: list[float]
) -> None:
    off = Answer(429, b"later", [("Retry-After", "7")])
    watched.server.say("/v1/me", first(challenge(), off, off))
    assert watched.get().status_code == 200
    assert watching.points("obo.downstream.retries") == {("api", "claims_challenge"): 1, ("api", "retry_after"): 2}


def test_what_cannot_be_sent_again_is_not_counted_as_if_it_were(watched: Face, watching: Watching) -> None:
    watched.server.say("/v1/me", first(challenge()))
    assert watched.call(watched.context(), "/me", "POST", content=watched.body(3)).status_code == 401
    assert watching.points("obo.downstream.retries") == {}
    assert sum(watching.points("obo.exchange.duration").values()) == 2


def test_of_a_crowd_one_makes_the_exchange_and_every_token_is_counted_once(watched: Face, watching: Watching) -> None:
    context = watched.context("alice")
    if watched.blocking:
        client = context.blocking_client("api")
        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda _: client.get("/me").status_code, range(5)))
    else:
        awaitable = context.client("api")

        async def crowd() -> list[int]:
            return [answer.status_code for answer in await asyncio.gather(*(awaitable.get("/me") for _ in range(5)))]

        answers = watched.run(crowd)
    assert answers == [200] * 5
    lookups, joined = watching.points("obo.cache.lookups"), watching.points("obo.exchange.joined")
    assert lookups[("api", "miss")] == watched.entra.exchanges == 1
    assert sum(lookups.values()) + sum(joined.values()) == 5


# Spans


def test_the_exchange_is_a_child_of_the_span_at_hand(watched: Face, watching: Watching) -> None:
    context = watched.context("alice")
    tracer = trace.get_tracer("handler", tracer_provider=watching.tracers)
    if watched.blocking:
        with tracer.start_as_current_span("handler"):
            context.blocking_client("api").get("/me")
    else:

        async def handler() -> None:
            with tracer.start_as_current_span("handler"):
                await context.client("api").get("/me")

        watched.run(handler)
    assert trace.get_current_span() is trace.INVALID_SPAN, "nothing is left behind"
    spans = {span.name: span for span in watching.spans}
    assert set(spans) == {"obo.metadata", "obo.exchange", "handler"}
    exchange, parent = spans["obo.exchange"], spans["handler"].context
    assert exchange.parent is not None
    assert parent is not None
    assert exchange.parent.span_id == parent.span_id
    assert dict(exchange.attributes or {}) == {"obo.api": "api", "obo.grant": "on_behalf_of"}
    assert exchange.status.status_code is trace.StatusCode.UNSET


def test_what_watches_the_http_library_puts_its_spans_below_the_exchange(watched: Face, watching: Watching) -> None:
    context = watched.context("alice")
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=watching.tracers)
    try:
        watched.call(context, "/me")
    finally:
        instrumentor.uninstrument()
    (exchange,) = (span for span in watching.spans if span.name == "obo.exchange")
    assert exchange.context is not None
    parent = exchange.context.span_id
    below = [span for span in watching.spans if span.parent is not None and span.parent.span_id == parent]
    assert [str((span.attributes or {})["http.url"]).rpartition("/")[2] for span in below] == ["token"]


def test_a_failed_exchange_has_its_word_and_no_text(watched: Face, watching: Watching, entra: LocalEntra) -> None:
    entra.require_consent("alice", entra.api, ["User.Read"])
    with pytest.raises(ConsentNeededError):
        watched.get("alice")
    span = watching.spans[-1]
    assert (span.name, (span.attributes or {})["error.type"]) == ("obo.exchange", "consent_required")
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, None)
    assert span.events == ()


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (GeneratorExit(), "cancelled"),
        (KeyError("x"), "_OTHER"),
        (ProviderUnavailableError("x"), "provider_unavailable"),
    ],
    ids=["cancelled", "foreign", "ours"],
)
def test_what_is_no_error_of_ours_has_a_word_too(watching: Watching, error: BaseException, word: str) -> None:
    watching.telemetry.begin(Work("exchange", "api", "on_behalf_of"))(error)
    assert watching.points("obo.exchange.duration") == {(word, "api", "on_behalf_of"): 1}


def test_without_providers_those_of_the_process_are_used() -> None:
    telemetry = OpenTelemetry()
    telemetry.count(Event("lookup", "api", "memory"))
    telemetry.begin(Work("token"))(None)
    assert Runtime(settings(telemetry=telemetry)).engine.observer is not None
