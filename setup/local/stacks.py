"""The stacks: how many of each store the platform has, and how large they are."""

from dataclasses import dataclass, replace
from typing import Final

from setup.local.errors import SetupError


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One size of the platform.

    ``kafka_replication`` and ``kafka_min_insync`` count brokers; the latter is how many must have
    a record before it is acknowledged to a producer with acks=all. More than one MariaDB node are
    a Galera cluster behind one address. Sizes are in MiB, of each process.
    """

    name: str
    redis_masters: int
    redis_replicas_per_master: int
    kafka_brokers: int
    kafka_replication: int
    kafka_min_insync: int
    kafka_session_ms: int
    """A broker that is silent for this long is fenced."""
    mariadb_nodes: int
    mysql: bool = False
    """One MySQL server in place of MariaDB."""
    redis_max_mb: int
    """Data of one Redis node, 0 for no limit. Past it writes are refused, never evicted."""
    kafka_heap_mb: int
    mariadb_buffer_pool_mb: int
    ray_cpus: int = 16
    """Logical: Ray's admission counter, not cores. Deployments state their own num_cpus."""
    ray_object_store_bytes: int = 100 * 1024 * 1024
    """Serve passes requests around Ray's object store, so the least that Ray likes is enough."""

    @property
    def redis_nodes(self) -> int:
        """Masters and replicas together."""
        return self.redis_masters * (1 + self.redis_replicas_per_master)


_DEV: Final = Stack(
    name="dev",
    redis_masters=3,
    redis_replicas_per_master=0,
    kafka_brokers=1,
    kafka_replication=1,
    kafka_min_insync=1,
    # Kafka's default: no other broker could take over.
    kafka_session_ms=9_000,
    mariadb_nodes=1,
    redis_max_mb=0,
    kafka_heap_mb=512,
    mariadb_buffer_pool_mb=512,
)

STACKS: Final = {
    stack.name: stack
    for stack in (
        _DEV,
        Stack(
            name="cluster",
            redis_masters=3,
            redis_replicas_per_master=1,
            kafka_brokers=3,
            kafka_replication=3,
            kafka_min_insync=2,
            # Short: every in-sync set has the dead broker, so nothing is acknowledged until it is
            # fenced.
            kafka_session_ms=1_250,
            mariadb_nodes=3,
            # All of it, Ray included, fits in 12 GiB.
            redis_max_mb=640,
            kafka_heap_mb=384,
            mariadb_buffer_pool_mb=384,
        ),
        # What make test-mysql runs on.
        replace(_DEV, name="mysql", mysql=True),
    )
}


def stack_named(name: str) -> Stack:
    """The stack of that name; SetupError if there is none."""
    stack = STACKS.get(name)
    if stack is None:
        raise SetupError(f"no stack {name!r}; there are: {', '.join(STACKS)}")
    return stack
