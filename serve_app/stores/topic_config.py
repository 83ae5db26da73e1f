"""The settings of a topic as the broker has them, defaults included."""

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code


async def topic_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Name → value.

    Raises:
        aiokafka.errors.KafkaError: no answer, or the broker has no such topic (yet).
    """
    responses: list[Any] = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic)]
    )
    settings: dict[str, str] = {}
    for code, _message, _type, _name, entries in (
        resource for response in responses for resource in response.resources
    ):
        if code:
            raise for_code(code)(f"topic {topic}")
        settings |= {entry[0]: entry[1] for entry in entries}
    return settings
