"""What each server does in its cluster at the moment: it changes with every fail-over."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import pymysql
import redis
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from setup.local.galera_node import NodeSession
from setup.local.kafka_quorum import active_controller
from setup.local.parts.galera import GaleraNode, MariaDbAddress
from setup.local.parts.kafka import KafkaBroker
from setup.local.parts.mariadb import connect
from setup.local.parts.redis import RedisServer
from setup.local.platform import Platform
from setup.local.ports import HOST

Roles = Mapping[str, str]
_ERRORS: Final = (OSError, KafkaError, pymysql.MySQLError, redis.RedisError)


def roles(platform: Platform) -> Roles:
    """Name of the part → its role; parts that cannot be asked, or have none, are left out."""
    found: dict[str, str] = {}
    asked: tuple[Callable[[Platform], Roles], ...] = (_redis, _kafka, _galera)
    for ask in asked:
        found |= ask(platform)
    return found


def _redis(platform: Platform) -> Roles:
    found = {}
    for part in platform.parts:
        if not isinstance(part, RedisServer):
            continue
        try:
            with redis.Redis(HOST, part.port, socket_timeout=1.0) as client:
                info = client.info("replication")
        except _ERRORS:
            continue
        if info["role"] == "master":
            found[part.name] = "master"
        else:
            link = "" if info["master_link_status"] == "up" else ", link down"
            found[part.name] = f"replica of {info['master_port']}{link}"
    return found


def _kafka(platform: Platform) -> Roles:
    brokers = [part for part in platform.parts if isinstance(part, KafkaBroker)]
    try:
        controller, leaders = asyncio.run(_leaders([f"{HOST}:{part.port}" for part in brokers]))
    except _ERRORS:
        return {}
    return {
        part.name: f"{'controller, ' if part.node_id == controller else ''}"
        f"leads {leaders.count(part.node_id)} of {len(leaders)} partitions"
        for part in brokers
    }


async def _leaders(bootstrap: list[str]) -> tuple[int, list[int]]:
    """Node id of the active controller, and of the leader of each partition of each topic."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=2_000)
    try:
        await client.bootstrap()
        cluster = await client.fetch_all_metadata()
        leaders = [
            cluster.leader_for_partition(TopicPartition(topic, number))
            for topic in cluster.topics()
            for number in cluster.partitions_for_topic(topic)
        ]
        return await active_controller(client), leaders
    finally:
        await client.close()


def _galera(platform: Platform) -> Roles:
    found = {}
    for part in platform.parts:
        if isinstance(part, GaleraNode):
            session = NodeSession(part.socket)
            state = session.state()
            session.close()
            if state is not None:
                found[part.name] = f"{state.comment.lower()}, {state.cluster_size} nodes"
    for part in platform.parts:
        if isinstance(part, MariaDbAddress):
            try:
                with connect(part.port, part.password) as connection, connection.cursor() as cursor:
                    cursor.execute("SELECT @@wsrep_node_name")
                    (owner,) = cursor.fetchone() or ("?",)
            except _ERRORS:
                continue
            found[part.name] = f"leads to {owner}"
            found[owner] = f"{found.get(owner, '')}, has the address"
    return found
