"""How every Kafka client of ours connects: one place for addresses, TLS and credentials."""

import ssl
from typing import Any

from serve_app.core.settings import Settings


def connection_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that aiokafka's producer, consumer and admin client share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "request_timeout_ms": settings.kafka_request_timeout_ms,
    }
    if "SSL" in settings.kafka_security_protocol:
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    if "SASL" in settings.kafka_security_protocol:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options
