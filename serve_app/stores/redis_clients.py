"""How every Redis client of ours connects: one place for addresses, TLS and credentials."""

import ssl

from serve_app.core.settings import Settings
from serve_app.stores.redis_node import Credentials
from serve_app.stores.redis_shards import RedisShards, parse_nodes


def connect_shards(settings: Settings) -> RedisShards:
    """The map of the cluster that the settings name; not started.

    Raises:
        ValueError: ``redis_nodes`` is not a list of host:port.
    """
    ca_file = settings.redis_ca_file
    return RedisShards(
        parse_nodes(settings.redis_nodes),
        credentials=Credentials(
            settings.redis_username,
            settings.redis_password.get_secret_value(),
            ssl.create_default_context(cafile=ca_file) if ca_file else None,
        ),
        node_timeout_s=settings.redis_timeout_s,
    )
