"""The topics, with their settings: ``python -m setup.topics create``.

Creates missing topics and reports how existing ones differ, but does not change them: a changed
retention may already have lost data. With ``--add-partitions`` a topic with fewer partitions than
wanted gets the rest; no topic loses any.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import typer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serve_app.core.names import DEAD_LETTERS_TOPIC, USER_TAGS_TOPIC
from serve_app.core.settings import Settings, settings
from serve_app.stores.kafka_clients import connection_options
from serve_app.stores.topic_config import topic_config
from setup.command_line import run_main

DAY_MS: Final = 86_400_000
RETRY_S: Final = 0.5


class TopicSettings(BaseSettings):
    """Immutable. ``TAGS_TOPIC_PARTITIONS`` sets ``partitions``, and so on."""

    model_config = SettingsConfigDict(env_prefix="TAGS_TOPIC_", frozen=True, extra="forbid")

    partitions: int = Field(default=3, ge=1)
    """Of ``user_tags``: as many as there are actors in ``setup/serve_config.yaml``."""
    replication: int = Field(default=-1, ge=-1)
    """Replication factor; -1: the broker's ``default.replication.factor``."""
    min_insync: int = Field(default=0, ge=0)
    """Replicas that must have a record before it is acknowledged; 0: the broker's default."""
    retention_ms: int = Field(default=7 * DAY_MS, ge=-1)
    """Longer than the longest outage of the actors: uncounted records that are dropped are lost."""
    retention_bytes: int = Field(default=-1, ge=-1)
    """Per partition of ``user_tags``; -1: no limit."""


@dataclass(frozen=True, slots=True)
class Topic:
    """The wanted state of a topic."""

    name: str
    partitions: int
    config: dict[str, str]


class TopicError(Exception):
    """A topic differs from its wanted state, or Kafka does not answer; says what to do."""


def wanted_topics(wanted: TopicSettings) -> list[Topic]:
    """Both topics."""
    common = {
        # Set by the broker on arrival. It never decreases within a partition, so looking up
        # an offset by time is exact, whatever the replicas' clocks say (docs/architecture.md, C6).
        "message.timestamp.type": "LogAppendTime",
        # As the producers compress it.
        "compression.type": "producer",
        "cleanup.policy": "delete",
        "unclean.leader.election.enable": "false",
    }
    if wanted.min_insync:
        common["min.insync.replicas"] = str(wanted.min_insync)
    tags = common | {
        "retention.ms": str(wanted.retention_ms),
        "retention.bytes": str(wanted.retention_bytes),
    }
    return [
        Topic(USER_TAGS_TOPIC, wanted.partitions, tags),
        # Kept for inspection by an operator.
        Topic(DEAD_LETTERS_TOPIC, 1, common | {"retention.ms": str(30 * DAY_MS)}),
    ]


async def create(
    stores: Settings,
    wanted: TopicSettings,
    timeout_s: float = 60.0,
    *,
    add_partitions: bool = False,
) -> list[str]:
    """Create missing topics and check the others; returns the names of those created.

    Args:
        stores: where Kafka is.
        wanted: the topics.
        timeout_s: for each step.
        add_partitions: to existing topics, too, where they have fewer than wanted.

    Raises:
        TopicError: no broker within ``timeout_s``, or a topic differs.
    """
    admin = await _connect(stores, timeout_s)
    try:
        topics = wanted_topics(wanted)
        there = set(await admin.list_topics())
        made = [topic for topic in topics if topic.name not in there]
        for topic in made:
            await _make(admin, topic, wanted.replication)
        there_now = await _wait_for_leaders(admin, topics, timeout_s)
        if add_partitions and (grown := await _grow(admin, topics, there_now)):
            print(f"topics: more partitions for {', '.join(grown)}")
            there_now = await _wait_for_leaders(admin, topics, timeout_s, grown)
        differences = await _differences(admin, topics, there_now, wanted.replication, timeout_s)
    except KafkaError as error:
        raise TopicError(f"Kafka at {stores.kafka_bootstrap}: {error!r}") from error
    finally:
        await admin.close()
    if differences:
        raise TopicError(
            "\n".join(
                [
                    *differences,
                    "Nothing was changed. Change it by hand (kafka-configs, kafka-topics), or set "
                    "TAGS_TOPIC_… to what is there.",
                ]
            )
        )
    return [topic.name for topic in made]


async def _connect(stores: Settings, timeout_s: float) -> AIOKafkaAdminClient:
    give_up_s = time.monotonic() + timeout_s
    while True:
        admin = AIOKafkaAdminClient(**connection_options(stores))
        try:
            await admin.start()
            return admin
        except (KafkaError, OSError, TimeoutError) as error:
            await admin.close()
            if time.monotonic() + RETRY_S > give_up_s:
                raise TopicError(
                    f"Kafka at {stores.kafka_bootstrap} did not answer within {timeout_s:.0f} s "
                    f"({error!r}). Is it up, and is TAGS_KAFKA_BOOTSTRAP right?"
                ) from error
            await asyncio.sleep(RETRY_S)


async def _make(admin: AIOKafkaAdminClient, topic: Topic, replication: int) -> None:
    new = NewTopic(
        topic.name,
        topic.partitions,
        replication,
        # aiokafka takes the broker's default replication only beside a (then empty) assignment.
        replica_assignments={} if replication == -1 else None,
        topic_configs=topic.config,
    )
    response = await admin.create_topics([new])
    for name, code, *message in response.topic_errors:
        # Created by another process meanwhile: fine.
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise TopicError(f"topic {name}: {for_code(code).__name__}: {message}")


async def _grow(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], there: Mapping[str, Sequence[Any]]
) -> dict[str, int]:
    """Add the partitions that topics lack; the number that each of these has now.

    Raises:
        KafkaError: Kafka refuses.
    """
    grown = {
        topic.name: topic.partitions
        for topic in topics
        if len(there[topic.name]) < topic.partitions
    }
    if grown:
        await admin.create_partitions({name: NewPartitions(n) for name, n in grown.items()})
    return grown


async def _wait_for_leaders(
    admin: AIOKafkaAdminClient,
    topics: Sequence[Topic],
    timeout_s: float,
    grown: Mapping[str, int] | None = None,
) -> dict[str, list[Any]]:
    """Partitions of each topic, once all have a leader: another broker may not know yet.

    ``grown``: how many partitions a topic must show at least.
    """
    least = grown or {}
    give_up_s = time.monotonic() + timeout_s
    while True:
        described = await admin.describe_topics([topic.name for topic in topics])
        missing = [
            topic["topic"]
            for topic in described
            if topic["error_code"]
            or len(topic["partitions"]) < least.get(topic["topic"], 1)
            or any(partition["leader"] < 0 for partition in topic["partitions"])
        ]
        if not missing:
            return {topic["topic"]: topic["partitions"] for topic in described}
        if time.monotonic() > give_up_s:
            raise TopicError(f"no leader for all partitions of {', '.join(missing)}")
        await asyncio.sleep(RETRY_S)


async def _differences(
    admin: AIOKafkaAdminClient,
    topics: Sequence[Topic],
    partitions: Mapping[str, Sequence[Any]],
    replication: int,
    timeout_s: float,
) -> list[str]:
    found: list[str] = []
    for topic in topics:
        there = partitions[topic.name]
        if len(there) != topic.partitions:
            found.append(f"{topic.name}: {len(there)} partitions, should be {topic.partitions}")
        copies = min(len(partition["replicas"]) for partition in there)
        if replication > 0 and copies != replication:
            found.append(f"{topic.name}: {copies} copies, should be {replication}")
        config = await _config(admin, topic.name, timeout_s)
        found += [
            f"{topic.name}: {name} is {config.get(name)}, should be {value}"
            for name, value in topic.config.items()
            if config.get(name) != value
        ]
    return found


async def _config(admin: AIOKafkaAdminClient, topic: str, timeout_s: float) -> dict[str, str]:
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            return await topic_config(admin, topic)
        except UnknownTopicOrPartitionError:
            # The other brokers learn of a new topic a little later than the one that created it.
            if time.monotonic() > give_up_s:
                raise
        await asyncio.sleep(RETRY_S)


def main(
    command: Literal["create"],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for Kafka.")] = 60.0,
    add_partitions: Annotated[
        bool, typer.Option("--add-partitions", help="Also to a topic that has fewer.")
    ] = False,
) -> int:
    """Exit status: 0 if all topics are in their wanted state."""
    try:
        made = asyncio.run(
            create(settings(), TopicSettings(), timeout, add_partitions=add_partitions)
        )
    except TopicError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"topics: made {', '.join(made)}" if made else "topics: all there")
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
