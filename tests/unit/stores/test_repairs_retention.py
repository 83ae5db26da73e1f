"""Debts that Kafka has let go of are nobody's any more: they must not hold up profiles for ever."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from serve_app.core.names import PROFILE_REPAIRS_TOPIC, USER_TAGS_TOPIC
from serve_app.freshness import behind
from serve_app.stores.log_ends import LogEnds
from serve_app.stores.tag_log import TagLog
from setup.local.platform import Platform


async def test_what_retention_took_is_not_owed(kafka_stores: Platform) -> None:
    settings = kafka_stores.settings()
    log = TagLog(settings, (USER_TAGS_TOPIC, PROFILE_REPAIRS_TOPIC))
    log.start()
    await log.wait_ready()
    await log.append(PROFILE_REPAIRS_TOPIC, [b"x"])
    await log.stop()
    # After 7 quiet days the records go, after 14 the group's offsets, which the repair loop only
    # commits when they move. To the same effect: records gone that no group ever committed.
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    everything = {TopicPartition(PROFILE_REPAIRS_TOPIC, n): RecordsToDelete(-1) for n in range(3)}
    await admin.delete_records(everything)
    await admin.close()
    ends = LogEnds(settings)
    ends.start()
    try:
        sample = await ends.wait_since(asyncio.get_running_loop().time(), 20)
        assert sample is not None
        assert behind(sample.repairs, sample.repaired) == {}
    finally:
        await ends.stop()
