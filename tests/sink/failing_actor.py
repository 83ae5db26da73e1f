"""``python -m tests.sink.failing_actor TOPIC [kill=POINT] [stop=POINT]``: an actor that fails.

It sends itself SIGKILL or SIGSTOP when its first flush reaches the point (see ``faults.py``); or,
for a point with a space in it, when a session for DDL is about to run a statement that starts so.
"""

import asyncio
import os
import signal
import sys
from functools import partial

from actors.aggregates.counting import PartitionActor
from actors.aggregates.database import Database
from actors.aggregates.mysql_sink import MySQLSink
from actors.aggregates.table_partitions import TablePartitions
from actors.log.dead_letters import KafkaDeadLetters
from actors.log.kafka_log import KafkaLog
from actors.settings import ActorSettings
from serve_app.core.clock import SystemClock
from serve_app.core.settings import Settings
from tests.sink.faults import at_point, before_statement

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


async def main() -> None:
    """Run until something ends this process."""
    topic, *points = sys.argv[1:]
    stores, own = Settings(), ActorSettings()
    database = Database(stores, own)
    ddl_sessions = Database(stores, own, lock_wait_timeout=own.ddl_lock_wait_timeout_s)
    for text in points:
        name, _, point = text.partition("=")
        arm, sessions = (before_statement, ddl_sessions) if " " in point else (at_point, database)
        arm(sessions, point, partial(os.kill, os.getpid(), SIGNALS[name]))
    keeper = TablePartitions(ddl_sessions, settings=own, clock=SystemClock())
    actor = PartitionActor(
        0,
        log=KafkaLog(topic, 0, stores=stores, settings=own),
        sink=MySQLSink(0, database=database, settings=own),
        dead_letters=KafkaDeadLetters(0, stores=stores, timeout_s=5),
        clock=SystemClock(),
        settings=own,
        on_flushed=keeper.flushed,
    )
    await asyncio.gather(actor.run(), keeper.run())


if __name__ == "__main__":
    asyncio.run(main())
