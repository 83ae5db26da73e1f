"""Connection settings of every Kafka client: addresses, TLS and credentials."""

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from serve_app.core.settings import Settings
from serve_app.stores.driver_patches import patch_drivers

patch_drivers()
logger = logging.getLogger(__name__)


def connection_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that aiokafka's producer, consumer and admin client share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "request_timeout_ms": settings.kafka_request_timeout_ms,
        # A client asks the brokers that it knows, never its bootstrap servers again. If it last
        # refreshed while one broker of three was up, it must refresh soon, or it has nobody to
        # ask when that broker dies.
        "metadata_max_age_ms": 5_000,
    }
    if "SSL" in settings.kafka_security_protocol:
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    if "SASL" in settings.kafka_security_protocol:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def is_being_cancelled() -> bool:
    """Whether this task was asked to end; if not, a ``CancelledError`` is a stray one of a client.

    aiokafka's clients cancel tasks and futures of their own when a broker dies.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def close_client(closing: Coroutine[Any, Any, None], timeout_s: float) -> None:
    """Await a client's ``stop()`` or ``close()`` for a bounded time. Never raises.

    A client that has seen its broker die may raise anything here, even a ``CancelledError``: no
    reason to end the task that closes it.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await closing
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
    except Exception as error:
        logger.info("a Kafka client closed with %r", error)


async def close_clients(timeout_s: float, *closings: Coroutine[Any, Any, None]) -> None:
    """``close_client`` for each in turn, for the later ones even if an earlier one is cancelled.

    Nothing else refers to them: a caller cancelled half-way would leak their connections.

    Of a consumer or producer, pass its ``stop()`` and then the ``close()`` of its inner client.
    Where ``stop()`` fails or takes too long, the connections are still there, and a second
    ``stop()`` does nothing. After a clean ``stop()``, ``close()`` does nothing.
    """
    async with AsyncExitStack() as stack:
        for closing in reversed(closings):
            stack.push_async_callback(close_client, closing, timeout_s)
