"""End offsets of the log of tags, read by an independent client."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from serve_app.core.names import USER_TAGS_TOPIC


async def log_ends(bootstrap: str) -> dict[int, int]:
    """Next offset of each partition of the topic of tags."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(await tag_partitions(consumer))
        return {one.partition: offset for one, offset in ends.items()}
    finally:
        await consumer.stop()


async def tag_partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    """All partitions of the topic of tags, of a consumer that was started."""
    # Any request for partitions makes the client fetch metadata of the topic.
    await consumer.end_offsets([TopicPartition(USER_TAGS_TOPIC, 0)])
    numbers = consumer.partitions_for_topic(USER_TAGS_TOPIC) or {0}
    return [TopicPartition(USER_TAGS_TOPIC, number) for number in sorted(numbers)]
