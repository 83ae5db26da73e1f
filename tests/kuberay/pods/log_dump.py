"""The log of tags, record by record, read where it can be reached: in the head's pod."""

import base64
import gzip
import json
from typing import Final

from tests.kuberay.pods.kube import Kube

_READ: Final = """
import asyncio, base64, gzip, json
from aiokafka import AIOKafkaConsumer, TopicPartition
from serve_app.core.names import USER_TAGS_TOPIC
from serve_app.core.settings import settings
from serve_app.stores.kafka_clients import connection_options

async def read():
    consumer = AIOKafkaConsumer(**connection_options(settings()), group_id=None)
    await consumer.start()
    await consumer.end_offsets([TopicPartition(USER_TAGS_TOPIC, 0)])
    numbers = consumer.partitions_for_topic(USER_TAGS_TOPIC)
    left = await consumer.end_offsets([TopicPartition(USER_TAGS_TOPIC, n) for n in numbers])
    left = {one: end for one, end in left.items() if end}
    consumer.assign(list(left))
    await consumer.seek_to_beginning()
    values = []
    while left:
        for one, records in (await consumer.getmany(timeout_ms=500)).items():
            values += [record.value.decode() for record in records if record.value]
            if one in left and records[-1].offset + 1 >= left[one]:
                del left[one]
    await consumer.stop()
    return values

print(base64.b64encode(gzip.compress(json.dumps(asyncio.run(read())).encode())).decode())
"""


def log_values(kube: Kube) -> list[bytes]:
    """Values of all records."""
    printed = kube.in_head("python", "-c", _READ, timeout_s=300)
    values = json.loads(gzip.decompress(base64.b64decode(printed.splitlines()[-1])))
    return [value.encode() for value in values]
