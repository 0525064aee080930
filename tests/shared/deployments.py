"""Several servers that work as one: a cluster of three masters, and a master with a replica behind three Sentinels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.shared.servers import Product, Server, eventually

SLOTS = 16_384
SERVICE = "tokens"


@dataclass(frozen=True)
class Cluster:
    """Three masters, with a third of the slots each."""

    nodes: tuple[Server, ...]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{host}:{port}" for host, port in (node.address for node in self.nodes))

    def every_key(self, pattern: str = "*") -> list[bytes]:
        return sorted(key for node in self.nodes for key in node.every_key(pattern))


@contextlib.contextmanager
def cluster(product: Product) -> Iterator[Cluster]:
    """Run a cluster."""
    with contextlib.ExitStack() as stack:
        nodes = tuple(
            stack.enter_context(Server(product, cluster_enabled="yes", cluster_node_timeout=2_000)) for _ in range(3)
        )
        bounds = [SLOTS * part // 3 for part in range(4)]
        for node, start, end in zip(nodes, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTS", *range(start, end))
        for other in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", *other.address)
        eventually(lambda: all(_knows_all(node) for node in nodes))
        yield Cluster(nodes)


def _knows_all(node: Server) -> bool:
    info = node.ask("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3")


@dataclass(frozen=True)
class Watched:
    """A master with a replica, watched by three Sentinels that make the replica the master when it has to be."""

    master: Server
    replica: Server
    watchers: tuple[Server, ...]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in self.watchers)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def fail_over(self) -> None:
        """Lose the master, and wait until the replica is the new one for all Sentinels."""
        self.master.stop()
        eventually(lambda: all(self._is_led_by_the_replica(watcher) for watcher in self.watchers))

    def _is_led_by_the_replica(self, watcher: Server) -> bool:
        _, port = watcher.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(port) == self.replica.port and self.replica.ask("INFO", "replication")["role"] == "master"


@contextlib.contextmanager
def watched(product: Product) -> Iterator[Watched]:
    """Run a master with all that watches it."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(Server(product))
        replica = stack.enter_context(Server(product, replicaof=master.address))
        lines = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 1500",
            f"sentinel failover-timeout {SERVICE} 5000",
        )
        eventually(lambda: master.ask("INFO", "replication")["connected_slaves"] == 1)
        watchers = tuple(stack.enter_context(Server(product, sentinel="\n".join(lines))) for _ in range(3))
        eventually(lambda: all(_sees_all(watcher) for watcher in watchers))
        yield Watched(master, replica, watchers)


def _sees_all(watcher: Server) -> bool:
    with watcher.client() as client:
        state = client.info("sentinel")["master0"]
        return bool(state["slaves"] == 1 and state["sentinels"] == 3)
