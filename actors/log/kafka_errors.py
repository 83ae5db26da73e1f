"""Turns whatever a call to Kafka raises into one kind of error."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError

from actors.errors import LogUnavailable
from serve_app.stores.kafka_clients import is_being_cancelled

logger = logging.getLogger(__name__)


@asynccontextmanager
async def kafka_call(topic: str, timeout_s: float) -> AsyncIterator[None]:
    """Context for aiokafka calls about ``topic``, and for nothing else.

    Raises:
        LogUnavailable: whatever went wrong, ``timeout_s`` included. The clients are then to be
            replaced: one that has seen its broker die may raise anything, and is not worth
            reasoning about.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except LogUnavailable:
        raise
    except UnknownTopicOrPartitionError as error:
        raise LogUnavailable(f"topic {topic} does not exist") from error
    except OffsetOutOfRangeError as error:
        raise LogUnavailable(f"a position in {topic} is outside of the log: {error}") from error
    except TimeoutError as error:
        raise LogUnavailable(f"Kafka did not answer within {timeout_s:.1f} s") from error
    except (KafkaError, OSError) as error:
        raise LogUnavailable(f"Kafka: {type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise LogUnavailable("Kafka: the client cancelled its own work") from error
    except Exception as error:
        logger.exception("a Kafka client broke")
        raise LogUnavailable(f"Kafka: {type(error).__name__}: {error}") from error
