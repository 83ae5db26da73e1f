"""Kafka's own id of a topic, which changes when a topic is deleted and recreated.

aiokafka speaks the Metadata API up to version 5; ids came with version 10. Here is version 12
(KIP-516; Kafka 3.0 and later) in aiokafka's own terms, as
``clients/src/main/resources/common/message/MetadataRequest.json`` and ``…Response.json`` of Kafka
define it.
"""

from io import BytesIO

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

NO_ID = bytes(16)


class Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka has no types
    """16 bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """As they are."""
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """As they are."""
        return data.read(16)


_text = CompactString("utf-8")
_numbers = CompactArray(Int32)


class MetadataResponse_v12(Response):  # type: ignore[misc]
    """Brokers and topics."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _text),
                ("port", Int32),
                ("rack", _text),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _text),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _text),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _numbers),
                        ("in_sync", _numbers),
                        ("offline", _numbers),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc]
    """Topics by name; never makes one."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _text), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdRequest(Request[MetadataRequest_v12]):  # type: ignore[misc]
    """Asks a broker for one topic."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[MetadataRequest_v12]) -> MetadataRequest_v12:
        """See aiokafka's ``Request``."""
        return request_struct_class([(NO_ID, self._topic, {})], False, False, {})


async def topic_id(client: AIOKafkaClient, node: int, topic: str) -> str:
    """The id of ``topic`` as broker ``node`` knows it, 32 hexadecimal digits.

    Raises:
        aiokafka.errors.UnknownTopicOrPartitionError: no such topic (any more).
        aiokafka.errors.KafkaError: the broker did not answer, or refused.
    """
    response = await client.send(node, TopicIdRequest(topic))
    for error_code, name, identifier, *_ in response.topics:
        if name == topic:
            if error_code:
                raise for_code(error_code)(f"topic {topic}")
            if identifier != NO_ID:
                return str(identifier.hex())
    raise UnknownTopicOrPartitionError(f"topic {topic}")
