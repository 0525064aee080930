"""Metrics and spans by OpenTelemetry: give an :class:`OpenTelemetry` as ``Settings(telemetry=...)``.

Facts: OpenTelemetry's semantic conventions ("Metrics", "Recording errors", attribute ``error.type``).

Rule of this file: an attribute's value is the name of an API in the settings, or a word from a closed set. Nothing that
a request, a token or an answer says becomes one, and no text of an error.
"""

from __future__ import annotations

import time
from typing import NamedTuple

try:
    from opentelemetry import context, metrics, trace
except ImportError as error:
    raise ImportError(
        "obo_middleware.telemetry needs opentelemetry-api: pip install 'obo-middleware[telemetry]'"
    ) from error

import credentials
from credentials.kernel import Done, Event, Work
from obo_middleware import errors

__all__ = ["OpenTelemetry"]

_SCOPE = "obo_middleware"
_API = "obo.api"
_ERROR = "error.type"
# What the semantic conventions advise for durations of HTTP requests, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class _Metric(NamedTuple):
    name: str
    unit: str
    description: str
    detail: str = ""
    """The attribute for the detail of an event or a piece of work."""


_COUNTERS = {
    "lookup": _Metric("obo.cache.lookups", "{lookup}", "Tokens wanted, by where they were.", "obo.cache.level"),
    "joined": _Metric("obo.exchange.joined", "{request}", "Tokens that came with somebody else's exchange."),
    "refused": _Metric("obo.validation.failures", "{request}", "Requests that were not let in.", "obo.reason"),
    "retried": _Metric("obo.downstream.retries", "{retry}", "Requests to an API that are sent again.", "obo.reason"),
}
_DURATIONS = {
    "token": _Metric("obo.token.duration", "s", "Time until there was a token that was not at hand."),
    "exchange": _Metric("obo.exchange.duration", "s", "Time that a token request took.", "obo.grant"),
    "metadata": _Metric("obo.metadata.duration", "s", "Time that a fetch of an issuer's metadata and keys took."),
}
_SPANS = {"exchange": "obo.exchange", "metadata": "obo.metadata"}
_ERROR_TYPES: tuple[tuple[type[BaseException], str], ...] = (
    (credentials.ConsentRequiredError, "consent_required"),
    (credentials.InteractionRequiredError, "interaction_required"),
    (credentials.InvalidAssertionError, "invalid_assertion"),
    (credentials.ProviderUnavailableError, "provider_unavailable"),
    (credentials.ClientConfigurationError, "client_configuration"),
    (credentials.UnusableAnswerError, "unusable_answer"),
    (credentials.CredentialUnavailableError, "credential_unavailable"),
    (errors.UpstreamUnavailableError, "provider_unavailable"),
    (errors.ConfigurationError, "configuration"),
    (errors.SessionEndedError, "session_ended"),
    (errors.SharedCacheUnavailableError, "shared_cache_unavailable"),
    (GeneratorExit, "cancelled"),
)


class OpenTelemetry:
    """Tell OpenTelemetry what happens: give one as ``Settings(telemetry=...)``.

    ``meter_provider`` and ``tracer_provider`` are those to use, by default the global ones, also where they are set
    later. Several applications may share one object; what tells their numbers apart is the resource of the providers.
    """

    def __init__(
        self,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        meter = metrics.get_meter(_SCOPE, credentials.__version__, meter_provider)
        self._tracer = trace.get_tracer(_SCOPE, credentials.__version__, tracer_provider)
        self._counters = {
            name: meter.create_counter(metric.name, metric.unit, metric.description)
            for name, metric in _COUNTERS.items()
        }
        self._histograms = {
            name: meter.create_histogram(
                metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=_BUCKETS
            )
            for name, metric in _DURATIONS.items()
        }
        # As many as there are APIs and words: making them takes longer than counting.
        self._attributes: dict[Event, dict[str, str]] = {}

    def count(self, event: Event) -> None:
        """Count an event; the middleware calls this."""
        attributes = self._attributes.get(event)
        if attributes is None:
            attributes = self._attributes[event] = _attributes(_COUNTERS[event.name], event)
        self._counters[event.name].add(1, attributes)

    def begin(self, work: Work) -> Done:
        """Begin to measure a piece of work, and return what ends that; the middleware calls this."""
        histogram, attributes = self._histograms[work.name], _attributes(_DURATIONS[work.name], work)
        span: trace.Span = trace.INVALID_SPAN
        token = None
        if work.name in _SPANS:
            span = self._tracer.start_span(_SPANS[work.name], attributes=attributes)
            # So that what watches the HTTP library puts its spans below this one.
            token = context.attach(trace.set_span_in_context(span))
        started = time.perf_counter()

        def done(outcome: BaseException | None) -> None:
            seconds = time.perf_counter() - started
            failed = {} if outcome is None else {_ERROR: _error_type(outcome)}
            histogram.record(seconds, attributes | failed)
            if failed:
                # Without a description, and no event of the exception: their texts quote the provider.
                span.set_status(trace.StatusCode.ERROR)
                span.set_attributes(failed)
            if token is not None:
                context.detach(token)
            span.end()

        return done


def _attributes(metric: _Metric, what: Event | Work) -> dict[str, str]:
    attributes = {_API: what.label} if what.label else {}
    return attributes | ({metric.detail: what.detail} if metric.detail else {})


def _error_type(error: BaseException) -> str:
    """Return the word for an error."""
    origin = error.origin if isinstance(error, credentials.AuthenticationError) else error
    return next((word for kind, word in _ERROR_TYPES if isinstance(origin, kind)), "_OTHER")
