"""Connection settings of every Redis client: addresses, TLS and credentials."""

import ssl

from serve_app.core.settings import Settings
from serve_app.stores.profile_scripts import SCRIPTS
from serve_app.stores.redis_node import Credentials
from serve_app.stores.redis_shards import REFRESH_S, RedisShards, parse_nodes


def connect_shards(
    settings: Settings, *, timeout_s: float | None = None, refresh_s: float = REFRESH_S
) -> RedisShards:
    """The map of the cluster that the settings name; not started.

    Args:
        settings: addresses and credentials.
        timeout_s: of one request; the settings' own is for callers with a client waiting.
        refresh_s: seconds between refreshes of the map while nothing says that it changed.

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
        node_timeout_s=settings.redis_timeout_s if timeout_s is None else timeout_s,
        refresh_s=refresh_s,
        scripts=[script.text for script in SCRIPTS],
    )
