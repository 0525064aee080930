"""What watches the HTTP client sees addresses and statuses: no header with a token, no form with a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.adapters.attacks.handlers import Call, Way
from tests.adapters.harness import LEAK, Canary, check_no_leak
from tests.adapters.world import World
from tests.core.hostile import Scripted


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Have OpenTelemetry trace httpx, as it does where an app turns that on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def told(span: ReadableSpan) -> str:
    return f"{span.name} {dict(span.attributes or {})} {[(event.name, event.attributes) for event in span.events]}"


@pytest.mark.attack(151, 187)
def test_opentelemetry_sees_no_token_and_no_form(
    way: Way, world: World, api: Scripted, spans: InMemorySpanExporter
) -> None:
    answer = way.do(Call(), world.token())
    assert answer.json()["status"] == 200
    check_no_leak(answer)
    texts = [told(span) for span in spans.get_finished_spans()]
    assert any("oauth2/v2.0/token" in text for text in texts), "the exchange was traced"
    assert any(f"{api.url}/v1/me" in text for text in texts), "the call was traced"
    assert [text for text in texts if LEAK.search(text)] == []


@pytest.mark.attack(187)
def test_opentelemetry_sees_no_more_of_a_failure(way: Way, world: World, spans: InMemorySpanExporter) -> None:
    world.entra.answer_once(400, {}, b'{"error":"invalid_client","error_description":"no"}')
    assert way.do(Call(), world.token()).status_code == 500
    world.entra.drop_connections()
    assert way.do(Call(), world.token()).status_code == 503
    texts = [told(span) for span in spans.get_finished_spans()]
    assert len(texts) >= 2
    assert [text for text in texts if LEAK.search(text)] == []


@pytest.mark.attack(184, 187)
def test_httpcores_own_trace_and_log_have_no_token(way: Way, world: World, api: Scripted, canary: Canary) -> None:
    seen: list[str] = []

    def trace(event: str, info: dict[str, Any]) -> None:
        seen.append(f"{event} {info}")

    async def trace_awaitable(event: str, info: dict[str, Any]) -> None:
        trace(event, info)

    before = canary.records
    hook = trace if way.blocking else trace_awaitable
    assert way.do(Call(options={"extensions": {"trace": hook}}), world.token()).json()["status"] == 200
    assert any("send_request_headers" in text for text in seen)
    assert [text for text in seen if LEAK.search(text)] == []
    assert canary.records > before, "httpcore logs at DEBUG here, which the canary reads"
