"""Which Kafka server is the active controller: the leader of the metadata log.

The Metadata API names any broker under KRaft. aiokafka does not speak the DescribeQuorum API
(KIP-595), so here is its version 0 in aiokafka's own terms, as
``clients/src/main/resources/common/message/DescribeQuorumRequest.json`` and ``…Response.json`` of
Kafka define it.
"""

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_text = CompactString("utf-8")
_replicas = CompactArray(("replica_id", Int32), ("log_end_offset", Int64), ("tags", TaggedFields))


class DescribeQuorumResponse_v0(Response):  # type: ignore[misc]  # aiokafka has no types
    """Leader and voters of each partition."""

    API_KEY = 55
    API_VERSION = 0
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", _text),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _replicas),
                        ("observers", _replicas),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorumRequest_v0(RequestStruct):  # type: ignore[misc]
    """Of these topics: only the metadata log has a quorum."""

    API_KEY = 55
    API_VERSION = 0
    RESPONSE_TYPE = DescribeQuorumResponse_v0
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", _text),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _QuorumRequest(Request[DescribeQuorumRequest_v0]):  # type: ignore[misc]
    """Asks for the quorum of the metadata log."""

    API_KEY = 55

    def build(
        self, request_struct_class: type[DescribeQuorumRequest_v0]
    ) -> DescribeQuorumRequest_v0:
        """See aiokafka's ``Request``."""
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})


async def active_controller(client: AIOKafkaClient) -> int:
    """Its node id. Any broker tells: it asks the controller itself.

    Raises:
        aiokafka.errors.KafkaError: no broker answered, or the quorum has no leader.
    """
    response = await client.send(client.get_random_node(), _QuorumRequest())
    if response.error_code:
        raise for_code(response.error_code)("no active controller")
    (topic,) = response.topics
    (partition,) = topic[1]
    return int(partition[2])
