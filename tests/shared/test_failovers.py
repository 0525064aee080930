"""Deployments of several servers that lose one under load, and answer all the same."""

from __future__ import annotations

from tests.shared.apps import COLOURS, LEAVING_CONNECTIONS, Workers
from tests.shared.deployments import cluster, watched
from tests.shared.servers import Product
from tests.shared.test_outages import under_load

pytestmark = LEAVING_CONNECTIONS


def test_under_load_a_failover_costs_nothing_but_time(working: Workers, product: Product) -> None:
    with watched(product) as service:
        apps = [working.start(service.url, colour).listens() for colour in COLOURS]
        with under_load(working, apps) as further:
            further()
            service.fail_over()
            further()


def test_under_load_a_cluster_that_loses_a_master_costs_nothing_but_time(working: Workers, product: Product) -> None:
    with cluster(product) as nodes:
        apps = [working.start(nodes.url, colour).listens() for colour in COLOURS]
        with under_load(working, apps) as further:
            further()
            nodes.nodes[0].stop()
            further()
