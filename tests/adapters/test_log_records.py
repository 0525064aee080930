"""Each adapter has the trace of a refused request in the log."""

from __future__ import annotations

import logging

import pytest

from tests.adapters.conftest import Start
from tests.adapters.harness import DJANGO, KINDS, bearer
from tests.adapters.world import World
from tests.core.test_trace import TRACE


@pytest.mark.parametrize("kind", [*KINDS, *DJANGO])
def test_what_is_refused_is_logged_with_the_trace_of_its_request(
    kind: str, start: Start, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    served = start(kind)
    caplog.set_level(logging.INFO)
    headers = {"traceparent": TRACE}
    assert served.client.get("/whoami", headers=headers).status_code == 401
    world.entra.throttle(7)
    throttled = served.client.get("/me", headers=headers | bearer(world.token()))
    told = [(vars(record).get("event"), vars(record).get("trace_id")) for record in caplog.records]
    trace = TRACE.split("-")[1]
    assert ("obo.request.refused", trace) in told
    assert throttled.status_code == 503
    assert ("obo.request.upstream_failed", trace) in told
