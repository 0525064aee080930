"""The dashboard asks for metrics and labels that a real application exports, by the names that Prometheus reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from credentials.kernel import Want
from example_apps.local import ROOT
from obo_middleware.errors import ConsentNeededError, OboError
from obo_middleware.telemetry import OpenTelemetry
from obo_middleware.testing import LocalEntra
from tests.core.faces import make_face
from tests.core.hostile import Scripted
from tests.core.kit import Clock, bearer, no_answer, play
from tests.core.test_auth_challenges import challenge, first
from tests.core.test_observer import given_flow

DASHBOARD = ROOT / "example_apps" / "grafana" / "obo-middleware.json"
FUNCTIONS = {"by", "histogram_quantile", "or", "rate", "sum", "vector"}
Exported = dict[str, set[str]]


@pytest.fixture(scope="module")
def exported() -> Exported:
    """Run an application, and give what it exports: the names of metrics, and the labels of each."""
    meters = MeterProvider(metric_readers=[PrometheusMetricReader()])
    clock = Clock()
    with LocalEntra(clock=clock) as entra, Scripted() as server:
        server.say("/v1/me", first(challenge()))
        face = make_face(entra, server, httpx, blocking=True, telemetry=OpenTelemetry(meters))
        entra.outage(endpoints=("metadata",))
        face.runtime.blocking_driver.run(face.runtime.warm_up_flow())
        entra.forget_faults()
        clock.now += 60
        for _ in range(2):
            assert face.get("alice").status_code == 200
        entra.require_consent("bob", entra.api, ["User.Read"])
        with pytest.raises(ConsentNeededError):
            face.get("bob")
        with pytest.raises(OboError):
            play(face.runtime.admit_flow(bearer("a.b"), "/me"), no_answer).value()
        flows = [face.runtime.engine.token_flow(Want(key=b"k", label="api"), lambda: given_flow("t")) for _ in range(2)]
        for flow in flows:
            next(flow)
        for flow in flows:
            with pytest.raises(StopIteration):
                flow.send(None)
        face.runtime.close()
    found: Exported = {}
    for family in text_string_to_metric_families(generate_latest().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    meters.shutdown()
    return found


def expressions() -> list[str]:
    board: Any = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    variables = [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]
    return [*variables, *(target["expr"] for panel in board["panels"] for target in panel["targets"])]


def selections(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric in an expression with the labels that are asked of it, those that it is summed by included."""
    variable = re.fullmatch(r"label_values\((\w+), (\w+)\)", expression)
    if variable:
        yield variable[1], {variable[2]}
        return
    summed = {name for names in re.findall(r"by \(([^)]*)\)", expression) for name in names.split(", ")}
    for name, selector in re.findall(r"\b(obo_\w+)(?:\{([^}]*)\})?\[", expression):
        by = set() if name == "obo_exchange_joined_total" else summed
        yield name, by | set(re.findall(r"(\w+)=", selector.replace("=~", "=")))


def test_every_metric_and_label_of_the_dashboard_is_exported(exported: Exported) -> None:
    asked = [selection for expression in expressions() for selection in selections(expression)]
    assert len(asked) > 12
    assert [(name, labels) for name, labels in asked if not labels <= exported.get(name, set())] == []


def test_every_metric_is_in_the_dashboard(exported: Exported) -> None:
    asked = {name.removesuffix("_bucket").removesuffix("_count") for e in expressions() for name, _ in selections(e)}
    told = {name for name in exported if name.startswith("obo_") and re.search(r"_(total|seconds_count)$", name)}
    assert {name.removesuffix("_count") for name in told} <= asked


def test_every_word_of_an_expression_is_known(exported: Exported) -> None:
    for expression in expressions():
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|by \([^)]*\)|label_values\(.*\)', "", expression)
        words = {word for word in re.findall(r"[a-z_]+", bare) if not word.startswith("obo_")}
        assert words <= FUNCTIONS


def test_panels_have_ids_of_their_own_and_do_not_lie_upon_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len({tuple(panel["gridPos"].values()) for panel in panels}) == 10
