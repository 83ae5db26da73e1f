"""Builds the parts of an instance from its stack's numbers."""

from collections.abc import Mapping
from pathlib import Path

from setup.local.folder import RunFolder
from setup.local.parts.galera import GaleraNode, GaleraWatch, MariaDbAddress
from setup.local.parts.kafka import KafkaBroker
from setup.local.parts.mariadb import DATABASE, USER, MariaDbNode
from setup.local.parts.mysql import MySqlNode
from setup.local.parts.part import Part
from setup.local.parts.prometheus import Prometheus
from setup.local.parts.ray import RayHead
from setup.local.parts.redis import RedisServer
from setup.local.ports import HOST, Ports
from setup.local.stacks import Stack


class Catalogue:
    """All parts of an instance, in the order in which they are shown."""

    def __init__(
        self,
        folder: RunFolder,
        stack: Stack,
        ports: Ports,
        serve_config: Path,
        extra_environment: Mapping[str, str],
    ) -> None:
        """``extra_environment`` is added to the variables of clients and of Ray."""
        self._extra = dict(extra_environment)
        self.redis = [
            RedisServer(
                folder,
                index,
                ports["redis"] + index,
                ports["redis_bus"] + index,
                stack.redis_max_mb,
            )
            for index in range(stack.redis_nodes)
        ]
        self.kafka = [
            KafkaBroker(folder, stack, index, ports["kafka"], ports["kafka_controller"])
            for index in range(stack.kafka_brokers)
        ]
        self.mariadb: list[MariaDbNode] = [
            _mariadb(folder, stack, ports, index) for index in range(stack.mariadb_nodes)
        ]
        self._mysql_port = self.mariadb[0].port
        address: list[Part] = []
        if stack.mariadb_nodes > 1:
            self._mysql_port = ports["mariadb_address"]
            address = [GaleraWatch(folder, ports, self.mariadb)]
            address.append(MariaDbAddress(folder, ports, self.mariadb))
        self.ray = RayHead(folder, stack, ports, serve_config, self.client_environment)
        self.prometheus = Prometheus(
            folder, ports["prometheus"], self.ray.temp_dir / "prom_metrics_service_discovery.json"
        )
        stores: list[Part] = [*self.redis, *self.kafka, *self.mariadb, *address]
        self.parts: list[Part] = [*stores, self.ray]
        self.extras: list[Part] = [self.prometheus]
        """Started only on request; the platform is complete without them."""

    def client_environment(self) -> dict[str, str]:
        """``TAGS_…`` variables of a client of the stores."""
        return {
            "TAGS_REDIS_NODES": ",".join(f"{HOST}:{node.port}" for node in self.redis),
            "TAGS_KAFKA_BOOTSTRAP": ",".join(f"{HOST}:{node.port}" for node in self.kafka),
            "TAGS_MYSQL_HOST": HOST,
            "TAGS_MYSQL_PORT": str(self._mysql_port),
            "TAGS_MYSQL_USER": USER,
            "TAGS_MYSQL_DATABASE": DATABASE,
            "TAGS_MYSQL_PASSWORD": self.mariadb[0].password,
            **self._extra,
        }


def _mariadb(folder: RunFolder, stack: Stack, ports: Ports, index: int) -> MariaDbNode:
    port, pool = ports["mariadb"] + index, stack.mariadb_buffer_pool_mb
    if stack.mariadb_nodes == 1:
        node = MySqlNode if stack.mysql else MariaDbNode
        return node(folder, index, port, pool)
    return GaleraNode(folder, index, port, pool, nodes=stack.mariadb_nodes, all_ports=ports)
