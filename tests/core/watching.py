"""OpenTelemetry's SDK with everything kept in memory, and what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from obo_middleware.telemetry import OpenTelemetry


class Watching:
    """Give an application this ``telemetry``, and look at what it tells."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meters = MeterProvider(metric_readers=[self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = OpenTelemetry(self.meters, self.tracers)

    def close(self) -> None:
        self.meters.shutdown()
        self.tracers.shutdown()

    @property
    def metrics(self) -> dict[str, Metric]:
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> dict[tuple[str, ...], int]:
        """Return how often something was counted or measured, by the values of its attributes in their order."""
        metric = self.metrics.get(name)
        return {} if metric is None else {values_of(point): number_of(point) for point in metric.data.data_points}

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def told(self) -> Iterator[tuple[str, str]]:
        """Yield every attribute with its value, and every text, of all metrics and spans."""
        for metric in self.metrics.values():
            for point in metric.data.data_points:
                yield from texts_of(point.attributes)
        for span in self.spans:
            yield "name", span.name
            yield "status", str(span.status.description)
            yield from texts_of(span.attributes)
            for event in span.events:
                yield "event", f"{event.name} {event.attributes}"


def texts_of(attributes: Any) -> Iterator[tuple[str, str]]:
    yield from ((name, str(value)) for name, value in (attributes or {}).items())


def values_of(point: Any) -> tuple[str, ...]:
    return tuple(str(value) for _, value in sorted((point.attributes or {}).items()))


def number_of(point: Any) -> int:
    return point.count if isinstance(point, HistogramDataPoint) else int(point.value)
